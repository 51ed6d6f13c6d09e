"""Admission: whether a reaction may start for an event that sets it off.

A reaction starts when its first step is let begin. From then on no limit is asked again for that
event: neither a retry, nor a replay, nor a second delivery counts as another start.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.actions.base import Work
from shared.base.clock import Clock
from shared.base.durations import format_duration
from shared.base.errors import (
    ChainTooLong,
    CoolingDown,
    DryRun,
    ExpressionFailed,
    Frozen,
    FrozenOut,
    LimitReached,
    SignalboxError,
    StartedBefore,
    StorageDenied,
    StorageUnavailable,
)
from shared.base.redact import redact
from shared.base.words import counted, second
from shared.events.fields import one_line
from shared.events.model import Event, as_data
from shared.flow.chains import Chains
from shared.reactions.model import KeyedLimits, Reaction, Step
from shared.schema.wording import cut

if TYPE_CHECKING:
    from shared.journal.starts import Starts, StartsFull
    from shared.reactions.freezes import Freeze

#: Outcomes of a first step that keep the later ones from being done.
NOT_ADMITTED = frozenset(
    {LimitReached.code, CoolingDown.code, StartedBefore.code, ChainTooLong.code, FrozenOut.code}
)
#: Starts of a dry run count apart, so that they don't use up the places of the real ones.
_DRY = "dry run of "
_KEY_MAX = 100
_VALUES_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Lets reactions start, within their limits. `starts` is built if a reaction has any."""

    clock: Clock
    starts: "Callable[[], Starts]"
    chains: Chains

    def check_hold(self, reaction: Reaction, *, is_replay: bool) -> None:
        """Refuse to begin, or to go on, where a freeze holds events; a replay waits for any freeze.

        Raises: Frozen, until its end.
        """
        active = self._find_freeze(reaction)
        if active is not None and (active[0].holds or is_replay) and not reaction.dry_run:
            freeze, until = active
            raise Frozen(freeze.words(until), retry_after=until - self.clock.now())

    def _find_freeze(self, reaction: Reaction) -> "tuple[Freeze, datetime] | None":
        if not reaction.freezes:
            return None
        from shared.reactions.freezes import find_active

        return find_active(reaction.freezes, self.clock.now())

    def admit(self, work: Work) -> None:
        """Let the reaction start for the event, and count it.

        It costs no request without limits, and two for each key by which limits count.

        Raises: FrozenOut, ChainTooLong, ChannelDown, WorkspaceError, LimitReached, CoolingDown,
        StartedBefore, ExpressionFailed and StorageUnavailable.
        """
        active = self._find_freeze(work.reaction)
        if active is not None:
            freeze, until = active
            raise FrozenOut(f"{freeze.words(until)}, and skips events")
        self.chains.check(work.reaction, work.event, work.find_cause)
        self._take(work.reaction, as_data(work.event), work.event.key)

    def _take(self, reaction: Reaction, data: Mapping[str, Any], event: str) -> None:
        owner = _DRY + reaction.name if reaction.dry_run else reaction.name
        taken: list[str] = []
        for keyed in reaction.limits:
            key = _key_of(keyed, data)
            full = self.starts().take(owner, key, event, keyed.limits)
            if full is not None:
                for other in taken:
                    self.starts().give_back(owner, other, event)
                raise _refusal(full, keyed, key)
            taken.append(key)

    def rehearse(self, reaction: Reaction, step: Step, event: Event) -> SignalboxError:
        """Return why nothing is done in a dry run, and what would have been done.

        Raises: StorageUnavailable.
        """
        from shared.actions import ACTIONS
        from shared.reactions.step_values import prepare

        data = as_data(event)
        try:
            if step is reaction.do[0]:
                self._take(reaction, data, event.key)
            values = prepare(step, data, ACTIONS[step.action])
        except SignalboxError as error:
            if isinstance(error, StorageUnavailable | StorageDenied):
                raise
            if error.code in NOT_ADMITTED:
                return error
            return DryRun(f"`{step.action}` would have failed: {error.code}: {error.message}")
        shown = json.dumps(values.model_dump(mode="json", exclude_unset=True), ensure_ascii=False)
        return DryRun(
            f"`{step.action}` would have been done with {redact(shown, most=_VALUES_MAX)}"
        )


def _key_of(keyed: KeyedLimits, data: Mapping[str, Any]) -> str:
    """Return the value of the key that these limits count by, marked with how it is written.

    Two limits of a reaction whose keys are written differently never share a row.
    """
    if isinstance(keyed.key, str):
        return keyed.key
    value = keyed.key.render(data)
    if value is None:
        raise ExpressionFailed(
            f"`{cut(keyed.key.text)}` gave nothing, so nothing can be counted by it",
            hint="Give it a default: `${{ … || 'none' }}`.",
        )
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return f"{keyed.key.text}\n{text}"


def _refusal(full: "StartsFull", keyed: KeyedLimits, key: str) -> SignalboxError:
    limit = full.limit
    value = key.partition("\n")[2]
    of = f" for {redact(one_line(value, most=_KEY_MAX), most=_KEY_MAX)!r}" if value else ""
    per, free = format_duration(limit.per), second(full.free_at)
    match limit.name:
        case "limit":
            starts = counted(limit.starts, "start")
            return LimitReached(f"it allows {starts} in {per}{of}; the next one is free at {free}")
        case "cooldown":
            return CoolingDown(
                f"the last start was at {second(full.last)}, and it starts again {per} after that:"
                f" from {free}"
            )
        case "once_per":
            return StartedBefore(
                f"it started{of} at {second(full.last)}, and starts again from {free}"
            )
    raise AssertionError(limit.name)
