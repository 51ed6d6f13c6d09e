"""Decide how a rollout ends: live and the old one retired, or back to what is healthy now. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil

from shared.rollouts.deciding.decisions import (
    Decision,
    DeleteDeployment,
    Go,
    ReadLogs,
    Scale,
    SendProbe,
    SetTraffic,
    Wait,
)
from shared.rollouts.deciding.exits import (
    WRITE_TRIES,
    find_order,
    go_back,
    mirror_beside,
)
from shared.rollouts.deciding.next_steps import first_step_again
from shared.rollouts.deciding.observation import Observation, failure_in
from shared.rollouts.deciding.steps.kinds import DECIDERS
from shared.rollouts.deciding.steps.probe import SHORT_WAIT
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Attempt, Cause, Rollout
from shared.rollouts.state.splits import is_same, leader, only, share, words
from shared.rollouts.state.tags import TAG_DEPLOYMENT, TAG_ROLLOUT
from shared.workspaces.model import Deployment, EndpointKind, State


def live(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Keep the old deployment for a while."""
    keep_until = rollout.since + rollout.plan.keep_old
    if not rollout.stable or not rollout.plan.creates:
        return Go(phase=Phase.DONE)
    if now < keep_until:
        return Wait(reason=f"{rollout.stable} is kept", delay=keep_until - now)
    return Go(phase=Phase.RETIRING)


def retiring(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Delete the old deployment, if it is Signalbox's and idle."""
    old = seen.find(rollout.stable)
    if old is None:
        return Go(phase=Phase.DONE)
    if TAG_ROLLOUT not in old.tags:
        return Go(phase=Phase.DONE, reason=f"{old.name} stays: Signalbox did not make it")
    if seen.serves(old.name):
        return Go(phase=Phase.DONE, reason=f"{old.name} stays: it has traffic again")
    if old.name in seen.needed:
        return Go(phase=Phase.DONE, reason=f"{old.name} stays: another rollout keeps it")
    return _delete(rollout, seen, old)


def stepping_down(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Go back through the rollout's earlier splits, one after the other."""
    lower = _lower(rollout)
    is_fit = seen.endpoint is not None and not failure_in(seen) and _can_step_down(rollout, seen)
    if lower is None or not is_fit or rollout.work.tries >= WRITE_TRIES:
        return _step_off(rollout, seen, now)
    assert seen.endpoint is not None  # it would not be fit
    if not seen.endpoint.state.is_settled:
        return Wait(reason=f"the endpoint is {seen.endpoint.state}")
    if is_same(seen.traffic, lower):
        traffic = replace(rollout.traffic, split=dict(seen.traffic), split_at=now)
        there = replace(rollout, traffic=traffic)
        # No reason of its own: the rollout goes back for the one that it began with.
        return Go(phase=Phase.STEPPING_DOWN, note=words(seen.traffic), rollout=there)
    if not is_same(seen.traffic, rollout.traffic.split):
        return _step_off(rollout, seen, now, at_once=True)
    return _pause_between(rollout, now) or SetTraffic(
        traffic=lower,
        mirror=mirror_beside(seen.mirror, lower, rollout, seen),
        serving=leader(lower, rollout.stable),
    )


def _step_off(
    rollout: Rollout, seen: Observation, now: datetime, *, at_once: bool = False
) -> Decision:
    """Take the last step down: a rollback like any other."""
    is_calm = _can_step_down(rollout, seen) and not failure_in(seen) and not at_once
    pause = _pause_between(rollout, now) if is_calm else None
    return pause or go_back(rollout, rollout.reason, rollout.attempt.cause or Cause.FAILED)


def _pause_between(rollout: Rollout, now: datetime) -> Wait | None:
    """Wait after each step down, but not before the first: a step down begins the phase again."""
    until = rollout.since + rollout.plan.strategy.step_down_every
    if rollout.traffic.split_at != rollout.since or now >= until:
        return None
    return Wait(reason="stepping down", delay=until - now)


def _can_step_down(rollout: Rollout, seen: Observation) -> bool:
    names = {*rollout.traffic.origin, *rollout.traffic.goal, rollout.deployment}
    return all(seen.is_healthy(name) for name in names)


def _lower(rollout: Rollout) -> Mapping[str, int] | None:
    """Return the next lower split that the rollout came up by, or None."""
    ours = share(rollout.traffic.split, rollout.deployment)
    splits = (DECIDERS[step.kind].live_split(rollout, step) for step in rollout.plan.strategy.steps)
    lower = [split for split in splits if split and 0 < share(split, rollout.deployment) < ours]
    return max(lower, key=lambda split: share(split, rollout.deployment), default=None)


def rolling_back(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Give all traffic to healthy deployments, until the split reads back and they answer."""
    endpoint = seen.endpoint
    if endpoint is None:
        traffic = replace(rollout.traffic, split={}, mirror={})
        return _rolled_back(replace(rollout, stable="", traffic=traffic), seen)
    if not endpoint.state.is_settled:
        return Wait(reason=f"the endpoint is {endpoint.state}")
    if _is_back(rollout, seen):
        return _verify(rollout, seen)
    if (busy := _find_busy(rollout, seen)) and _can_wait(rollout, seen, now):
        return Wait(reason=f"{busy.name} is {busy.state}")
    target = find_way_back(rollout, seen)
    if target is None:
        return _stay(rollout, seen, now)
    for found in [seen.find(name) for name in target]:
        if found is not None and (decision := _make_room(rollout, seen, found, target, now)):
            return decision
    return SetTraffic(
        traffic=target,
        mirror=mirror_beside(seen.mirror, target, rollout, seen),
        serving=leader(target, rollout.stable),
    )


def _find_busy(rollout: Rollout, seen: Observation) -> Deployment | None:
    """Return a deployment of the way back that is busy, for instance scaling; or None."""
    names = dict.fromkeys((*seen.traffic, *rollout.traffic.origin))
    others = (seen.find(name) for name in names if name.lower() != rollout.deployment.lower())
    return next(
        (
            found
            for found in others
            if found and not found.state.is_settled and found.state is not State.DELETING
        ),
        None,
    )


def _can_wait(rollout: Rollout, seen: Observation, now: datetime) -> bool:
    """Return whether the new deployment can carry its traffic a while longer."""
    return seen.is_healthy(rollout.deployment) and now - rollout.since < rollout.plan.timeout


def _stay(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Leave the split as it is, and raise an alarm, because any other split would be worse."""
    reason = f"there is nothing healthy to roll back to; {words(seen.traffic)} stays"
    if now - rollout.since > rollout.plan.strategy.answer_within:
        traffic = replace(rollout.traffic, split=dict(seen.traffic))
        there = replace(rollout, stable=leader(seen.traffic), traffic=traffic)
        return Go(phase=Phase.KEEPING, reason=f"{rollout.reason}; {reason}", rollout=there)
    return Wait(reason=reason, is_alarm=True)


def _is_back(rollout: Rollout, seen: Observation) -> bool:
    """Return whether the rollout has no part in the split any more."""
    endpoint = seen.endpoint
    assert endpoint is not None  # the caller looked
    # A failed write may leave the endpoint Failed, which blocks every later one. Writing the same
    # split again repairs it.
    is_well = endpoint.state is State.SUCCEEDED or not seen.deployments
    if not is_well and rollout.work.tries < WRITE_TRIES:
        return False
    if not rollout.plan.creates:
        return not rollout.attempt.is_moved or is_same(
            seen.traffic, find_way_back(rollout, seen) or {}
        )
    says = endpoint.tags.get(TAG_DEPLOYMENT) == rollout.deployment
    return not seen.serves(rollout.deployment) and not says


def find_way_back(rollout: Rollout, seen: Observation) -> Mapping[str, int] | None:
    """Return the split of healthy deployments to roll back to; None if there is none.

    The first choice is the split before the rollout or, if others have changed the split since, the
    split of now, each without the deployments that are unhealthy. If nothing is left of both, any
    healthy deployment that did not fail itself gets all traffic. {} is for an endpoint on which
    nothing served.
    """
    ours = rollout.deployment.lower() if rollout.plan.creates else ""

    def is_fit(name: str) -> bool:
        return name.lower() != ours and name not in seen.failed and seen.is_healthy(name)

    if not rollout.plan.creates and not rollout.traffic.origin:
        return {}
    ways = (only(seen.traffic, is_fit), only(rollout.traffic.origin, is_fit))
    is_as_left = is_same(seen.traffic, rollout.traffic.split)
    for way in reversed(ways) if is_as_left or not rollout.plan.creates else ways:
        if way:
            return way
    if not rollout.stable:
        return {}
    others = sorted((name for name in seen.deployments if is_fit(name)), reverse=True)
    return {others[0]: 100} if others else None


def _make_room(
    rollout: Rollout,
    seen: Observation,
    found: Deployment,
    target: Mapping[str, int],
    now: datetime,
) -> Decision | None:
    """Scale a deployment that gets its traffic back to the instances that it had then.

    None if it has them, if Signalbox did not make it, or if the new deployment can't carry on.
    """
    is_sized = rollout.plan.kind is not EndpointKind.BATCH  # where each job says its own size
    if found.name != rollout.stable or not rollout.stable_instances or not is_sized:
        return None
    before = share(rollout.traffic.origin, found.name) or 100
    needed = ceil(rollout.stable_instances * share(target, found.name) / before)
    is_short = found.instance_count < needed
    if not is_short or not _can_wait(rollout, seen, now) or TAG_ROLLOUT not in found.tags:
        return None
    if rollout.work.tries >= WRITE_TRIES:
        return None
    return Scale(name=found.name, instances=needed)


def _verify(rollout: Rollout, seen: Observation) -> Decision:
    """Probe the deployment that serves, before the rollback counts as done."""
    serving = leader(seen.traffic, rollout.stable)
    traffic = replace(rollout.traffic, split=dict(seen.traffic), mirror=dict(seen.mirror))
    back = replace(rollout, stable=serving, traffic=traffic)
    if not rollout.attempt.is_moved or not serving or rollout.plan.kind is EndpointKind.BATCH:
        return _rolled_back(back, seen)
    if seen.probe is None:
        return SendProbe(deployment=serving)
    if seen.probe.passed or rollout.work.probes >= rollout.plan.probe.tries:
        fault = "" if seen.probe.passed else f"; {serving} serves, and {seen.probe.detail}"
        answer = f"{words(seen.traffic)}; {serving} has answered"
        return _rolled_back(back, seen, fault, note=answer)
    return Wait(reason=f"{serving} serves again, and {seen.probe.detail}", delay=SHORT_WAIT)


def _rolled_back(
    rollout: Rollout, seen: Observation, fault: str = "", *, note: str = ""
) -> Decision:
    ours = seen.find(rollout.deployment) if rollout.plan.creates else None
    if ours is not None and not rollout.attempt.logs and rollout.attempt.cause is Cause.FAILED:
        return ReadLogs()
    is_kept = not rollout.plan.creates or (ours is not None and keeps(rollout) > timedelta(0))
    phase = Phase.KEEPING if is_kept else Phase.REMOVING
    reason = rollout.reason + fault if fault else ""
    return Go(phase=phase, reason=reason, note=note, rollout=rollout)


def keeps(rollout: Rollout) -> timedelta:
    """Return how long the deployment is kept for inspection after a rollback."""
    if rollout.attempt.cause is Cause.SUPERSEDED or not rollout.plan.creates:
        return timedelta(0)
    return rollout.plan.strategy.keep_failed


def keeping(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Keep the failed deployment for a while; the endpoint is free."""
    if order := find_order(rollout, OrderKind.RETRY):
        return retry(rollout, order.words)
    if not rollout.plan.creates:
        return Go(phase=Phase.ROLLED_BACK)
    keep_until = rollout.since + keeps(rollout)
    if now < keep_until:
        return Wait(reason=f"{rollout.deployment} is kept", delay=keep_until - now)
    return Go(phase=Phase.REMOVING)


def ended(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Stay ended, unless a person orders a retry."""
    if order := find_order(rollout, OrderKind.RETRY):
        return retry(rollout, order.words, has_kept=False)
    return Wait(reason="it has ended")


def retry(rollout: Rollout, reason: str, *, has_kept: bool = True) -> Go:
    """Begin again: at the step that failed if its deployment is still there, else at the first.

    A rollout that was live has no failed step, so it begins at the first.
    """
    again = replace(
        rollout,
        orders=(),
        attempt=Attempt(retries=rollout.attempt.retries + 1, has_kept=has_kept),
        step=first_step_again(rollout) if has_kept and rollout.current is not None else -1,
    )
    return Go(phase=Phase.QUEUED, reason=reason, rollout=again)


def removing(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Delete the failed deployment, if it has no traffic."""
    failed = seen.find(rollout.deployment)
    if failed is None:
        return Go(phase=Phase.ROLLED_BACK)
    if seen.serves(failed.name):
        return end_undeleted(rollout, "it has traffic again")
    if failed.name in seen.needed:
        return end_undeleted(rollout, "another rollout keeps it, to go back to")
    return _delete(rollout, seen, failed)


def _delete(rollout: Rollout, seen: Observation, deployment: Deployment) -> Decision:
    if not deployment.state.is_settled:
        return Wait(reason=f"{deployment.name} is {deployment.state}")
    if rollout.work.tries >= WRITE_TRIES:
        return end_undeleted(rollout, failure_in(seen) or "it is still there")
    return DeleteDeployment(name=deployment.name)


def end_undeleted(rollout: Rollout, why: str) -> Go:
    """Return the end of a rollout that can't delete a deployment. It lets go of the endpoint."""
    if rollout.phase is Phase.RETIRING:
        return Go(phase=Phase.DONE, reason=f"{rollout.stable} could not be deleted: {why}")
    reason = f"{rollout.deployment} could not be deleted: {why}; {rollout.reason}"
    return Go(phase=Phase.ROLLED_BACK, reason=reason)
