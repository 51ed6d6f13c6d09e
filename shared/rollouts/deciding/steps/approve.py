"""`approve`: a person has to say yes."""

from datetime import datetime, timedelta

from shared.base.durations import format_duration
from shared.rollouts.deciding.decisions import Decision, StepDone, Wait
from shared.rollouts.deciding.exits import find_order, go_back_or_step_down, without_order
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.step_decider import StepDecider, next_watch
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.strategy.model import RolloutStep, StepKind


class ApproveStep(StepDecider):
    """Waits for the order, and goes back where nobody gives it in time."""

    kind = StepKind.APPROVE
    is_patient = True
    awaits = OrderKind.APPROVE

    def decide(
        self, rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime
    ) -> Decision | StepDone:
        if order := find_order(rollout, OrderKind.APPROVE):
            return StepDone(rollout=without_order(rollout, order), reason=order.words)
        until = rollout.since + step.span
        if now >= until:
            return go_back_or_step_down(rollout, seen, "nobody approved it in time")
        delay = next_watch(rollout, seen, until - now)
        return Wait(reason="a person has to approve", delay=delay)

    def applies(self, rollout: Rollout, step: RolloutStep) -> bool:
        return True

    def awaited(
        self, rollout: Rollout, step: RolloutStep, now: datetime
    ) -> tuple[str, timedelta | None]:
        return "a person's yes", step.span

    def coming(self, step: RolloutStep) -> str:
        return f"a person has to approve within {format_duration(step.span)}"
