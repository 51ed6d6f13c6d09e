"""`- hold: 15m`: the split stays as it is, and the gates measure."""

from collections.abc import Iterator
from datetime import timedelta

from shared.base.durations import format_duration
from shared.rollouts.strategy.model import RolloutStep, StepKind
from shared.rollouts.strategy.steps.written_step import Span, StepsBefore, WrittenStep, name_of_step
from shared.schema.document import Path
from shared.schema.faults import ParamFault

_NO_TRAFFIC = "the new deployment has no traffic here, so that there is nothing for gates to judge"


class WrittenHold(WrittenStep):
    """Where there are gates, it comes after a step that gives the new deployment traffic."""

    kind = StepKind.HOLD
    value = Span
    is_for_batch = True

    def read(self, value: timedelta) -> RolloutStep:
        return RolloutStep(kind=self.kind, span=value)

    def words(self, step: RolloutStep) -> str:
        return f"hold {format_duration(step.span)}"

    def find_faults(
        self, step: RolloutStep, before: StepsBefore, path: Path
    ) -> Iterator[ParamFault]:
        has_traffic = before.percent or before.mirror or not before.is_sure
        if before.has_gates and not has_traffic:
            hint = "Put it after a `mirror` or a `traffic`."
            yield ParamFault(path, f"{name_of_step(step, path)}: {_NO_TRAFFIC}", hint)
        before.holds += 1
        before.has_held = True
