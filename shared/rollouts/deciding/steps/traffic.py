"""`traffic`: the new deployment gets a share of live traffic."""

from shared.rollouts.deciding.exits import mirror_beside
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.splitting import SplitStep
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import Split, on_the_way, share
from shared.rollouts.strategy.model import RolloutStep, StepKind


class TrafficStep(SplitStep):
    """Sets a split on the way from the one that the rollout found to its goal."""

    kind = StepKind.TRAFFIC

    def applies(self, rollout: Rollout, step: RolloutStep) -> bool:
        """Traffic that the new deployment has got from somebody is not taken away again."""
        if not rollout.stable or step.percent == 100:
            return step.percent == 100
        split, ours = self.live_split(rollout, step), rollout.deployment
        return share(split, ours) >= share(rollout.traffic.split, ours)

    def live_split(self, rollout: Rollout, step: RolloutStep) -> Split:
        return on_the_way(rollout.traffic.origin, rollout.traffic.goal, step.percent)

    def wanted(self, rollout: Rollout, step: RolloutStep, seen: Observation) -> tuple[Split, Split]:
        split = self.live_split(rollout, step)
        return split, mirror_beside(rollout.traffic.mirror, split, rollout, seen)

    def shares(
        self, rollout: Rollout, step: RolloutStep, before: tuple[int, int]
    ) -> tuple[int, int]:
        if not rollout.traffic.origin:  # nothing served, or it was not looked yet
            return step.percent, 0
        return share(self.live_split(rollout, step), rollout.deployment), 0
