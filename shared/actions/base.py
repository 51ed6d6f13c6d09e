"""What an action is: values that it takes, and one method that does it."""

from dataclasses import dataclass
from typing import Any, Protocol

from shared.events import Event
from shared.ledger import ClaimKey
from shared.outcomes import EventRef, Outcome
from shared.reactions.model import Params, Reaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One step of a reaction that is to be done for one event; the claim on it is held."""

    event: Event
    ref: EventRef
    reaction: Reaction
    key: ClaimKey


class Action(Protocol):
    """One thing that a reaction can do, under its name in reactions.yaml."""

    @property
    def params(self) -> type[Params]:
        """The values that it takes."""
        ...

    @property
    def may_fail(self) -> bool:
        """Whether the steps after it are to be done although it failed."""
        ...

    def act(self, work: Work, params: Any) -> Outcome:
        """Do it, or start it; say what came of it. Safe to be done again after a crash.

        Raises: any SignalboxError.
        """
        ...
