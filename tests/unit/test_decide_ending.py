"""How a rollout ends: live and the old one retired, or back to what is healthy now."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.rollouts.deciding.decisions import (
    DeleteDeployment,
    Go,
    ReadLogs,
    Scale,
    SendProbe,
    SetTraffic,
    Wait,
)
from shared.rollouts.deciding.ending import end_undeleted, keeps
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Cause, ProbeResult, Rollout
from shared.rollouts.state.tags import TAG_DEPLOYMENT
from shared.rollouts.strategy.model import OnFailure
from shared.workspaces.model import EndpointKind, State
from tests.unit.rollouts import (
    BLUE,
    BOTH,
    CANARY,
    FAILED,
    HOLD,
    MINUTE,
    NEW,
    NOW,
    OLD,
    OWN,
    Case,
    by_phase,
    change,
    make_deployment,
    make_endpoint,
    make_order,
    make_rollout,
    make_seen,
    make_shift,
    traffic,
    went,
    with_plan,
    with_strategy,
)

HOUR = timedelta(hours=1)
LATE = timedelta(minutes=61)
LIVE = make_rollout(Phase.LIVE, split={NEW: 100})

LIVING = {
    "the old one is kept for its time": Case(
        rollout=LIVE,
        seen=Observation(),
        decision=Wait(reason=f"{OLD} is kept", delay=timedelta(minutes=30)),
    ),
    "after its time the old one is deleted": Case(
        rollout=LIVE,
        seen=Observation(),
        after=timedelta(minutes=30),
        decision=Go(phase=Phase.RETIRING),
    ),
    "with nothing to keep it is done": Case(
        rollout=replace(LIVE, stable=""), seen=Observation(), decision=Go(phase=Phase.DONE)
    ),
    "what it did not make it does not delete": Case(
        rollout=with_plan(LIVE, creates=False), seen=Observation(), decision=Go(phase=Phase.DONE)
    ),
    "while the old one is kept there is a way back": Case(
        rollout=replace(LIVE, orders=(make_order(OrderKind.ABORT),)),
        seen=Observation(),
        decision=went(Phase.ROLLING_BACK, "abort by ada: I say so", LIVE, cause=Cause.ABORTED),
    ),
}

RETIRING = make_rollout(Phase.RETIRING)
SERVED = make_seen({NEW: 100}, states=BOTH)

RETIRES = {
    "while another rollout has the endpoint nothing happens": Case(
        rollout=RETIRING,
        seen=Observation(),
        decision=Wait(reason="another rollout has the endpoint", delay=10 * MINUTE),
    ),
    "the old one is deleted": Case(
        rollout=RETIRING, seen=SERVED, decision=DeleteDeployment(name=OLD)
    ),
    "a deployment that is gone already needs no deletion": Case(
        rollout=RETIRING,
        seen=make_seen({NEW: 100}, states={NEW: State.SUCCEEDED}),
        decision=Go(phase=Phase.DONE),
    ),
    "one that serves again stays": Case(
        rollout=RETIRING,
        seen=make_seen({NEW: 90, OLD: 10}, states=BOTH),
        decision=Go(phase=Phase.DONE, reason=f"{OLD} stays: it has traffic again"),
    ),
    "one that is mirrored to stays": Case(
        rollout=RETIRING,
        seen=make_seen({NEW: 100}, states=BOTH, mirror={OLD: 10}),
        decision=Go(phase=Phase.DONE, reason=f"{OLD} stays: it has traffic again"),
    ),
    "one that serves under another casing stays": Case(
        rollout=replace(RETIRING, stable=BLUE),
        seen=make_seen({NEW: 90, "blue": 10}, states={BLUE: State.SUCCEEDED}),
        decision=Go(phase=Phase.DONE, reason=f"{BLUE} stays: it has traffic again"),
    ),
    "one of somebody else's stays": Case(
        rollout=RETIRING,
        seen=make_seen({NEW: 100}, deployments={OLD: make_deployment(OLD, tags={})}),
        decision=Go(phase=Phase.DONE, reason=f"{OLD} stays: Signalbox did not make it"),
    ),
    "one that another rollout may go back to stays": Case(
        rollout=RETIRING,
        seen=replace(SERVED, needed=frozenset({OLD})),
        decision=Go(phase=Phase.DONE, reason=f"{OLD} stays: another rollout keeps it"),
    ),
    "one that is being changed is waited for": Case(
        rollout=RETIRING,
        seen=make_seen({NEW: 100}, states=BOTH | {OLD: State.DELETING}),
        decision=Wait(reason=f"{OLD} is Deleting"),
    ),
    "one that does not go is left": Case(
        rollout=change(RETIRING, tries=3),
        seen=replace(SERVED, operation=FAILED),
        decision=Go(
            phase=Phase.DONE,
            reason=f"{OLD} could not be deleted: ImageBuildFailure: no pip",
        ),
    ),
}

BACK = make_rollout(
    Phase.ROLLING_BACK,
    *CANARY,
    is_moved=True,
    split={NEW: 100},
    reason="no pip",
    logs="Traceback",
    cause=Cause.FAILED,
)
UNMOVED = change(BACK, is_moved=False, split={OLD: 100})
RETURNED = make_seen(states=BOTH)
ANSWERED = replace(RETURNED, probe=ProbeResult(passed=True))
SILENT = replace(RETURNED, probe=ProbeResult(passed=False, detail="503"))
THREE = BOTH | {BLUE: State.SUCCEEDED}
SHIFTED = make_shift(
    Phase.ROLLING_BACK,
    *CANARY,
    is_moved=True,
    split={NEW: 100},
    reason="no pip",
    cause=Cause.FAILED,
)
BOTH_SPLIT = {OLD: 60, BLUE: 40}

WAYS_BACK = {
    "while another rollout has the endpoint nothing happens": Case(
        rollout=BACK,
        seen=Observation(),
        decision=Wait(reason="another rollout has the endpoint", delay=10 * MINUTE),
    ),
    "traffic goes back to the stable one": Case(
        rollout=BACK, seen=SERVED, decision=SetTraffic(traffic={OLD: 100}, serving=OLD)
    ),
    "the others keep the proportions that they have now": Case(
        rollout=change(BACK, origin=BOTH_SPLIT),
        seen=make_seen({OLD: 10, BLUE: 30, NEW: 60}, states=THREE),
        decision=SetTraffic(traffic={OLD: 25, BLUE: 75}, serving=BLUE),
    ),
    "where nobody has changed the split, those that they had before": Case(
        rollout=change(BACK, origin=BOTH_SPLIT, split={OLD: 10, BLUE: 30, NEW: 60}),
        seen=make_seen({OLD: 10, BLUE: 30, NEW: 60}, states=THREE),
        decision=SetTraffic(traffic=BOTH_SPLIT, serving=OLD),
    ),
    "what failed in a rollout of its own gets none of it": Case(
        rollout=change(BACK, origin=BOTH_SPLIT),
        seen=replace(make_seen({NEW: 100}, states=THREE), failed=frozenset({OLD})),
        decision=SetTraffic(traffic={BLUE: 100}, serving=BLUE),
    ),
    "the others keep the proportions that they had before what failed": Case(
        rollout=change(BACK, origin=BOTH_SPLIT),
        seen=make_seen({NEW: 100}, states=THREE),
        decision=SetTraffic(traffic=BOTH_SPLIT, serving=OLD),
    ),
    "traffic goes to what is healthy now, not to what was": Case(
        rollout=BACK,
        seen=make_seen({NEW: 100}, states=THREE | {OLD: State.FAILED}),
        decision=SetTraffic(traffic={BLUE: 100}, serving=BLUE),
    ),
    "what is not healthy gets none of it": Case(
        rollout=change(BACK, origin=BOTH_SPLIT),
        seen=make_seen({NEW: 100}, states=THREE | {OLD: State.FAILED}),
        decision=SetTraffic(traffic={BLUE: 100}, serving=BLUE),
    ),
    "what is being changed is waited for": Case(
        rollout=BACK,
        seen=make_seen({NEW: 100}, states=THREE | {OLD: State.SCALING}),
        decision=Wait(reason=f"{OLD} is Scaling"),
    ),
    "what is being changed is not waited for where the new one is broken": Case(
        rollout=BACK,
        seen=make_seen({NEW: 100}, states=THREE | {OLD: State.SCALING, NEW: State.FAILED}),
        decision=SetTraffic(traffic={BLUE: 100}, serving=BLUE),
    ),
    "what is being changed is not waited for longer than anything is": Case(
        rollout=BACK,
        seen=make_seen({NEW: 100}, states=THREE | {OLD: State.SCALING}),
        after=LATE,
        decision=SetTraffic(traffic={BLUE: 100}, serving=BLUE),
    ),
    "what is being deleted is not waited for": Case(
        rollout=BACK,
        seen=make_seen({NEW: 100}, states=THREE | {OLD: State.DELETING}),
        decision=SetTraffic(traffic={BLUE: 100}, serving=BLUE),
    ),
    "where nothing served before, what somebody gave traffic keeps it": Case(
        rollout=change(BACK, stable="", origin={}),
        seen=make_seen({NEW: 60, BLUE: 40}, states=THREE),
        decision=SetTraffic(traffic={BLUE: 100}, serving=BLUE),
    ),
    "where nothing served before nothing does again": Case(
        rollout=change(BACK, stable="", origin={}),
        seen=make_seen({NEW: 100}, states={NEW: State.SUCCEEDED, BLUE: State.SUCCEEDED}),
        decision=SetTraffic(traffic={}, serving=""),
    ),
    "with nothing healthy the split stays, and people are told": Case(
        rollout=BACK,
        seen=make_seen({NEW: 100}, states={NEW: State.SUCCEEDED}),
        decision=Wait(
            reason=f"there is nothing healthy to roll back to; {NEW} 100% stays", is_alarm=True
        ),
    ),
    "with nothing healthy for too long the split is left so": Case(
        rollout=BACK,
        seen=make_seen({NEW: 100}, states={NEW: State.SUCCEEDED}),
        after=timedelta(days=8),
        decision=went(
            Phase.KEEPING,
            f"no pip; there is nothing healthy to roll back to; {NEW} 100% stays",
            BACK,
            stable=NEW,
        ),
    ),
    "a copy of the traffic is no longer sent": Case(
        rollout=UNMOVED,
        seen=make_seen(states=BOTH, mirror={NEW: 10}),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "an endpoint that still says that the new one serves is written": Case(
        rollout=BACK,
        seen=make_seen(states=BOTH, tags=OWN | {TAG_DEPLOYMENT: NEW}),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "an endpoint that a failed write left Failed is written again": Case(
        rollout=BACK,
        seen=replace(RETURNED, endpoint=make_endpoint(state=State.FAILED)),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "an endpoint that is being changed is waited for": Case(
        rollout=BACK,
        seen=replace(RETURNED, endpoint=make_endpoint({NEW: 100}, state=State.UPDATING)),
        decision=Wait(reason="the endpoint is Updating"),
    ),
    "the write is tried for ever": Case(
        rollout=change(BACK, tries=1000),
        seen=SERVED,
        after=timedelta(days=30),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "a shift goes back to the split that it found": Case(
        rollout=change(SHIFTED, origin=BOTH_SPLIT),
        seen=make_seen({NEW: 100}, states=THREE),
        decision=SetTraffic(traffic=BOTH_SPLIT, serving=OLD),
    ),
    "a shift goes back as far as that split is healthy": Case(
        rollout=change(SHIFTED, origin=BOTH_SPLIT),
        seen=make_seen({NEW: 100}, states=THREE | {BLUE: State.FAILED}),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "a shift goes back also where that split gave the deployment a share": Case(
        rollout=change(SHIFTED, origin={OLD: 80, NEW: 20}),
        seen=make_seen({NEW: 100}, states=BOTH),
        decision=SetTraffic(traffic={OLD: 80, NEW: 20}, serving=OLD),
    ),
    "a shift goes back to no split where it found none": Case(
        rollout=change(SHIFTED, origin={}, stable=""),
        seen=make_seen({NEW: 100}, states=BOTH),
        decision=SetTraffic(traffic={}, serving=""),
    ),
}


def sized(instances: int, **changes: Any) -> Observation:
    """Return what is seen when all is on the new one, and the old one has so many instances."""
    old = make_deployment(OLD, instance_count=instances, **changes)
    return replace(SERVED, deployments={NEW: make_deployment(NEW), OLD: old})


WIDE = replace(BACK, stable_instances=5)

ROOM = {
    "what is rolled back to is given its instances first": Case(
        rollout=WIDE, seen=sized(1), decision=Scale(name=OLD, instances=5)
    ),
    "it is given as many instances as for so much traffic": Case(
        rollout=change(WIDE, origin={OLD: 50, BLUE: 50}),
        seen=make_seen(
            {OLD: 10, BLUE: 30, NEW: 60},
            deployments={
                name: make_deployment(name, instance_count=1) for name in (OLD, BLUE, NEW)
            },
        ),
        decision=Scale(name=OLD, instances=3),
    ),
    "where it had no traffic before, it is given as many instances as for all": Case(
        rollout=change(WIDE, origin={BLUE: 100}),
        seen=make_seen(
            {OLD: 40, NEW: 60},
            deployments={name: make_deployment(name, instance_count=1) for name in (OLD, NEW)},
        ),
        decision=Scale(name=OLD, instances=5),
    ),
    "only of what served when it began is known how many it had": Case(
        rollout=WIDE,
        seen=make_seen(
            {BLUE: 40, NEW: 60},
            deployments={name: make_deployment(name, instance_count=1) for name in (BLUE, NEW)},
        ),
        decision=SetTraffic(traffic={BLUE: 100}, serving=BLUE),
    ),
    "a batch deployment has no instances to be given": Case(
        rollout=with_plan(WIDE, kind=EndpointKind.BATCH),
        seen=sized(0),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "with enough instances traffic comes": Case(
        rollout=WIDE, seen=sized(5), decision=SetTraffic(traffic={OLD: 100}, serving=OLD)
    ),
    "somebody's deployment is not scaled": Case(
        rollout=WIDE,
        seen=sized(1, tags={}),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "instances are not waited for where the new one is broken": Case(
        rollout=WIDE,
        seen=make_seen({NEW: 100}, states=BOTH | {NEW: State.FAILED}),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "instances are not waited for longer than anything is": Case(
        rollout=WIDE,
        seen=sized(1),
        after=LATE,
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "instances are not waited for where they can't be given": Case(
        rollout=change(WIDE, tries=3),
        seen=sized(1),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
}

VERIFIED = {
    "what serves has to answer": Case(
        rollout=BACK, seen=RETURNED, decision=SendProbe(deployment=OLD)
    ),
    "what serves has answered: it is rolled back": Case(
        rollout=BACK,
        seen=ANSWERED,
        decision=went(Phase.KEEPING, "", BACK, split={OLD: 100}, stable=OLD),
    ),
    "what serves has not answered: it is asked again": Case(
        rollout=change(BACK, probes=1),
        seen=SILENT,
        decision=Wait(reason=f"{OLD} serves again, and 503", delay=timedelta(seconds=5)),
    ),
    "what serves never answered: that is told": Case(
        rollout=change(BACK, probes=3),
        seen=SILENT,
        decision=Go(phase=Phase.KEEPING, reason=f"no pip; {OLD} serves, and 503"),
    ),
    "where nothing was moved nothing has to be proved": Case(
        rollout=UNMOVED, seen=RETURNED, decision=went(Phase.KEEPING, "", UNMOVED)
    ),
    "where nothing serves nothing has to be proved": Case(
        rollout=change(BACK, stable="", origin={}, split={}),
        seen=make_seen({}, states={NEW: State.SUCCEEDED}, tags={}),
        decision=Go(phase=Phase.KEEPING),
    ),
    "a shift that moved nothing leaves the split to whoever changed it": Case(
        rollout=change(SHIFTED, is_moved=False, split={OLD: 100}),
        seen=make_seen({OLD: 50, NEW: 50}, states=BOTH),
        decision=went(
            Phase.KEEPING, "", SHIFTED, is_moved=False, split={OLD: 50, NEW: 50}, stable=OLD
        ),
    ),
    "a batch endpoint does not answer": Case(
        rollout=with_plan(BACK, kind=EndpointKind.BATCH),
        seen=RETURNED,
        decision=Go(phase=Phase.KEEPING),
    ),
    "what serves is what serves now": Case(
        rollout=BACK,
        seen=make_seen({BLUE: 100}, states=THREE),
        decision=SendProbe(deployment=BLUE),
    ),
    "the log is read while there is one": Case(
        rollout=change(BACK, logs=""), seen=ANSWERED, decision=ReadLogs()
    ),
    "the log of one that did not fail is not read": Case(
        rollout=change(BACK, logs="", cause=Cause.ABORTED),
        seen=ANSWERED,
        decision=Go(phase=Phase.KEEPING),
    ),
    "what makes place for a newer version is not kept": Case(
        rollout=change(BACK, cause=Cause.SUPERSEDED),
        seen=ANSWERED,
        decision=Go(phase=Phase.REMOVING),
    ),
    "what is not to be kept is not kept": Case(
        rollout=with_strategy(BACK, keep_failed=timedelta(0)),
        seen=ANSWERED,
        decision=Go(phase=Phase.REMOVING),
    ),
    "what is not there is not kept": Case(
        rollout=UNMOVED, seen=make_seen(), decision=Go(phase=Phase.REMOVING)
    ),
    "with the endpoint all is gone": Case(
        rollout=BACK,
        seen=make_seen(endpoint=None, deployments={}),
        decision=went(Phase.REMOVING, "", BACK, stable="", split={}, mirror={}),
    ),
    "an endpoint that failed and has nothing on it serves nobody": Case(
        rollout=change(UNMOVED, stable="", origin={}),
        seen=make_seen(endpoint=make_endpoint({}, state=State.FAILED), deployments={}),
        decision=Go(phase=Phase.REMOVING),
    ),
    "an endpoint that does not get well keeps nobody": Case(
        rollout=change(BACK, tries=3),
        seen=replace(ANSWERED, endpoint=make_endpoint(state=State.FAILED)),
        decision=Go(phase=Phase.KEEPING),
    ),
    "a shift has nothing to remove": Case(
        rollout=SHIFTED, seen=ANSWERED, decision=Go(phase=Phase.KEEPING)
    ),
    "the split is written before it is believed": Case(
        rollout=SHIFTED,
        seen=replace(ANSWERED, endpoint=make_endpoint({OLD: 50, NEW: 50})),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
}

STEPS = (traffic(10), HOLD, traffic(50), HOLD, traffic(100), HOLD)
HALF = {OLD: 50, NEW: 50}
DOWN = with_strategy(
    make_rollout(
        Phase.STEPPING_DOWN,
        *STEPS,
        step=3,
        split=HALF,
        split_at=NOW - HOUR,
        is_moved=True,
        reason="gate error_rate: why",
        cause=Cause.FAILED,
    ),
    on_failure=OnFailure.STEP_DOWN,
)
#: One that has just come down to what it is at.
LOWER = change(DOWN, split={OLD: 90, NEW: 10}, split_at=NOW)
HALVES = make_seen(HALF, states=BOTH)
TENTH = make_seen({OLD: 90, NEW: 10}, states=BOTH)
GIVE_UP = Go(phase=Phase.ROLLING_BACK, reason="gate error_rate: why")
PAUSE = Wait(reason="stepping down", delay=timedelta(minutes=5))

STEPS_DOWN = {
    "it goes back by the splits that it came up by": Case(
        rollout=DOWN, seen=HALVES, decision=SetTraffic(traffic={OLD: 90, NEW: 10}, serving=OLD)
    ),
    "it goes back from any split that it is at": Case(
        rollout=change(DOWN, split={NEW: 100}),
        seen=SERVED,
        decision=SetTraffic(traffic=HALF, serving=OLD),
    ),
    "a split is there when the endpoint says so": Case(
        rollout=DOWN,
        seen=TENTH,
        decision=went(
            Phase.STEPPING_DOWN,
            "",
            DOWN,
            split={OLD: 90, NEW: 10},
            split_at=NOW,
        ),
    ),
    "each split is kept for a while": Case(
        rollout=change(DOWN, split_at=NOW), seen=HALVES, decision=PAUSE
    ),
    "the lowest split is kept for a while too": Case(rollout=LOWER, seen=TENTH, decision=PAUSE),
    "the lowest is left at once where it is not healthy": Case(
        rollout=LOWER,
        seen=make_seen({OLD: 90, NEW: 10}, states=BOTH | {NEW: State.FAILED}),
        decision=GIVE_UP,
    ),
    "the lowest is left at once where somebody changed it": Case(
        rollout=change(DOWN, split_at=NOW),
        seen=make_seen({OLD: 30, NEW: 70}, states=BOTH),
        decision=GIVE_UP,
    ),
    "why it goes back stays why": Case(
        rollout=change(LOWER, cause=Cause.ABORTED),
        seen=TENTH,
        after=timedelta(minutes=5),
        decision=went(Phase.ROLLING_BACK, "gate error_rate: why", LOWER, cause=Cause.ABORTED),
    ),
    "the last step down is a rollback": Case(
        rollout=LOWER, seen=TENTH, after=timedelta(minutes=5), decision=GIVE_UP
    ),
    "what is not healthy is not gone through": Case(
        rollout=DOWN,
        seen=make_seen(HALF, states=BOTH | {NEW: State.FAILED}),
        decision=GIVE_UP,
    ),
    "a split that somebody changed is not gone through": Case(
        rollout=DOWN, seen=make_seen({OLD: 30, NEW: 70}, states=BOTH), decision=GIVE_UP
    ),
    "no step down is taken with an endpoint that is gone": Case(
        rollout=DOWN, seen=make_seen(endpoint=None, deployments={}), decision=GIVE_UP
    ),
    "no step down is taken after a write that failed": Case(
        rollout=change(DOWN, submitted=True),
        seen=replace(HALVES, operation=FAILED),
        decision=GIVE_UP,
    ),
    "no step down is taken after writes that took no effect": Case(
        rollout=change(DOWN, tries=3), seen=HALVES, decision=GIVE_UP
    ),
    "an endpoint that is being changed is waited for": Case(
        rollout=DOWN,
        seen=replace(HALVES, endpoint=make_endpoint(HALF, state=State.UPDATING)),
        decision=Wait(reason="the endpoint is Updating"),
    ),
    "a shift steps down only where all its goal is healthy": Case(
        rollout=with_plan(
            change(DOWN, goal={NEW: 60, BLUE: 40}, split={NEW: 60, BLUE: 40}), creates=False
        ),
        seen=make_seen({NEW: 60, BLUE: 40}, states=BOTH | {BLUE: State.FAILED}),
        decision=GIVE_UP,
    ),
    "an abort takes no steps": Case(
        rollout=replace(DOWN, orders=(make_order(OrderKind.ABORT),)),
        seen=HALVES,
        decision=Go(phase=Phase.ROLLING_BACK, reason="abort by ada: I say so"),
    ),
}

KEEPING = change(BACK, phase=Phase.KEEPING, split={OLD: 100}, step=2)
RETRY = (make_order(OrderKind.RETRY),)
WORDS = "retry by ada: I say so"

KEEPS = {
    "what failed is kept for a while": Case(
        rollout=KEEPING, seen=Observation(), decision=Wait(reason=f"{NEW} is kept", delay=HOUR)
    ),
    "what failed is removed after a while": Case(
        rollout=KEEPING, seen=Observation(), after=HOUR, decision=Go(phase=Phase.REMOVING)
    ),
    "what it did not make it does not remove": Case(
        rollout=with_plan(KEEPING, creates=False),
        seen=Observation(),
        decision=Go(phase=Phase.ROLLED_BACK),
    ),
    "while it is there it can be tried again from the last split": Case(
        rollout=replace(KEEPING, orders=RETRY),
        seen=Observation(),
        decision=went(
            Phase.QUEUED,
            WORDS,
            KEEPING,
            step=1,
            retries=1,
            has_kept=True,
            cause=None,
            is_moved=False,
            logs="",
        ),
    ),
    "after it was removed it can be tried again from the beginning": Case(
        rollout=replace(KEEPING, phase=Phase.ROLLED_BACK, orders=RETRY),
        seen=Observation(),
        decision=Go(
            phase=Phase.QUEUED,
            reason=WORDS,
            rollout=change(
                KEEPING,
                phase=Phase.ROLLED_BACK,
                step=-1,
                retries=1,
                cause=None,
                is_moved=False,
                logs="",
            ),
        ),
    ),
    "what was refused can be tried again from the beginning": Case(
        rollout=make_rollout(Phase.REFUSED, step=-1, orders=RETRY),
        seen=Observation(),
        decision=went(
            Phase.QUEUED, WORDS, make_rollout(Phase.REFUSED), step=-1, retries=1, orders=()
        ),
    ),
    "what is done stays done": Case(
        rollout=make_rollout(Phase.DONE, orders=RETRY),
        seen=Observation(),
        decision=Wait(reason="it has ended"),
    ),
    "what was overtaken stays so": Case(
        rollout=make_rollout(Phase.SUPERSEDED, orders=RETRY),
        seen=Observation(),
        decision=Wait(reason="it has ended"),
    ),
}

REMOVING = replace(KEEPING, phase=Phase.REMOVING)

REMOVES = {
    "while another rollout has the endpoint nothing happens": Case(
        rollout=REMOVING,
        seen=Observation(),
        decision=Wait(reason="another rollout has the endpoint", delay=10 * MINUTE),
    ),
    "what failed is deleted": Case(
        rollout=REMOVING, seen=RETURNED, decision=DeleteDeployment(name=NEW)
    ),
    "a deployment that is gone already needs no deletion": Case(
        rollout=REMOVING, seen=make_seen(), decision=Go(phase=Phase.ROLLED_BACK)
    ),
    "what another rollout may go back to stays": Case(
        rollout=REMOVING,
        seen=replace(RETURNED, needed=frozenset({NEW})),
        decision=Go(
            phase=Phase.ROLLED_BACK,
            reason=f"{NEW} could not be deleted: another rollout keeps it, to go back to; no pip",
        ),
    ),
    "one that is being deleted is waited for": Case(
        rollout=REMOVING,
        seen=make_seen(states=BOTH | {NEW: State.DELETING}),
        decision=Wait(reason=f"{NEW} is Deleting"),
    ),
    "what was given traffic by hand stays, and the endpoint is free": Case(
        rollout=REMOVING,
        seen=SERVED,
        decision=Go(
            phase=Phase.ROLLED_BACK,
            reason=f"{NEW} could not be deleted: it has traffic again; no pip",
        ),
    ),
    "one that does not go is left": Case(
        rollout=change(REMOVING, tries=3),
        seen=replace(RETURNED, operation=FAILED),
        decision=Go(
            phase=Phase.ROLLED_BACK,
            reason=f"{NEW} could not be deleted: ImageBuildFailure: no pip; no pip",
        ),
    ),
    "what can't be deleted is left with what the service says": Case(
        rollout=change(REMOVING, tries=3),
        seen=RETURNED,
        decision=Go(
            phase=Phase.ROLLED_BACK,
            reason=f"{NEW} could not be deleted: it is still there; no pip",
        ),
    ),
}

CASES = by_phase(
    {
        "live": LIVING,
        "retiring": RETIRES,
        "way back": WAYS_BACK,
        "room": ROOM,
        "verified": VERIFIED,
        "stepping-down": STEPS_DOWN,
        "keeping": KEEPS,
        "removing": REMOVES,
    }
)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_decision_on_the_way_back_and_at_the_end(case: Case) -> None:
    case.require()


@pytest.mark.parametrize(
    ("rollout", "kept"),
    [
        (KEEPING, HOUR),
        (change(KEEPING, cause=Cause.ABORTED), HOUR),
        (change(KEEPING, cause=Cause.NOT_BETTER), HOUR),
        (change(KEEPING, cause=Cause.SUPERSEDED), timedelta(0)),
        (with_plan(KEEPING, creates=False), timedelta(0)),
    ],
)
def test_what_is_of_use_to_somebody_is_kept(rollout: Rollout, kept: timedelta) -> None:
    assert keeps(rollout) == kept


def test_what_can_t_be_deleted_is_named() -> None:
    assert end_undeleted(RETIRING, "denied").reason == f"{OLD} could not be deleted: denied"
    assert end_undeleted(REMOVING, "denied").reason == f"{NEW} could not be deleted: denied; no pip"


def test_a_step_down_ends_at_the_time_that_is_left_of_it() -> None:
    rollout = change(LOWER, since=NOW, split_at=NOW)
    pause = Wait(reason="stepping down", delay=2 * MINUTE)
    Case(rollout=rollout, seen=TENTH, after=3 * MINUTE, decision=pause).require()
