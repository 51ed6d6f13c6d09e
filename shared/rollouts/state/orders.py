"""The orders that people and reactions give a rollout, and the phases for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.rollouts.state.phases import STEPS, Phase


class OrderKind(StrEnum):
    """The orders, under their names on the command line."""

    PAUSE = "pause"  #: Stay as it is, from the next step at the latest.
    RESUME = "resume"  #: Go on with the step at which it was paused or held, from its beginning.
    PROMOTE = "promote"  #: Skip to the next step, or to the last split.
    APPROVE = "approve"  #: Say yes where the rollout waits for that.
    ABORT = "abort"  #: Roll back. Beats everything else.
    RETRY = "retry"  #: Try again what failed, from the failed step if what it needs is still there.


_FORWARD = frozenset(
    {Phase.QUEUED, Phase.CHECKING, Phase.ENDPOINT, Phase.DEPLOYMENT, *STEPS},
)

#: The phases in which each order can be given.
POSSIBLE: Mapping[OrderKind, frozenset[Phase]] = {
    OrderKind.PAUSE: _FORWARD,
    OrderKind.RESUME: frozenset({Phase.HELD}),
    OrderKind.PROMOTE: frozenset({*STEPS, Phase.HELD}),
    OrderKind.APPROVE: frozenset({Phase.APPROVING}),
    OrderKind.ABORT: _FORWARD | {Phase.HELD, Phase.STEPPING_DOWN, Phase.LIVE},
    OrderKind.RETRY: frozenset({Phase.HELD, Phase.KEEPING, Phase.ROLLED_BACK, Phase.REFUSED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to a rollout, by whom, and why. With `to_end`, promote goes to the last split."""

    kind: OrderKind
    by: str
    why: str
    at: datetime
    to_end: bool = False
    #: Given by another rollout, of a newer version, that takes this one's place.
    supersedes: bool = False

    @property
    def words(self) -> str:
        """Say it on one line."""
        why = f": {self.why}" if self.why else ""
        end = " to the end" if self.to_end else ""
        return f"{self.kind}{end} by {self.by}{why}"
