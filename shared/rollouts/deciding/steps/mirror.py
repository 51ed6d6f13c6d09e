"""`mirror`: the new deployment gets a copy of some traffic."""

from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.splitting import SplitStep
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import Split, share
from shared.rollouts.strategy.model import RolloutStep, StepKind


class MirrorStep(SplitStep):
    """Sets what is mirrored, and leaves the split as it is."""

    kind = StepKind.MIRROR

    def applies(self, rollout: Rollout, step: RolloutStep) -> bool:
        """A deployment that has got live traffic from somebody can't get a copy as well."""
        has_traffic = share(rollout.traffic.split, rollout.deployment)
        return bool(rollout.stable) and not (step.percent and has_traffic)

    def wanted(self, rollout: Rollout, step: RolloutStep, seen: Observation) -> tuple[Split, Split]:
        return rollout.traffic.split, {rollout.deployment: step.percent} if step.percent else {}

    def shares(
        self, rollout: Rollout, step: RolloutStep, before: tuple[int, int]
    ) -> tuple[int, int]:
        return before[0], step.percent
