"""`- better: latency`: goes on if the new deployment is better than the stable one by a measure."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from shared.rollouts.strategy.model import RolloutStep, StepKind
from shared.rollouts.strategy.steps.written_step import StepsBefore, WrittenStep, name_of_step
from shared.schema.document import Path
from shared.schema.faults import ParamFault
from shared.schema.values import unfit
from shared.schema.wording import found, suggest
from shared.workspaces.metrics import Measure

_NAMES = [str(measure) for measure in Measure if measure is not Measure.REQUESTS]


def _less_is_better(value: object) -> Measure:
    if value in _NAMES:
        return Measure(value)
    raise unfit(f"can't be {found(value)}", suggest(str(value), _NAMES))


class WrittenBetter(WrittenStep):
    """It comes after a hold in which both deployments have traffic."""

    kind = StepKind.BETTER
    value = Annotated[Measure, BeforeValidator(_less_is_better), WithJsonSchema({"enum": _NAMES})]

    def read(self, value: Measure) -> RolloutStep:
        return RolloutStep(kind=self.kind, measure=value)

    def words(self, step: RolloutStep) -> str:
        return f"better {step.measure}"

    def find_faults(
        self, step: RolloutStep, before: StepsBefore, path: Path
    ) -> Iterator[ParamFault]:
        is_split = 0 < before.percent < 100 and before.has_held
        if not is_split and before.is_sure:
            message = "compares two deployments that both have traffic for a while"
            hint = "Put `- traffic: 50%` and `- hold: 1d` before it."
            yield ParamFault(path, f"{name_of_step(step, path)} {message}", hint)
