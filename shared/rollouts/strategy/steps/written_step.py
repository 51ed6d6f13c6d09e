"""The base of the kinds of step as they are written, and the steps before one in a strategy."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final

from shared.base.durations import Duration, between
from shared.rollouts.strategy.model import Probe, RolloutStep, StepKind
from shared.schema.document import Path
from shared.schema.faults import ParamFault
from shared.workspaces.model import EndpointKind

SPAN_MAX: Final = timedelta(days=30)
#: How long a step takes, or waits for a person.
Span = Annotated[Duration, between(timedelta(seconds=1), SPAN_MAX)]


class StepsBefore:
    """The steps before one: the shares of the new deployment after them, in percent, and holds."""

    def __init__(self, *, has_gates: bool) -> None:
        self.has_gates = has_gates
        self.is_sure = True  #: Whether every one of them could be read.
        self.percent = 0
        self.mirror = 0
        self.split: Path | None = None  #: Where the last split is set.
        self.holds = 0
        self.has_held = False  #: Whether a hold comes after the last split.


class WrittenStep(ABC):
    """How one kind of step is written: `- <kind>: <value>`, and what can be wrong with it."""

    kind: ClassVar[StepKind]
    #: The type of the value, as pydantic reads it.
    value: ClassVar[Any]
    #: Whether batch endpoints can do it. They have one default deployment, switched at once.
    is_for_batch: ClassVar[bool] = False

    @abstractmethod
    def read(self, value: Any) -> RolloutStep:
        """Return the step with this value."""

    @abstractmethod
    def words(self, step: RolloutStep) -> str:
        """Return the step as it is written in reactions.yaml, on one line."""

    def find_faults(
        self, step: RolloutStep, before: StepsBefore, path: Path
    ) -> Iterator[ParamFault]:
        """Yield the faults of the step at its place, and add it to those before."""
        return iter(())

    def find_misfit(self, step: RolloutStep, kind: EndpointKind) -> str:
        """Return the part of the step that this kind of endpoint can't do; "" if it can do all."""
        return ""

    def settle(self, step: RolloutStep, probe: Probe, wait: timedelta) -> RolloutStep:
        """Return the step for one rollout, with the probe and the wait of its action."""
        return step


def name_of_step(step: RolloutStep, path: Path) -> str:
    """Return the name of a step in messages: `steps[2].hold`."""
    return f"`steps[{path[1]}].{step.kind}`"
