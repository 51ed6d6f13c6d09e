"""`- scale: 3`, `- scale: stable`: the number of instances of the new deployment is set."""

from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from shared.rollouts.strategy.model import RolloutStep, StepKind
from shared.rollouts.strategy.steps.written_step import WrittenStep
from shared.schema.values import unfit
from shared.schema.wording import found

_MOST_INSTANCES = 50
_FORM = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": _MOST_INSTANCES},
        {"const": "stable"},
    ]
}


def _instances(value: object) -> int:
    if value == "stable":
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_INSTANCES:
        return value
    wanted = f"a number of instances, 1 to {_MOST_INSTANCES}, or `stable`"
    hint = "`stable` is as many as what serves has."
    raise unfit(f"should be {wanted}, found {found(value)}", hint)


class WrittenScale(WrittenStep):
    """`stable` is as many instances as the stable deployment has by then."""

    kind = StepKind.SCALE
    value = Annotated[int, BeforeValidator(_instances), WithJsonSchema(_FORM)]

    def read(self, value: int) -> RolloutStep:
        return RolloutStep(kind=self.kind, instances=value)

    def words(self, step: RolloutStep) -> str:
        return f"scale {step.instances or 'stable'}"
