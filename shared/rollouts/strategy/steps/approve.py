"""`- approve: 1d`: a person has to say yes within this time."""

from datetime import timedelta

from shared.base.durations import format_duration
from shared.rollouts.strategy.model import RolloutStep, StepKind
from shared.rollouts.strategy.steps.written_step import Span, WrittenStep


class WrittenApprove(WrittenStep):
    """It may stand anywhere."""

    kind = StepKind.APPROVE
    value = Span
    is_for_batch = True

    def read(self, value: timedelta) -> RolloutStep:
        return RolloutStep(kind=self.kind, span=value)

    def words(self, step: RolloutStep) -> str:
        return f"approve {format_duration(step.span)}"
