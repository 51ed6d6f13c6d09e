"""`probe`: the new deployment answers a request that is sent straight to it."""

from datetime import datetime, timedelta
from typing import Final

from shared.rollouts.deciding.decisions import Decision, SendProbe, StepDone, Wait
from shared.rollouts.deciding.exits import fail
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.step_decider import StepDecider
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.strategy.model import RolloutStep, StepKind

#: Between probes that did not pass.
SHORT_WAIT: Final = timedelta(seconds=5)


class ProbeStep(StepDecider):
    """Sends probes until one passes; it fails after as many as the probe has tries."""

    kind = StepKind.PROBE
    sends_requests = True

    def decide(
        self, rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime
    ) -> Decision | StepDone:
        wanted = step.probe or rollout.plan.probe
        if seen.probe is None:
            return SendProbe(deployment=rollout.deployment)
        if seen.probe.passed:
            return StepDone(rollout=rollout, note=seen.probe.detail)
        reason = f"the probe failed: {seen.probe.detail}"
        if rollout.work.probes < wanted.tries:
            return Wait(reason=reason, delay=SHORT_WAIT)
        return fail(rollout, seen, reason)

    def applies(self, rollout: Rollout, step: RolloutStep) -> bool:
        return True
