"""The interface of an action: the values that it takes, and one method that does it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.base.clock import Clock
from shared.base.ports import Channels, Topics
from shared.base.settings import Settings
from shared.events.causes import EventCause, tags_of_cause
from shared.events.model import Event, as_data
from shared.journal.ledger import ClaimKey
from shared.journal.outcomes import EventRef, Outcome
from shared.reactions.model import Params, Reaction, Step
from shared.reactions.step_values import prepare

if TYPE_CHECKING:
    from shared.launches.launches import Launches
    from shared.messages.outbox import Outbox
    from shared.messages.repeats import Folds
    from shared.retraining.keeper import LoopKeeper
    from shared.retraining.loops import Loops
    from shared.rollouts.engine.advance import Rollouts
    from shared.rollouts.strategy.model import Strategy
    from shared.workspaces.lineage import Retrainings
    from shared.workspaces.ports import Workspaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One step of a reaction that is to be done for one event; the claim on it is held.

    `renew` holds the claim for another lease. It is called just before a write that a second worker
    would do again, and raises ClaimLost where another worker has the claim. `find_cause` returns
    the cause of the event.
    """

    event: Event
    ref: EventRef
    reaction: Reaction
    step: Step
    key: ClaimKey
    renew: Callable[[], None]
    find_cause: Callable[[], EventCause]

    @property
    def tags(self) -> dict[str, str]:
        """The tags for all that the step makes: so an event of it shows what caused it.

        Raises: WorkspaceError, where the cause of the event had to be read.
        """
        return tags_of_cause(self.find_cause(), self.reaction.name)

    def params[P: Params](self, kind: type[P], event: Event | None = None) -> P:
        """Return the step's values for the event, or for what an action knows of it now.

        Raises: ExpressionFailed, ParamsInvalid.
        """
        return prepare(self.step, as_data(event or self.event), kind)

    def still_holds(self, event: Event) -> bool:
        """Say whether the event, as an action knows of it now, is still for the reaction."""
        when = self.reaction.when
        return when is None or when.holds(as_data(event))


class Action(Protocol):
    """One thing that a reaction can do, under its name in reactions.yaml."""

    @property
    def may_fail(self) -> bool:
        """Whether the steps after it are done even if it fails."""
        ...

    def act(self, work: Work) -> Outcome:
        """Do it, or start it; return the outcome. It may be called again after a crash.

        Raises: any SignalboxError, and ClaimLost.
        """
        ...


class Parts(Protocol):
    """The parts of the app that actions are made from. Each is made when it is first asked for."""

    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def channels(self) -> Channels: ...
    @property
    def topics(self) -> Topics: ...
    @property
    def outbox(self) -> "Outbox": ...
    @property
    def folds(self) -> "Folds": ...
    @property
    def workspaces(self) -> "Workspaces": ...
    @property
    def rollouts(self) -> "Rollouts": ...
    @property
    def loops(self) -> "Loops": ...
    @property
    def loop_keeper(self) -> "LoopKeeper": ...
    @property
    def launches(self) -> "Launches": ...
    @property
    def retrainings(self) -> "Retrainings | None": ...

    def find_strategy(self, name: str) -> "Strategy | None":
        """Return the strategy of this name, of the file or ready-made; None if there is none."""
        ...

    def has_topic(self, name: str) -> bool:
        """Return whether the file declares a topic of this name."""
        ...

    def read_file(self, path: str) -> bytes:
        """Return a file of the app, by its path below the app's folder. Raises: ParamsInvalid."""
        ...


class ActionFolder(Protocol):
    """The functions that each action's folder, as a module, has.

    One that `signalbox check --live` has to ask about has `live_questions` as well.
    """

    def params_class(self) -> type[Params]:
        """Return the class of the action's values."""
        ...

    def build(self, parts: Parts) -> Action:
        """Return the action, made from the app's parts."""
        ...
