"""`- traffic: 10%`: the new deployment gets a share of live traffic."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator

from shared.rollouts.strategy.model import RolloutStep, StepKind
from shared.rollouts.strategy.steps.written_step import StepsBefore, WrittenStep, name_of_step
from shared.schema.document import Path
from shared.schema.faults import ParamFault
from shared.schema.quantities import WRITTEN_PERCENT, whole_percent
from shared.workspaces.model import EndpointKind


class WrittenTraffic(WrittenStep):
    """Each share is larger than the one before; the last is 100%."""

    kind = StepKind.TRAFFIC
    value = Annotated[int, BeforeValidator(whole_percent(1, 100)), WRITTEN_PERCENT]
    is_for_batch = True

    def read(self, value: int) -> RolloutStep:
        return RolloutStep(kind=self.kind, percent=value)

    def words(self, step: RolloutStep) -> str:
        return f"traffic {step.percent}%"

    def find_faults(
        self, step: RolloutStep, before: StepsBefore, path: Path
    ) -> Iterator[ParamFault]:
        if step.percent < before.percent:
            message = f"goes down, from {before.percent}% to {step.percent}%"
            hint = "A rollout goes back by itself where it fails."
            yield ParamFault(path, f"{name_of_step(step, path)} {message}", hint)
        before.percent, before.split, before.mirror = step.percent, path, 0
        before.has_held = False

    def find_misfit(self, step: RolloutStep, kind: EndpointKind) -> str:
        if kind is EndpointKind.BATCH and step.percent < 100:
            return "splits traffic, which batch endpoints can't"
        return ""
