"""Decide how a rollout begins: its turn, the endpoint, the new deployment. Pure and total."""

from dataclasses import replace
from datetime import datetime, timedelta

from shared.rollouts.deciding.decisions import (
    AskGates,
    CreateDeployment,
    CreateEndpoint,
    Decision,
    DeleteDeployment,
    Go,
    Inspect,
    Overrule,
    Wait,
)
from shared.rollouts.deciding.exits import (
    WRITE_TRIES,
    go_back,
    go_held,
    refuse_rollout,
    too_long,
)
from shared.rollouts.deciding.next_steps import next_step
from shared.rollouts.deciding.observation import Observation, failure_in, unread_reason
from shared.rollouts.deciding.steps.kinds import DECIDERS
from shared.rollouts.state.measurement import GateOutcome, answer_to
from shared.rollouts.state.phases import UNDECIDED, Phase
from shared.rollouts.state.rollout import Cause, Rollout
from shared.rollouts.state.splits import is_same, leader, only, share
from shared.rollouts.state.tags import TAG_DEPLOYMENT, TAG_MODEL, TAG_VERSION
from shared.rollouts.strategy.model import Newer, NoVerdict
from shared.workspaces.model import Endpoint, State

#: A rollout is woken for its turn. This is the fallback if the one that wakes it has crashed.
TURN_WAIT = timedelta(minutes=10)


def queued(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Wait for the endpoint, or overrule the older rollout that has it."""
    if seen.has_lock:
        return Go(phase=Phase.CHECKING)
    policy, holder = rollout.plan.strategy.newer, seen.holder
    if holder is not None and holder.phase not in UNDECIDED:
        holder = None  # it only cleans up
    if holder is not None and policy is Newer.REFUSE:
        return refuse_rollout(rollout, f"{holder.model.words} is being rolled out on this endpoint")
    if holder is not None and policy is Newer.SUPERSEDE and is_newer(rollout, holder):
        is_told = any(order.supersedes for order in holder.orders)
        if not is_told and holder.attempt.cause is None:
            return Overrule(holder=holder)
    return Wait(reason="another rollout has the endpoint", delay=TURN_WAIT)


def is_newer(rollout: Rollout, other: Rollout) -> bool:
    """Return whether a rollout is of a later version of the other's model."""
    if rollout.model.name != other.model.name or rollout.model.name == "":
        return False
    ours, theirs = rollout.model.version, other.model.version
    if ours.isdecimal() and theirs.isdecimal():
        return int(ours) > int(theirs)
    return rollout.created_at > other.created_at


def checking(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Check what is there before anything is touched."""
    creates = rollout.plan.creates
    if creates and seen.find(rollout.deployment) is not None:
        return _checking_ours(rollout, seen)
    if seen.endpoint is None and not creates:
        return refuse_rollout(rollout, f"there is no endpoint {rollout.endpoint}")
    if seen.endpoint is not None and (off := _keep_off(rollout, seen, seen.endpoint, now)):
        return off
    return (_checking_new if creates else _checking_shift)(rollout, seen, now)


def _checking_new(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    if seen.faults is None:
        return Inspect()
    if seen.faults:
        return refuse_rollout(rollout, "; ".join(seen.faults))
    if seen.worse:
        return refuse_rollout(rollout, seen.worse, Cause.NOT_BETTER)
    # A retry that makes its deployment again has to prove it from the first step.
    ready = replace(as_found(rollout, seen), step=-1)
    if seen.endpoint is None or seen.endpoint.state is not State.SUCCEEDED:
        return Go(phase=Phase.ENDPOINT, rollout=ready)
    return prove_gates(ready, seen, now) or Go(phase=Phase.DEPLOYMENT, rollout=ready)


def _checking_ours(rollout: Rollout, seen: Observation) -> Decision:
    """Go on with our own deployment, from before a crash or of an earlier attempt."""
    ours = seen.find(rollout.deployment)
    assert ours is not None  # the caller looked
    assert seen.endpoint is not None  # or it would have no deployments
    is_kept = rollout.attempt.has_kept and not seen.serves(ours.name)
    if is_kept and (newer := _newer(rollout, seen.endpoint)):
        return refuse_rollout(rollout, newer, Cause.SUPERSEDED)
    if is_kept and ours.state in (State.FAILED, State.CANCELED):
        if rollout.work.tries >= WRITE_TRIES:
            return refuse_rollout(rollout, f"{ours.name} of the last attempt could not be deleted")
        return DeleteDeployment(name=ours.name)
    # No traffic was shifted yet, or it was shifted back: the deployment that served still does.
    return Go(phase=Phase.DEPLOYMENT, rollout=as_found(rollout, seen))


def as_found(rollout: Rollout, seen: Observation) -> Rollout:
    """Return the rollout with the splits and the stable deployment as the endpoint has them now."""
    origin = only(seen.traffic, lambda name: name.lower() != rollout.deployment.lower())
    if not rollout.plan.creates:
        origin = dict(seen.traffic)
    others = {name: part for name, part in origin.items() if name != rollout.deployment}
    stable = leader(others)
    served = seen.find(stable)
    return replace(
        rollout,
        traffic=replace(
            rollout.traffic, origin=origin, split=dict(seen.traffic), mirror=dict(seen.mirror)
        ),
        stable=stable,
        stable_instances=served.instance_count if served else 0,
    )


def _keep_off(
    rollout: Rollout, seen: Observation, endpoint: Endpoint, now: datetime
) -> Decision | None:
    """Return the decision for an endpoint that must not be touched, or not yet; else None."""
    if rollout.plan.creates:
        if not rollout.plan.adopt and (refusal := _refusal(rollout, endpoint)):
            return refuse_rollout(rollout, refusal)
        if newer := _newer(rollout, endpoint):
            return Go(phase=Phase.SUPERSEDED, reason=newer)
    is_settled = endpoint.state.is_settled
    if not is_settled and now - rollout.since <= rollout.plan.timeout:
        return Wait(reason=f"the endpoint is {endpoint.state}")
    if endpoint.state is State.SUCCEEDED:
        return None
    if seen.deployments or not is_settled or not rollout.plan.creates:
        reason = f"endpoint {endpoint.name} is {endpoint.state}: fix it, then try again"
        return refuse_rollout(rollout, reason)
    return None  # An endpoint that failed before it had a deployment is made again.


def _refusal(rollout: Rollout, endpoint: Endpoint) -> str:
    """Return why the endpoint is not this rollout's to change, or ""."""
    owner = endpoint.tags.get(TAG_MODEL)
    if owner is None:
        return f"endpoint {endpoint.name} was not made by Signalbox; set `adopt: true` to take it"
    if owner != rollout.model.name:
        return f"endpoint {endpoint.name} serves model {owner}; set `adopt: true` to replace it"
    return ""


def _newer(rollout: Rollout, endpoint: Endpoint) -> str:
    """Return why the version that serves must stay, or "". Only numbers are compared."""
    if endpoint.tags.get(TAG_MODEL) != rollout.model.name:
        return ""
    if not share(endpoint.traffic, endpoint.tags.get(TAG_DEPLOYMENT, "")):
        return ""
    serving, ours = endpoint.tags.get(TAG_VERSION, ""), rollout.model.version
    if serving == ours:
        return f"version {serving} serves already"
    if serving.isdecimal() and ours.isdecimal() and int(serving) > int(ours):
        return f"version {serving} serves, which is newer"
    return ""


def _checking_shift(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    for name, part in rollout.traffic.goal.items():
        if part and not seen.is_healthy(name):
            found = seen.find(name)
            reason = f"deployment {name} is {found.state if found else 'not there'}"
            is_in_time = now - rollout.since <= rollout.plan.timeout
            if found is not None and not found.state.is_settled and is_in_time:
                return Wait(reason=reason)
            return refuse_rollout(rollout, f"{reason}, and can't be given traffic")
    ready = as_found(rollout, seen)
    if is_same(seen.traffic, rollout.traffic.goal):
        return next_step(ready, len(ready.plan.strategy.steps), "the endpoint has this split")
    return prove_gates(ready, seen, now) or next_step(ready, max(ready.step, 0))


def prove_gates(rollout: Rollout, seen: Observation, now: datetime) -> Decision | None:
    """Ask whether each gate can measure the stable deployment; None once all can."""
    strategy = rollout.plan.strategy
    judges = any(DECIDERS[step.kind].judges_gates for step in strategy.steps)
    if not rollout.stable or not strategy.gates or not judges or rollout.gating.is_waived:
        return None
    if seen.measurements is None:
        return AskGates(stable=rollout.stable)
    gates = {gate.measure: gate for gate in strategy.gates}
    blind = [
        (answer_to(gates[item.measure], item.outcome), item)
        for item in seen.measurements
        if item.outcome is not GateOutcome.PASS and not item.observe
    ]
    for answer, item in blind:
        if item.lasting or answer is NoVerdict.FAIL:
            return refuse_rollout(rollout, f"gate {item.measure} can't measure: {item.detail}")
    if not blind:
        return None
    answer, item = blind[0]
    is_late = now - rollout.since > strategy.patience
    if is_late or any(answer is NoVerdict.HOLD for answer, _ in blind):
        return go_held(rollout, f"gate {item.measure} can't measure: {item.detail}")
    reason = f"gate {item.measure} can't measure {rollout.stable} yet: {item.detail}"
    return Wait(reason=reason, delay=seen.grain)


def creating_endpoint(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Create the endpoint."""
    if failure := failure_in(seen):
        return go_back(rollout, f"the endpoint could not be made: {failure}")
    if late := too_long(rollout, now):
        return late
    found = seen.endpoint
    if found is not None and found.state is State.SUCCEEDED:
        return Go(phase=Phase.DEPLOYMENT)
    if found is not None and not found.state.is_settled:
        return Wait(reason=f"the endpoint is {found.state}")
    if not rollout.work.submitted:
        return CreateEndpoint()
    if found is None:
        return Wait(reason="the endpoint is not there yet")
    return go_back(rollout, f"the endpoint is {found.state}{unread_reason(seen)}")


def creating_deployment(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Create the new deployment. The rollout has moved no traffic yet."""
    if failure := failure_in(seen):
        return go_back(rollout, failure)
    if late := too_long(rollout, now):
        return late
    found = seen.find(rollout.deployment)
    if found is None:
        if rollout.work.submitted and seen.operation is not None:
            return go_back(rollout, "the deployment was deleted by someone")
        return CreateDeployment()
    if found.state is State.SUCCEEDED:
        start = first if (first := rollout.step) > 0 else 0
        return next_step(as_found(rollout, seen), start)
    if found.state.is_settled or found.state is State.DELETING:
        return go_back(rollout, f"the deployment is {found.state}{unread_reason(seen)}")
    return Wait(reason=f"the deployment is {found.state}")
