"""How a rollout begins: its turn, what is there, the endpoint, the new deployment."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.rollouts.deciding.decide import decide
from shared.rollouts.deciding.decisions import (
    AskGates,
    CreateDeployment,
    CreateEndpoint,
    DeleteDeployment,
    Go,
    Inspect,
    Overrule,
    Wait,
)
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.opening import is_newer
from shared.rollouts.state.measurement import GateOutcome, answer_to
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Cause, Rollout
from shared.rollouts.state.tags import TAG_DEPLOYMENT, TAG_MODEL, TAG_VERSION
from shared.rollouts.strategy.model import Newer, NoVerdict
from shared.workspaces.model import Endpoint, State
from tests.unit.rollouts import (
    BLUE,
    BOTH,
    CANARY,
    ENDED,
    ERRORS,
    FAILED,
    HOLD,
    MINUTE,
    NEW,
    NOW,
    OLD,
    OWN,
    PROBE,
    RUNNING,
    Case,
    by_phase,
    change,
    make_deployment,
    make_endpoint,
    make_measurement,
    make_order,
    make_rollout,
    make_seen,
    make_shift,
    traffic,
    went,
    with_plan,
    with_strategy,
)

TURN = Wait(reason="another rollout has the endpoint", delay=10 * MINUTE)
NO_DEPLOYMENTS = {TAG_MODEL: "churn"}
HOLDER = replace(
    make_rollout(Phase.HOLDING), id="r0", model=replace(make_rollout().model, version="1")
)
TOLD = replace(HOLDER, orders=(make_order(OrderKind.ABORT, supersedes=True),))
OLDER_HOLDER = Observation(holder=HOLDER)


def queued(newer: Newer = Newer.WAIT, **changes: Any) -> Rollout:
    """Return a rollout that waits for its turn."""
    return with_strategy(make_rollout(Phase.QUEUED, **changes), newer=newer)


QUEUED = {
    "without the endpoint it waits": Case(rollout=queued(), seen=Observation(), decision=TURN),
    "with the endpoint it looks": Case(
        rollout=queued(), seen=Observation(has_lock=True), decision=Go(phase=Phase.CHECKING)
    ),
    "whoever has the endpoint is waited for": Case(
        rollout=queued(), seen=OLDER_HOLDER, decision=TURN
    ),
    "one that refuses to wait ends": Case(
        rollout=queued(Newer.REFUSE),
        seen=OLDER_HOLDER,
        decision=Go(phase=Phase.REFUSED, reason="churn 1 is being rolled out on this endpoint"),
    ),
    "one that is tried again and refuses to wait keeps its deployment as before": Case(
        rollout=queued(Newer.REFUSE, retries=1, has_kept=True),
        seen=OLDER_HOLDER,
        decision=Go(phase=Phase.KEEPING, reason="churn 1 is being rolled out on this endpoint"),
    ),
    "an older version is told to make place": Case(
        rollout=queued(Newer.SUPERSEDE), seen=OLDER_HOLDER, decision=Overrule(holder=HOLDER)
    ),
    "a newer version is not": Case(
        rollout=queued(Newer.SUPERSEDE, model=HOLDER.model),
        seen=Observation(holder=make_rollout(Phase.HOLDING)),
        decision=TURN,
    ),
    "it is told once": Case(
        rollout=queued(Newer.SUPERSEDE), seen=Observation(holder=TOLD), decision=TURN
    ),
    "nobody is told where nobody has it": Case(
        rollout=queued(Newer.SUPERSEDE), seen=Observation(), decision=TURN
    ),
    "where nobody has it one that refuses to wait stays": Case(
        rollout=queued(Newer.REFUSE), seen=Observation(), decision=TURN
    ),
    "one that goes back already is not told": Case(
        rollout=queued(Newer.SUPERSEDE),
        seen=Observation(holder=change(HOLDER, cause=Cause.FAILED)),
        decision=TURN,
    ),
}

FOUND = make_rollout(step=-1, origin={OLD: 100}, split={OLD: 100}, stable=OLD, stable_instances=1)
UNMADE = change(FOUND, origin={}, split={}, stable="", stable_instances=0)
NEW_ROLLOUT = make_rollout(origin={}, split={}, stable="")
NO_FAULTS = make_seen(faults=())
NOTHING = make_seen(endpoint=None, deployments={}, faults=())


def endpoint_in(state: State, **changes: Any) -> Endpoint:
    """Return an endpoint of Signalbox's in this state."""
    return make_endpoint(state=state, tags=NO_DEPLOYMENTS, **changes)


CHECKING = {
    "what would keep the deployment from being made is looked for": Case(
        rollout=NEW_ROLLOUT, seen=make_seen(), decision=Inspect()
    ),
    "what would keep it from being made ends it": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(faults=("no quota", "no such size")),
        decision=went(Phase.REFUSED, "no quota; no such size", NEW_ROLLOUT, cause=Cause.FAILED),
    ),
    "an absent endpoint is made": Case(
        rollout=NEW_ROLLOUT, seen=NOTHING, decision=Go(phase=Phase.ENDPOINT, rollout=UNMADE)
    ),
    "what serves is what it goes back to": Case(
        rollout=NEW_ROLLOUT, seen=NO_FAULTS, decision=Go(phase=Phase.DEPLOYMENT, rollout=FOUND)
    ),
    "what serves most is what it is measured against": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(
            {OLD: 40, BLUE: 60},
            deployments={
                OLD: make_deployment(OLD),
                BLUE: make_deployment(BLUE, instance_count=4),
            },
            faults=(),
        ),
        decision=went(
            Phase.DEPLOYMENT,
            "",
            FOUND,
            origin={OLD: 40, BLUE: 60},
            split={OLD: 40, BLUE: 60},
            stable=BLUE,
            stable_instances=4,
        ),
    ),
    "a deployment is known by its name in whatever casing the split has it": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen({"blue": 100}, states={BLUE: State.SUCCEEDED}, faults=()),
        decision=went(
            Phase.DEPLOYMENT, "", FOUND, origin={BLUE: 100}, split={BLUE: 100}, stable=BLUE
        ),
    ),
    "one that is made anew begins at the first step, also when it is tried again": Case(
        rollout=change(NEW_ROLLOUT, retries=1, has_kept=True, step=2),
        seen=NO_FAULTS,
        decision=went(Phase.DEPLOYMENT, "", FOUND, retries=1, has_kept=True),
    ),
    "its own deployment is found again after a crash": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(states=BOTH),
        decision=Go(phase=Phase.DEPLOYMENT, rollout=FOUND),
    ),
    "that it failed before a crash is for later": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(states=BOTH | {NEW: State.FAILED}, tags=OWN | {TAG_VERSION: "3"}),
        decision=Go(phase=Phase.DEPLOYMENT, rollout=FOUND),
    ),
    "one that is tried again goes on with its own deployment, at its step": Case(
        rollout=change(NEW_ROLLOUT, retries=1, has_kept=True, step=1),
        seen=make_seen(states=BOTH),
        decision=went(Phase.DEPLOYMENT, "", FOUND, retries=1, has_kept=True, step=1),
    ),
    "a failed deployment of an earlier attempt is made anew": Case(
        rollout=change(NEW_ROLLOUT, retries=1, has_kept=True),
        seen=make_seen(states={OLD: State.SUCCEEDED, NEW: State.FAILED}),
        decision=DeleteDeployment(name=NEW),
    ),
    "a failed deployment that somebody gave traffic is not made anew": Case(
        rollout=change(NEW_ROLLOUT, retries=1, has_kept=True),
        seen=make_seen({OLD: 90, NEW: 10}, states={OLD: State.SUCCEEDED, NEW: State.FAILED}),
        decision=Go(phase=Phase.DEPLOYMENT),
    ),
    "a failed deployment that can't be deleted ends it": Case(
        rollout=change(NEW_ROLLOUT, retries=1, has_kept=True, tries=3),
        seen=make_seen(states={OLD: State.SUCCEEDED, NEW: State.CANCELED}),
        decision=Go(phase=Phase.KEEPING, reason=f"{NEW} of the last attempt could not be deleted"),
    ),
    "trying again takes no place from a newer version that serves by now": Case(
        rollout=change(NEW_ROLLOUT, retries=1, has_kept=True),
        seen=make_seen(states=BOTH, tags=OWN | {TAG_VERSION: "3"}),
        decision=went(
            Phase.KEEPING,
            "version 3 serves, which is newer",
            NEW_ROLLOUT,
            retries=1,
            has_kept=True,
            cause=Cause.SUPERSEDED,
        ),
    ),
    "an endpoint that is being changed is waited for": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(endpoint=endpoint_in(State.UPDATING)),
        decision=Wait(reason="the endpoint is Updating"),
    ),
    "not for ever": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(endpoint=endpoint_in(State.UPDATING)),
        after=61 * MINUTE,
        decision=Go(
            phase=Phase.REFUSED, reason="endpoint churn is Updating: fix it, then try again"
        ),
    ),
    "an endpoint that failed before it had anything is made again": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(endpoint=endpoint_in(State.FAILED, traffic={}), deployments={}, faults=()),
        decision=Go(phase=Phase.ENDPOINT, rollout=UNMADE),
    ),
    "an endpoint that is still being deleted is not made again": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(endpoint=endpoint_in(State.DELETING), deployments={}),
        after=61 * MINUTE,
        decision=Go(
            phase=Phase.REFUSED, reason="endpoint churn is Deleting: fix it, then try again"
        ),
    ),
    "a failed endpoint with deployments is not touched": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(endpoint=endpoint_in(State.FAILED)),
        decision=Go(phase=Phase.REFUSED, reason="endpoint churn is Failed: fix it, then try again"),
    ),
    "an endpoint of somebody else's is not touched": Case(
        rollout=NEW_ROLLOUT,
        seen=make_seen(tags={}),
        decision=Go(
            phase=Phase.REFUSED,
            reason="endpoint churn was not made by Signalbox; set `adopt: true` to take it",
        ),
    ),
    "an endpoint of somebody else's that is to be adopted is used": Case(
        rollout=with_plan(NEW_ROLLOUT, adopt=True),
        seen=make_seen(tags={}, faults=()),
        decision=went(Phase.DEPLOYMENT, "", with_plan(FOUND, adopt=True)),
    ),
}

SHIFT = make_shift(Phase.CHECKING, *CANARY)
SHIFT_FOUND = replace(SHIFT, stable_instances=1)

SHIFTS = {
    "traffic can't be moved on an endpoint that is not there": Case(
        rollout=SHIFT,
        seen=NOTHING,
        decision=Go(phase=Phase.REFUSED, reason="there is no endpoint churn"),
    ),
    "traffic can't be moved to a deployment that is not there": Case(
        rollout=SHIFT,
        seen=make_seen(),
        decision=Go(
            phase=Phase.REFUSED,
            reason=f"deployment {NEW} is not there, and can't be given traffic",
        ),
    ),
    "traffic can't be moved to a deployment that is not well": Case(
        rollout=SHIFT,
        seen=make_seen(states=BOTH | {NEW: State.FAILED}),
        decision=Go(
            phase=Phase.REFUSED, reason=f"deployment {NEW} is Failed, and can't be given traffic"
        ),
    ),
    "one that gets none need not be there": Case(
        rollout=change(SHIFT, goal={NEW: 100, BLUE: 0}),
        seen=make_seen(states=BOTH),
        decision=Go(phase=Phase.PROBING),
    ),
    "one that is being changed is waited for": Case(
        rollout=SHIFT,
        seen=make_seen(states=BOTH | {NEW: State.UPDATING}),
        decision=Wait(reason=f"deployment {NEW} is Updating"),
    ),
    "not for ever": Case(
        rollout=SHIFT,
        seen=make_seen(states=BOTH | {NEW: State.UPDATING}),
        after=61 * MINUTE,
        decision=Go(
            phase=Phase.REFUSED,
            reason=f"deployment {NEW} is Updating, and can't be given traffic",
        ),
    ),
    "a failed endpoint is not one to move traffic on": Case(
        rollout=SHIFT,
        seen=make_seen(endpoint=endpoint_in(State.FAILED), deployments={}),
        decision=Go(phase=Phase.REFUSED, reason="endpoint churn is Failed: fix it, then try again"),
    ),
    "what it goes back to is all that it found, its own share too": Case(
        rollout=SHIFT,
        seen=make_seen({OLD: 80, NEW: 20}, states=BOTH),
        decision=went(
            Phase.PROBING,
            "",
            SHIFT_FOUND,
            step=0,
            origin={OLD: 80, NEW: 20},
            split={OLD: 80, NEW: 20},
        ),
    ),
    "one that is well begins with the first step": Case(
        rollout=SHIFT,
        seen=make_seen(states=BOTH),
        decision=went(Phase.PROBING, "", SHIFT_FOUND, step=0),
    ),
    "one that is tried again begins with the step that failed": Case(
        rollout=change(SHIFT, retries=1, has_kept=True, step=1),
        seen=make_seen(states=BOTH),
        decision=went(Phase.SHIFTING, "", SHIFT_FOUND, retries=1, has_kept=True, step=1),
    ),
    "where the split is there already, nothing is to be done": Case(
        rollout=SHIFT,
        seen=make_seen({NEW.upper(): 100, OLD: 0}, states=BOTH),
        decision=Go(phase=Phase.LIVE, reason="the endpoint has this split"),
    ),
    "what it did not make is its to move whoever made it": Case(
        rollout=SHIFT, seen=make_seen(states=BOTH, tags={}), decision=Go(phase=Phase.PROBING)
    ),
    "an older version is its to move too": Case(
        rollout=SHIFT,
        seen=make_seen(states=BOTH, tags=OWN | {TAG_VERSION: "9"}),
        decision=Go(phase=Phase.PROBING),
    ),
}

GATED = with_strategy(make_rollout(Phase.CHECKING, *CANARY), gates=(ERRORS,))
SHORT = "gate error_rate can't measure"


def proof(outcome: GateOutcome, **changes: Any) -> Observation:
    """Return what is seen when the gate was tried on the stable deployment."""
    item = make_measurement(outcome, detail="no data", **changes)
    return make_seen(faults=(), measurements=(item,))


def answering(answer: NoVerdict) -> Rollout:
    """Return a rollout whose gate says so of whatever is no verdict."""
    gate = replace(ERRORS, no_data=answer, too_few=answer, unavailable=answer)
    return with_strategy(GATED, gates=(gate,))


NO_VERDICTS = (GateOutcome.NO_DATA, GateOutcome.TOO_FEW, GateOutcome.UNAVAILABLE)

PROOFS = {
    "each gate has to measure what serves first": Case(
        rollout=GATED, seen=NO_FAULTS, decision=AskGates(stable=OLD)
    ),
    "gates that can measure it let it begin": Case(
        rollout=GATED, seen=proof(GateOutcome.PASS), decision=Go(phase=Phase.DEPLOYMENT)
    ),
    "where nothing serves there is nothing to measure": Case(
        rollout=GATED,
        seen=make_seen({}, states={}, faults=()),
        decision=Go(phase=Phase.DEPLOYMENT),
    ),
    "where nothing is held there is nothing to measure": Case(
        rollout=with_strategy(make_rollout(Phase.CHECKING, PROBE, traffic(100)), gates=(ERRORS,)),
        seen=NO_FAULTS,
        decision=Go(phase=Phase.DEPLOYMENT),
    ),
    "the gates of a shift are proved too": Case(
        rollout=with_strategy(SHIFT, gates=(ERRORS,)),
        seen=make_seen(states=BOTH),
        decision=AskGates(stable=OLD),
    ),
    "where somebody has waived it nothing is measured": Case(
        rollout=change(GATED, is_waived=True),
        seen=NO_FAULTS,
        decision=Go(phase=Phase.DEPLOYMENT),
    ),
    "an observed gate need not measure what serves": Case(
        rollout=GATED,
        seen=proof(GateOutcome.NO_DATA, observe=True),
        decision=Go(phase=Phase.DEPLOYMENT),
    ),
    "what waiting can't fix ends it": Case(
        rollout=GATED,
        seen=proof(GateOutcome.UNAVAILABLE, lasting=True),
        decision=Go(phase=Phase.REFUSED, reason=f"{SHORT}: no data"),
    ),
} | {
    f"{outcome} {told}": case
    for outcome in NO_VERDICTS
    for told, case in {
        "is waited out": Case(
            rollout=GATED,
            seen=proof(outcome),
            decision=Wait(reason=f"{SHORT} {OLD} yet: no data", delay=MINUTE),
        ),
        "is waited out no longer than the patience lasts": Case(
            rollout=GATED,
            seen=proof(outcome),
            after=61 * MINUTE,
            decision=Go(phase=Phase.HELD, reason=f"{SHORT}: no data"),
        ),
        "is left to a person": Case(
            rollout=answering(NoVerdict.HOLD),
            seen=proof(outcome),
            decision=Go(phase=Phase.HELD, reason=f"{SHORT}: no data"),
        ),
        "ends it": Case(
            rollout=answering(NoVerdict.FAIL),
            seen=proof(outcome),
            decision=Go(phase=Phase.REFUSED, reason=f"{SHORT}: no data"),
        ),
    }.items()
}

MAKING = make_rollout(Phase.ENDPOINT)
LATE = timedelta(minutes=61)

ENDPOINT = {
    "the endpoint is asked for": Case(rollout=MAKING, seen=NOTHING, decision=CreateEndpoint()),
    "an endpoint that failed is asked for again": Case(
        rollout=MAKING,
        seen=make_seen(endpoint=endpoint_in(State.FAILED), deployments={}),
        decision=CreateEndpoint(),
    ),
    "the endpoint is asked for once": Case(
        rollout=change(MAKING, submitted=True),
        seen=NOTHING,
        decision=Wait(reason="the endpoint is not there yet"),
    ),
    "it is waited for": Case(
        rollout=change(MAKING, submitted=True),
        seen=make_seen(endpoint=endpoint_in(State.CREATING)),
        decision=Wait(reason="the endpoint is Creating"),
    ),
    "not for ever": Case(
        rollout=change(MAKING, submitted=True),
        seen=make_seen(endpoint=endpoint_in(State.CREATING)),
        after=LATE,
        decision=Go(phase=Phase.ROLLING_BACK, reason="phase endpoint took longer than 60 minutes"),
    ),
    "once made, it gets its deployment": Case(
        rollout=change(MAKING, submitted=True),
        seen=make_seen({}, states={}),
        decision=Go(phase=Phase.DEPLOYMENT),
    ),
    "that the endpoint failed is told": Case(
        rollout=change(MAKING, submitted=True),
        seen=make_seen(endpoint=endpoint_in(State.FAILED)),
        decision=Go(phase=Phase.ROLLING_BACK, reason="the endpoint is Failed"),
    ),
    "why the endpoint failed is told": Case(
        rollout=change(MAKING, submitted=True),
        seen=make_seen(operation=FAILED),
        decision=went(
            Phase.ROLLING_BACK,
            "the endpoint could not be made: ImageBuildFailure: no pip",
            MAKING,
            submitted=True,
            cause=Cause.FAILED,
        ),
    ),
}

STARTED = make_rollout(Phase.DEPLOYMENT, *CANARY)
SUBMITTED = change(STARTED, submitted=True)


def new_in(state: State) -> Observation:
    """Return what is seen when the new deployment is in this state."""
    return make_seen(states={OLD: State.SUCCEEDED, NEW: state})


DEPLOYMENT = {
    "the deployment is asked for": Case(
        rollout=STARTED, seen=make_seen(), decision=CreateDeployment()
    ),
    "it is asked for again where nobody knows what came of it": Case(
        rollout=SUBMITTED, seen=make_seen(), decision=CreateDeployment()
    ),
    "it is waited for": Case(
        rollout=SUBMITTED,
        seen=new_in(State.CREATING),
        decision=Wait(reason="the deployment is Creating"),
    ),
    "a failed operation's reason is kept": Case(
        rollout=SUBMITTED,
        seen=make_seen(operation=FAILED),
        decision=Go(phase=Phase.ROLLING_BACK, reason="ImageBuildFailure: no pip"),
    ),
    "one that failed gets no traffic": Case(
        rollout=SUBMITTED,
        seen=new_in(State.FAILED),
        decision=Go(phase=Phase.ROLLING_BACK, reason="the deployment is Failed"),
    ),
    "a deployment that is being deleted gets no traffic": Case(
        rollout=SUBMITTED,
        seen=new_in(State.DELETING),
        decision=Go(phase=Phase.ROLLING_BACK, reason="the deployment is Deleting"),
    ),
    "one that somebody deleted is not made again": Case(
        rollout=SUBMITTED,
        seen=make_seen(operation=ENDED),
        decision=Go(phase=Phase.ROLLING_BACK, reason="the deployment was deleted by someone"),
    ),
    "one that takes too long is given up": Case(
        rollout=SUBMITTED,
        seen=new_in(State.CREATING),
        after=LATE,
        decision=Go(
            phase=Phase.ROLLING_BACK, reason="phase deployment took longer than 60 minutes"
        ),
    ),
    "the service's pace is kept": Case(
        rollout=SUBMITTED,
        seen=Observation(has_lock=True, operation=RUNNING),
        decision=Wait(reason="the operation is under way", asked=timedelta(seconds=3)),
    ),
    "a new deployment is proved before it gets traffic": Case(
        rollout=SUBMITTED,
        seen=new_in(State.SUCCEEDED),
        decision=went(Phase.PROBING, "", SUBMITTED, step=0, stable_instances=1),
    ),
    "the split is as it is then, not as it was before": Case(
        rollout=SUBMITTED,
        seen=make_seen({OLD: 50, BLUE: 50}, states={**BOTH, BLUE: State.SUCCEEDED}),
        decision=went(
            Phase.PROBING,
            "",
            SUBMITTED,
            step=0,
            origin={OLD: 50, BLUE: 50},
            split={OLD: 50, BLUE: 50},
            stable=OLD,
            stable_instances=1,
        ),
    ),
    "one that is tried again goes on at its step": Case(
        rollout=change(STARTED, retries=1, has_kept=True, step=3),
        seen=new_in(State.SUCCEEDED),
        decision=went(
            Phase.SHIFTING, "", STARTED, retries=1, has_kept=True, step=3, stable_instances=1
        ),
    ),
    "where nothing served, there is nothing to protect": Case(
        rollout=make_rollout(Phase.DEPLOYMENT, traffic(10), HOLD, traffic(100), stable=""),
        seen=make_seen({}, states={NEW: State.SUCCEEDED}),
        decision=Go(phase=Phase.SHIFTING),
    ),
}

CASES = by_phase(
    {
        "queued": QUEUED,
        "checking": CHECKING,
        "shift": SHIFTS,
        "gates": PROOFS,
        "endpoint": ENDPOINT,
        "deployment": DEPLOYMENT,
    }
)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_decision_before_the_first_step(case: Case) -> None:
    case.require()


@pytest.mark.parametrize(
    ("tags", "shares", "phase"),
    [
        ({}, {OLD: 100}, Phase.REFUSED),
        ({TAG_MODEL: "fraud"}, {OLD: 100}, Phase.REFUSED),
        (OWN | {TAG_VERSION: "2"}, {OLD: 100}, Phase.SUPERSEDED),
        (OWN | {TAG_VERSION: "10"}, {OLD: 9, BLUE: 91}, Phase.SUPERSEDED),
        (OWN | {TAG_VERSION: "10"}, {}, Phase.DEPLOYMENT),
        (OWN | {TAG_VERSION: "10", TAG_DEPLOYMENT: BLUE}, {OLD: 100}, Phase.DEPLOYMENT),
        (OWN | {TAG_VERSION: "beta"}, {OLD: 100}, Phase.DEPLOYMENT),
        (OWN, {OLD: 100}, Phase.DEPLOYMENT),
    ],
)
def test_what_the_tags_of_the_endpoint_say_decides_whether_it_begins(
    tags: Mapping[str, str], shares: Mapping[str, int], phase: Phase
) -> None:
    decision = decide(make_rollout(), make_seen(shares, tags=tags, faults=()), NOW)
    assert isinstance(decision, Go)
    assert decision.phase is phase


def test_a_version_that_is_no_number_is_neither_newer_nor_older_than_what_serves() -> None:
    rollout = make_rollout(model=replace(make_rollout().model, version="beta"))
    seen = make_seen(tags=OWN | {TAG_VERSION: "10"}, faults=())
    Case(rollout=rollout, seen=seen, decision=Go(phase=Phase.DEPLOYMENT)).require()


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (GateOutcome.NO_DATA, NoVerdict.FAIL),
        (GateOutcome.TOO_FEW, NoVerdict.HOLD),
        (GateOutcome.UNAVAILABLE, NoVerdict.WAIT),
    ],
)
def test_each_way_of_having_no_verdict_has_an_answer_of_its_own(
    outcome: GateOutcome, answer: NoVerdict
) -> None:
    gate = replace(
        ERRORS, no_data=NoVerdict.FAIL, too_few=NoVerdict.HOLD, unavailable=NoVerdict.WAIT
    )
    assert answer_to(gate, outcome) is answer


@pytest.mark.parametrize(
    ("name", "version", "other", "age", "newer"),
    [
        ("churn", "2", "1", 0, True),
        ("churn", "10", "9", 0, True),
        ("churn", "1", "2", 0, False),
        ("churn", "2", "2", 0, False),
        ("fraud", "2", "1", 0, False),
        ("", "2", "1", 0, False),
        ("churn", "beta", "1", 1, True),
        ("churn", "2", "beta", -1, False),
        ("churn", "beta", "beta", 0, False),
        ("churn", "beta", "1", -1, False),
    ],
)
def test_versions_are_compared_as_numbers_or_else_by_when_they_came(
    name: str, version: str, other: str, age: int, newer: bool
) -> None:
    model = make_rollout().model
    theirs = make_rollout(model=replace(model, version=other, name=name and model.name))
    ours = make_rollout(
        model=replace(model, name=name, version=version), created_at=NOW + age * MINUTE
    )
    assert is_newer(ours, theirs) is newer
