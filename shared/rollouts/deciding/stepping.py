"""Decide what a rollout does in the steps of its strategy. Pure and total."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from shared.rollouts.deciding.decisions import (
    AskGates,
    Decision,
    Go,
    Scale,
    SendProbe,
    SetTraffic,
    Wait,
)
from shared.rollouts.deciding.exits import (
    WRITE_TRIES,
    fail,
    find_order,
    first_step_again,
    give_in,
    go_back,
    go_held,
    mirror_beside,
    next_step,
    obey,
    promote,
    too_long,
)
from shared.rollouts.deciding.observation import Observation, failure_in
from shared.rollouts.deciding.opening import answer_to, as_found
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Cause, Rollout
from shared.rollouts.state.splits import is_same, leader, on_the_way, only, words, words_of
from shared.rollouts.state.tags import TAG_DEPLOYMENT, is_marked
from shared.rollouts.strategy.model import NoVerdict, OnConflict, RolloutStep, StepKind
from shared.workspaces.model import State

#: Between probes that did not pass.
SHORT_WAIT = timedelta(seconds=5)
#: Between looks at a deployment that has traffic, where nothing else is to be looked at.
_WATCH = timedelta(hours=1)
#: Metrics are late: a look at a window of less than this many readings would show nothing.
_FIRST_LOOK = 2
#: Between looks, at the least a reading, then this share of the hold so far, and at the most so
#: many readings: what goes wrong early is noticed early, and a hold of days costs few requests.
_LOOK_PACE = 8
_LOOK_MOST = 15


def in_step(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Do what comes before any step's own work: orders, health, conflicts; then that."""
    step = rollout.current
    assert step is not None  # no step, no phase of one
    return (
        _unfit(rollout, seen, now)
        or _told(rollout, step)
        or _conflict(rollout, step, seen, now)
        or _STEPS[step.kind](rollout, step, seen, now)
    )


def _told(rollout: Rollout, step: RolloutStep) -> Decision | None:
    """Return what orders say, None where there are none for now."""
    if order := find_order(rollout, OrderKind.PAUSE):
        return go_held(obey(rollout, order), order.words)
    # A split that was begun is finished before it is gone on from.
    is_split = step.kind in (StepKind.TRAFFIC, StepKind.MIRROR)
    order = None if is_split else find_order(rollout, OrderKind.PROMOTE)
    return None if order is None else promote(rollout, order)


def _unfit(rollout: Rollout, seen: Observation, now: datetime) -> Decision | None:
    """Return what to do where the endpoint or the new deployment is not fit; None where both are.

    What is not fit is not held on to: `on_failure` is about what is, and misbehaves.
    """
    found = seen.find(rollout.deployment)
    if seen.endpoint is None or found is None:
        gone = "endpoint" if seen.endpoint is None else "deployment"
        return go_back(rollout, f"the {gone} was deleted by someone")
    if found.state.is_settled and found.state is not State.SUCCEEDED:
        return go_back(rollout, f"the deployment is {found.state}")
    for what, state in (("deployment", found.state), ("endpoint", seen.endpoint.state)):
        if not state.is_settled:
            late = too_long(rollout, now) if rollout.submitted else None
            return late or Wait(reason=f"the {what} is {state}")
    return None


def _wanted(
    rollout: Rollout, step: RolloutStep, seen: Observation
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return the split and the mirror that the step wants."""
    if step.kind is StepKind.TRAFFIC:
        split = on_the_way(rollout.origin, rollout.goal, step.percent)
        return split, mirror_beside(rollout.mirror, split, rollout, seen)
    if step.kind is StepKind.MIRROR:
        mirror = {rollout.deployment: step.percent} if step.percent else {}
        return rollout.split, mirror
    return rollout.split, rollout.mirror


def _conflict(
    rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime
) -> Decision | None:
    """Return what to do where somebody else has changed the split; None where nobody has.

    What the step wants is no conflict, whoever did it: a write of ours may have been forgotten in
    a crash.
    """
    goal, wanted_mirror = _wanted(rollout, step, seen)
    if is_same(seen.traffic, goal) and is_same(seen.mirror, wanted_mirror):
        return None
    if is_same(seen.traffic, rollout.split) and is_same(seen.mirror, rollout.mirror):
        return None
    told = f"{words(rollout.split)} was changed by someone to {words(seen.traffic)}"
    if not is_same(seen.mirror, rollout.mirror):
        told += f", mirrored {words(seen.mirror)}"
    policy = rollout.plan.strategy.on_conflict
    if policy is OnConflict.ABORT:
        return go_back(rollout, told)
    if policy is OnConflict.HOLD:
        held = go_held(adopt(rollout, seen, now), told)
        return replace(held, by_others=True)
    gone_on = next_step(adopt(rollout, seen, now), rollout.step, f"{told}, and is adopted")
    return replace(gone_on, by_others=True)


def adopt(rollout: Rollout, seen: Observation, now: datetime) -> Rollout:
    """Return the rollout that goes on from whatever split is there."""
    is_new = not (is_same(seen.traffic, rollout.split) and is_same(seen.mirror, rollout.mirror))
    adopted = replace(
        rollout,
        split=dict(seen.traffic),
        mirror=dict(seen.mirror),
        split_at=now if is_new else rollout.split_at,
    )
    others = only(seen.traffic, lambda name: name.lower() != rollout.deployment.lower())
    if not rollout.plan.creates or not others:
        return adopted
    stable = leader(others, rollout.stable)
    found = seen.find(stable)
    is_other = stable != rollout.stable and found is not None
    return replace(
        adopted,
        origin=others,
        stable=stable,
        stable_instances=found.instance_count if is_other and found else rollout.stable_instances,
    )


def _probe(rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime) -> Decision:
    wanted = step.probe or rollout.plan.probe
    if seen.probe is None:
        return SendProbe(deployment=rollout.deployment)
    if seen.probe.passed:
        return replace(next_step(rollout, rollout.step + 1), note=seen.probe.detail)
    reason = f"the probe failed: {seen.probe.detail}"
    if rollout.probes < wanted.tries:
        return Wait(reason=reason, delay=SHORT_WAIT)
    return fail(rollout, seen, reason)


def _set_split(rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime) -> Decision:
    """Set the split and the mirror that the step wants, and go on when they read back so."""
    assert seen.endpoint is not None  # in_step looked
    traffic, mirror = _wanted(rollout, step, seen)
    serving = leader(traffic, rollout.stable)
    is_there = is_same(seen.traffic, traffic) and is_same(seen.mirror, mirror)
    is_last = is_same(traffic, rollout.goal) and is_marked(rollout, seen.endpoint)
    if is_there and (not is_last or seen.endpoint.tags.get(TAG_DEPLOYMENT) == serving):
        moved = not (is_same(rollout.split, traffic) and is_same(rollout.mirror, mirror))
        split_at = now if moved or rollout.split_at is None else rollout.split_at
        there = replace(rollout, split=dict(traffic), mirror=dict(mirror), split_at=split_at)
        return next_step(there, rollout.step + 1, words_of(traffic, mirror))
    if failure := failure_in(seen):
        return fail(rollout, seen, f"traffic could not be set: {failure}")
    for name in traffic:
        if not seen.is_healthy(name):
            found = seen.find(name)
            if found is not None and not found.state.is_settled:
                return too_long(rollout, now) or Wait(reason=f"{name} is {found.state}")
            state = f"is {found.state}" if found else "is not there"
            return go_held(rollout, f"{name} {state}, and can't be given traffic")
    if rollout.tries >= WRITE_TRIES:
        return fail(rollout, seen, f"traffic reads back as {words_of(seen.traffic, seen.mirror)}")
    return SetTraffic(traffic=traffic, mirror=mirror, serving=serving)


def _hold(rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime) -> Decision:
    """Stay on this split for a while; where there are gates, until they let it pass."""
    end = rollout.since + step.span
    gates = rollout.plan.strategy.gates
    if not gates:
        if now >= end:
            return next_step(rollout, rollout.step + 1)
        return Wait(reason="holding", delay=_watched(rollout, seen, end - now))
    if seen.measurements is None:
        due = next_look(rollout, step, seen.grain)
        if now < due:
            return Wait(reason="holding", delay=due - now)
        return AskGates(stable=rollout.stable)
    return _judge(rollout, step, seen, now)


def next_look(rollout: Rollout, step: RolloutStep, grain: timedelta) -> datetime:
    """Return when the gates are to be measured next in a hold."""
    first = rollout.since + _FIRST_LOOK * grain
    end = rollout.since + step.span
    if rollout.looked_at is None or rollout.looked_at < rollout.since:
        return min(first, end) if step.span >= grain else first
    passed = rollout.looked_at - rollout.since
    pause = max(grain, min(passed / _LOOK_PACE, _LOOK_MOST * grain))
    following = rollout.looked_at + pause
    return min(following, end) if rollout.looked_at < end else following


def _judge(rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime) -> Decision:
    deciding = [item for item in seen.measurements or () if not item.observe]
    for item in deciding:
        if item.outcome is GateOutcome.FAIL:
            return fail(rollout, seen, f"gate {item.measure}: {item.detail}")
    end = rollout.since + step.span
    open_ = [item for item in deciding if item.outcome is not GateOutcome.PASS]
    if now >= end and not open_:
        return next_step(rollout, rollout.step + 1, "the gates let it pass")
    if now >= end:
        return _without_verdict(rollout, open_, seen, now, end)
    # The measurements are in the rollout by now: the next tick measures anew.
    due = next_look(replace(rollout, looked_at=now), step, seen.grain)
    return Wait(reason="holding", delay=max(due - now, timedelta(0)))


def _without_verdict(
    rollout: Rollout,
    blind: list[Measurement],
    seen: Observation,
    now: datetime,
    end: datetime,
) -> Decision:
    """Do what the gates say of having no verdict at the end of a hold."""
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


def _watched(rollout: Rollout, seen: Observation, wait: timedelta) -> timedelta:
    """Return when to look next: what has died must not keep its traffic for days."""
    return min(wait, _WATCH) if seen.live(rollout.deployment) else wait


def _approve(rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime) -> Decision:
    if order := find_order(rollout, OrderKind.APPROVE):
        return next_step(obey(rollout, order), rollout.step + 1, order.words)
    until = rollout.since + step.span
    if now >= until:
        return give_in(rollout, seen, "nobody approved it in time")
    return Wait(reason="a person has to approve", delay=_watched(rollout, seen, until - now))


def _scale(rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime) -> Decision:
    ours, stable = seen.find(rollout.deployment), seen.find(rollout.stable)
    assert ours is not None  # in_step looked
    wanted = step.instances or (stable.instance_count if stable else ours.instance_count)
    if ours.instance_count == wanted:
        return next_step(rollout, rollout.step + 1, f"{wanted} instance{'s' * (wanted != 1)}")
    if failure := failure_in(seen):
        return fail(rollout, seen, f"{ours.name} could not be scaled: {failure}")
    if rollout.tries >= WRITE_TRIES:
        return fail(rollout, seen, f"{ours.name} has {ours.instance_count} instances still")
    return Scale(name=ours.name, instances=wanted)


def _better(rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime) -> Decision:
    if seen.measurements is None:
        return AskGates(stable=rollout.stable)
    if not seen.measurements:
        return go_held(rollout, "there is nothing to compare")
    item = seen.measurements[0]
    if item.outcome is GateOutcome.PASS:
        return next_step(rollout, rollout.step + 1, item.detail)
    if item.outcome is GateOutcome.FAIL:
        return go_back(rollout, item.detail, Cause.NOT_BETTER)
    if now - rollout.since > rollout.plan.strategy.patience:
        return go_held(rollout, f"it can't be told which is better: {item.detail}")
    return Wait(reason=item.detail, delay=seen.grain)


_STEPS = {
    StepKind.PROBE: _probe,
    StepKind.MIRROR: _set_split,
    StepKind.TRAFFIC: _set_split,
    StepKind.HOLD: _hold,
    StepKind.APPROVE: _approve,
    StepKind.SCALE: _scale,
    StepKind.BETTER: _better,
}


def held(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Stay until a person decides, or for as long as the strategy lets people take."""
    order = find_order(rollout, OrderKind.RESUME, OrderKind.RETRY, OrderKind.PROMOTE)
    if order is not None:
        return _go_on(rollout, order, seen, now)
    unfit = _unfit(rollout, seen, now) if rollout.step >= 0 else None
    if isinstance(unfit, Go):
        return unfit
    until = rollout.since + rollout.plan.strategy.answer_within
    if now < until:
        reason = rollout.reason or "a person has to decide"
        return Wait(reason=reason, delay=_watched(rollout, seen, until - now))
    return give_in(rollout, seen, f"nobody decided in time: {rollout.reason}")


def _go_on(rollout: Rollout, order: Order, seen: Observation, now: datetime) -> Decision:
    if rollout.step < 0:
        is_waived = order.kind is OrderKind.PROMOTE
        told = replace(obey(rollout, order), is_waived=is_waived)
        return Go(phase=Phase.CHECKING, reason=order.words, rollout=told)
    if seen.endpoint is None:
        return go_back(obey(rollout, order), "the endpoint was deleted by someone")
    # Whoever says go on knows of the split that is there.
    found = (
        adopt(rollout, seen, now) if rollout.is_moved or rollout.split else as_found(rollout, seen)
    )
    if order.kind is OrderKind.PROMOTE:
        return promote(found, order)
    start = first_step_again(found) if order.kind is OrderKind.RETRY else found.step
    return next_step(obey(found, order), start, order.words)
