"""`scale`: the new deployment gets other instances."""

from datetime import datetime

from shared.base.words import counted
from shared.rollouts.deciding.decisions import Decision, Scale, StepDone
from shared.rollouts.deciding.exits import WRITE_TRIES, fail
from shared.rollouts.deciding.observation import Observation, failure_in
from shared.rollouts.deciding.steps.step_decider import StepDecider
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.strategy.model import RolloutStep, StepKind


class ScaleStep(StepDecider):
    """Ends when the new deployment reads back with as many instances."""

    kind = StepKind.SCALE

    def decide(
        self, rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime
    ) -> Decision | StepDone:
        ours, stable = seen.find(rollout.deployment), seen.find(rollout.stable)
        assert ours is not None  # in_step looked
        wanted = self.instances(step, (stable or ours).instance_count)
        if ours.instance_count == wanted:
            return StepDone(rollout=rollout, reason=counted(wanted, "instance"))
        if failure := failure_in(seen):
            return fail(rollout, seen, f"{ours.name} could not be scaled: {failure}")
        if rollout.work.tries >= WRITE_TRIES:
            return fail(rollout, seen, f"{ours.name} has {ours.instance_count} instances still")
        return Scale(name=ours.name, instances=wanted)

    def applies(self, rollout: Rollout, step: RolloutStep) -> bool:
        return bool(rollout.stable) or step.instances > 0

    def instances(self, step: RolloutStep, stable: int) -> int:
        return step.instances or stable
