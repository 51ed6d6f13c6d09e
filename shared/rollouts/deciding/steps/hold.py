"""`hold`: the split stays as it is, and the gates measure."""

from datetime import datetime, timedelta

from shared.rollouts.deciding.decisions import AskGates, Decision, StepDone, Wait
from shared.rollouts.deciding.exits import fail, go_held
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.step_decider import StepDecider, next_watch
from shared.rollouts.state.measurement import GateOutcome, Measurement, answer_to
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.strategy.model import NoVerdict, RolloutStep, StepKind

#: Metrics are late: a look at a window of less than this many readings would show nothing.
_FIRST_LOOK = 2
#: Between looks, at the least a reading, then this share of the hold so far, and at the most so
#: many readings: what goes wrong early is noticed early, and a hold of days costs few requests.
_LOOK_PACE = 8
_LOOK_MOST = 15


class HoldStep(StepDecider):
    """Ends after its span; where there are gates, once they let it pass."""

    kind = StepKind.HOLD
    judges_gates = True
    is_patient = True
    retry_most = timedelta(minutes=5)

    def decide(
        self, rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime
    ) -> Decision | StepDone:
        end = rollout.since + step.span
        if not rollout.plan.strategy.gates:
            if now >= end:
                return StepDone(rollout=rollout)
            return Wait(reason="holding", delay=next_watch(rollout, seen, end - now))
        if seen.measurements is None:
            due = next_look(rollout, step, seen.grain)
            if now < due:
                return Wait(reason="holding", delay=due - now)
            return AskGates(stable=rollout.stable)
        return _judge(rollout, step, seen, now)

    def awaited(
        self, rollout: Rollout, step: RolloutStep, now: datetime
    ) -> tuple[str, timedelta | None]:
        strategy = rollout.plan.strategy
        if not strategy.gates:
            return "the time to pass", step.span
        if now > rollout.since + step.span:
            return "a verdict of the gates", step.span + strategy.patience
        return "the gates", step.span


def next_look(rollout: Rollout, step: RolloutStep, grain: timedelta) -> datetime:
    """Return the time of the next measurement of the gates in a hold."""
    first = rollout.since + _FIRST_LOOK * grain
    end = rollout.since + step.span
    looked_at = rollout.gating.looked_at
    if looked_at is not None and looked_at >= rollout.since:
        return _look_after(looked_at, rollout, step, grain)
    return min(first, end) if step.span >= grain else first


def _look_after(
    looked_at: datetime, rollout: Rollout, step: RolloutStep, grain: timedelta
) -> datetime:
    """Return when to look again after a look in this hold."""
    end = rollout.since + step.span
    pause = max(grain, min((looked_at - rollout.since) / _LOOK_PACE, _LOOK_MOST * grain))
    return min(looked_at + pause, end) if looked_at < end else looked_at + pause


def _judge(
    rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime
) -> Decision | StepDone:
    deciding = [item for item in seen.measurements or () if not item.observe]
    for item in deciding:
        if item.outcome is GateOutcome.FAIL:
            return fail(rollout, seen, f"gate {item.measure}: {item.detail}")
    end = rollout.since + step.span
    open_ = [item for item in deciding if item.outcome is not GateOutcome.PASS]
    if now >= end and not open_:
        return StepDone(rollout=rollout, reason="the gates let it pass")
    if now >= end:
        return _without_verdict(rollout, open_, seen, now, end)
    due = _look_after(now, rollout, step, seen.grain)
    return Wait(reason="holding", delay=max(due - now, timedelta(0)))


def _without_verdict(
    rollout: Rollout,
    blind: list[Measurement],
    seen: Observation,
    now: datetime,
    end: datetime,
) -> Decision:
    """Make the gates' decision for a hold that ends without a verdict."""
    strategy = rollout.plan.strategy
    gates = {gate.measure: gate for gate in strategy.gates}
    answers = [(answer_to(gates[item.measure], item.outcome), item) for item in blind]
    for answer, item in answers:
        if answer is NoVerdict.FAIL:
            return fail(rollout, seen, f"gate {item.measure} has no verdict: {item.detail}")
    for answer, item in answers:
        if answer is NoVerdict.HOLD or now - end > strategy.patience:
            return go_held(rollout, f"gate {item.measure} has no verdict: {item.detail}")
    _, item = answers[0]
    return Wait(reason=f"gate {item.measure} has no verdict yet: {item.detail}", delay=seen.grain)
