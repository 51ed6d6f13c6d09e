"""Decide what a rollout does in the steps of its strategy. Pure and total."""

from dataclasses import replace
from datetime import datetime

from shared.rollouts.deciding.decisions import Decision, Go, StepDone, Wait
from shared.rollouts.deciding.exits import (
    find_order,
    go_back,
    go_back_or_step_down,
    go_held,
    too_long,
    without_order,
)
from shared.rollouts.deciding.next_steps import first_step_again, next_step, promote
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.opening import as_found
from shared.rollouts.deciding.steps.kinds import DECIDERS
from shared.rollouts.deciding.steps.step_decider import StepDecider, next_watch
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import Split, is_same, leader, only, words
from shared.rollouts.strategy.model import OnConflict
from shared.workspaces.model import State


def in_step(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Check health, orders and conflicts, which come before any step's own work; then do that."""
    step = rollout.current
    assert step is not None  # no step, no phase of one
    decider = DECIDERS[step.kind]
    decision = (
        _check_health(rollout, seen, now)
        or _follow_orders(rollout, decider)
        or _check_conflict(rollout, decider.wanted(rollout, step, seen), seen, now)
        or decider.decide(rollout, step, seen, now)
    )
    if isinstance(decision, StepDone):
        following = next_step(decision.rollout, rollout.step + 1, decision.reason)
        return replace(following, note=decision.note)
    return decision


def _follow_orders(rollout: Rollout, decider: StepDecider) -> Decision | None:
    """Return the decision that an order asks for, None without one."""
    if order := find_order(rollout, OrderKind.PAUSE):
        return go_held(without_order(rollout, order), order.words)
    # A split that was begun is set before a promote takes effect.
    order = None if decider.sets_split else find_order(rollout, OrderKind.PROMOTE)
    return None if order is None else promote(rollout, order)


def _check_health(rollout: Rollout, seen: Observation, now: datetime) -> Decision | None:
    """Return the decision for an unhealthy endpoint or new deployment; None for healthy ones.

    A dead deployment is rolled back whatever `on_failure` says.
    """
    found = seen.find(rollout.deployment)
    if seen.endpoint is None or found is None:
        gone = "endpoint" if seen.endpoint is None else "deployment"
        return go_back(rollout, f"the {gone} was deleted by someone")
    if found.state.is_settled and found.state is not State.SUCCEEDED:
        return go_back(rollout, f"the deployment is {found.state}")
    for what, state in (("deployment", found.state), ("endpoint", seen.endpoint.state)):
        if not state.is_settled:
            late = too_long(rollout, now) if rollout.work.submitted else None
            return late or Wait(reason=f"the {what} is {state}")
    return None


def _check_conflict(
    rollout: Rollout, wanted: tuple[Split, Split], seen: Observation, now: datetime
) -> Decision | None:
    """Return the decision for a split that somebody else has changed; None if nobody has.

    The split that the step wants is never a conflict: a crash may have lost the record of our own
    write.
    """
    if is_same(seen.traffic, wanted[0]) and is_same(seen.mirror, wanted[1]):
        return None
    if rollout.traffic.is_as(seen.traffic, seen.mirror):
        return None
    reason = f"{words(rollout.traffic.split)} was changed by someone to {words(seen.traffic)}"
    if not is_same(seen.mirror, rollout.traffic.mirror):
        reason += f", mirrored {words(seen.mirror)}"
    policy = rollout.plan.strategy.on_conflict
    if policy is OnConflict.ABORT:
        return go_back(rollout, reason)
    if policy is OnConflict.HOLD:
        held = go_held(adopt(rollout, seen, now), reason)
        return replace(held, by_others=True)
    gone_on = next_step(adopt(rollout, seen, now), rollout.step, f"{reason}, and is adopted")
    return replace(gone_on, by_others=True)


def adopt(rollout: Rollout, seen: Observation, now: datetime) -> Rollout:
    """Return the rollout, which goes on from the endpoint's present split."""
    is_known = rollout.traffic.is_as(seen.traffic, seen.mirror)
    there = replace(
        rollout.traffic,
        split=dict(seen.traffic),
        mirror=dict(seen.mirror),
        split_at=rollout.traffic.split_at if is_known else now,
    )
    others = only(seen.traffic, lambda name: name.lower() != rollout.deployment.lower())
    if not rollout.plan.creates or not others:
        return replace(rollout, traffic=there)
    stable = leader(others, rollout.stable)
    found = seen.find(stable)
    is_other = stable != rollout.stable and found is not None
    return replace(
        rollout,
        traffic=replace(there, origin=others),
        stable=stable,
        stable_instances=found.instance_count if is_other and found else rollout.stable_instances,
    )


def held(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Stay until a person decides; go back once the strategy's `answer_within` has passed."""
    order = find_order(rollout, OrderKind.RESUME, OrderKind.RETRY, OrderKind.PROMOTE)
    if order is not None:
        return _go_on(rollout, order, seen, now)
    unhealthy = _check_health(rollout, seen, now) if rollout.step >= 0 else None
    if isinstance(unhealthy, Go):
        return unhealthy
    until = rollout.since + rollout.plan.strategy.answer_within
    if now < until:
        reason = rollout.reason or "a person has to decide"
        return Wait(reason=reason, delay=next_watch(rollout, seen, until - now))
    return go_back_or_step_down(rollout, seen, f"nobody decided in time: {rollout.reason}")


def _go_on(rollout: Rollout, order: Order, seen: Observation, now: datetime) -> Decision:
    if rollout.step < 0:
        is_waived = order.kind is OrderKind.PROMOTE
        gating = replace(rollout.gating, is_waived=is_waived)
        again = replace(without_order(rollout, order), gating=gating)
        return Go(phase=Phase.CHECKING, reason=order.words, rollout=again)
    if seen.endpoint is None:
        return go_back(without_order(rollout, order), "the endpoint was deleted by someone")
    # A person who orders to go on has seen the split that is there, so it is adopted.
    found = (
        adopt(rollout, seen, now)
        if rollout.attempt.is_moved or rollout.traffic.split
        else as_found(rollout, seen)
    )
    if order.kind is OrderKind.PROMOTE:
        return promote(found, order)
    start = first_step_again(found) if order.kind is OrderKind.RETRY else found.step
    return next_step(without_order(found, order), start, order.words)
