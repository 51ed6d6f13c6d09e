"""`better`: the new deployment is compared with the stable one."""

from datetime import datetime, timedelta

from shared.rollouts.deciding.decisions import AskGates, Decision, StepDone, Wait
from shared.rollouts.deciding.exits import go_back, go_held
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.step_decider import StepDecider
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.rollout import Cause, Rollout
from shared.rollouts.strategy.model import RolloutStep, StepKind


class BetterStep(StepDecider):
    """Compares once there is enough to compare. A deployment that is not better has not failed."""

    kind = StepKind.BETTER
    is_patient = True

    def decide(
        self, rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime
    ) -> Decision | StepDone:
        if seen.measurements is None:
            return AskGates(stable=rollout.stable)
        if not seen.measurements:
            return go_held(rollout, "there is nothing to compare")
        item = seen.measurements[0]
        if item.outcome is GateOutcome.PASS:
            return StepDone(rollout=rollout, reason=item.detail)
        if item.outcome is GateOutcome.FAIL:
            return go_back(rollout, item.detail, Cause.NOT_BETTER)
        if now - rollout.since > rollout.plan.strategy.patience:
            return go_held(rollout, f"it can't be told which is better: {item.detail}")
        return Wait(reason=item.detail, delay=seen.grain)

    def awaited(
        self, rollout: Rollout, step: RolloutStep, now: datetime
    ) -> tuple[str, timedelta | None]:
        return "enough metrics to choose", rollout.plan.strategy.patience
