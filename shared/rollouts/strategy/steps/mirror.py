"""`- mirror: 10%`: the new deployment gets a copy of some traffic, and nobody its answers."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator

from shared.rollouts.strategy.model import RolloutStep, StepKind
from shared.rollouts.strategy.steps.written_step import StepsBefore, WrittenStep, name_of_step
from shared.schema.document import Path
from shared.schema.faults import ParamFault
from shared.schema.quantities import WRITTEN_PERCENT, whole_percent
from shared.workspaces.model import EndpointKind


class WrittenMirror(WrittenStep):
    """`mirror: 0%` ends the copying."""

    kind = StepKind.MIRROR
    value = Annotated[int, BeforeValidator(whole_percent(0, 50)), WRITTEN_PERCENT]

    def read(self, value: int) -> RolloutStep:
        return RolloutStep(kind=self.kind, percent=value)

    def words(self, step: RolloutStep) -> str:
        return f"mirror {step.percent}%"

    def find_faults(
        self, step: RolloutStep, before: StepsBefore, path: Path
    ) -> Iterator[ParamFault]:
        if before.split is not None:
            message = "comes after `traffic`: a deployment gets one or the other"
            hint = "Put it before the first `traffic`."
            yield ParamFault(path, f"{name_of_step(step, path)} {message}", hint)
        before.mirror = step.percent

    def find_misfit(self, step: RolloutStep, kind: EndpointKind) -> str:
        if kind is EndpointKind.KUBERNETES:
            return "mirrors traffic, which Kubernetes endpoints can't"
        return ""
