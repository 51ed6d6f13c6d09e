"""Decisions of a rollout in its steps, and while it is held."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from shared.rollouts.deciding.decisions import (
    AskGates,
    Decision,
    Go,
    Scale,
    SendProbe,
    SetTraffic,
    Wait,
)
from shared.rollouts.deciding.exits import fail
from shared.rollouts.deciding.next_steps import next_step
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.hold import next_look
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import PHASES, STEPS, Phase
from shared.rollouts.state.rollout import Cause, ProbeResult, Rollout
from shared.rollouts.state.tags import TAG_DEPLOYMENT, TAG_MODEL
from shared.rollouts.strategy.model import NoVerdict, OnConflict, OnFailure, RolloutStep, StepKind
from shared.workspaces.model import State
from tests.unit.rollouts import (
    APPROVE,
    BETTER,
    BLUE,
    BOTH,
    CANARY,
    ERRORS,
    FAILED,
    HOLD,
    MINUTE,
    MIRROR,
    NEW,
    NOW,
    OLD,
    PROBE,
    SCALE,
    Case,
    at_step,
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
    with_strategy,
)

LATE = timedelta(minutes=61)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
TENTH = {OLD: 90, NEW: 10}
#: The observation when the new deployment has a tenth of the traffic, and when it has none.
SPLIT = make_seen(TENTH, states=BOTH)
IDLE = make_seen(states=BOTH)
SERVED = {TAG_MODEL: "churn", TAG_DEPLOYMENT: NEW}


def split(step: int = 2, *steps: RolloutStep, **changes: Any) -> Rollout:
    """Return a rollout that has given the new deployment a tenth, at a step after that."""
    return at_step(step, *(steps or CANARY), split=TENTH, split_at=NOW, is_moved=True, **changes)


def gone_back(reason: str) -> Go:
    """Return the decision to roll back."""
    return Go(phase=Phase.ROLLING_BACK, reason=reason)


PROBING = at_step(0, *CANARY, origin={OLD: 100})
REFUSED_BY = ProbeResult(passed=False, detail="503")
OTHER_TRIES = replace(PROBE, probe=replace(PROBE.probe, tries=1)) if PROBE.probe else PROBE

PROBES = {
    "the probe is sent": Case(rollout=PROBING, seen=IDLE, decision=SendProbe(deployment=NEW)),
    "a probe that passed lets the next step come": Case(
        rollout=PROBING,
        seen=replace(IDLE, probe=ProbeResult(passed=True)),
        decision=went(Phase.SHIFTING, "", PROBING, step=1),
    ),
    "a probe that failed is sent again": Case(
        rollout=change(PROBING, probes=2),
        seen=replace(IDLE, probe=REFUSED_BY),
        decision=Wait(reason="the probe failed: 503", delay=timedelta(seconds=5)),
    ),
    "a probe that keeps failing ends it": Case(
        rollout=change(PROBING, probes=3),
        seen=replace(IDLE, probe=REFUSED_BY),
        decision=went(
            Phase.ROLLING_BACK, "the probe failed: 503", PROBING, probes=3, cause=Cause.FAILED
        ),
    ),
    "a step that does not say how often is as the plan says": Case(
        rollout=at_step(0, replace(PROBE, probe=None), traffic(100), probes=2),
        seen=replace(IDLE, probe=REFUSED_BY),
        decision=Wait(reason="the probe failed: 503", delay=timedelta(seconds=5)),
    ),
    "how often it is sent is its own to say": Case(
        rollout=at_step(0, OTHER_TRIES, traffic(100), probes=1),
        seen=replace(IDLE, probe=REFUSED_BY),
        decision=gone_back("the probe failed: 503"),
    ),
}

MIRRORING = at_step(0, MIRROR, HOLD, traffic(100))
END_OF_MIRROR = at_step(0, replace(MIRROR, percent=0), traffic(100), mirror={NEW: 10})

MIRRORS = {
    "a copy of the traffic is sent": Case(
        rollout=MIRRORING,
        seen=IDLE,
        decision=SetTraffic(traffic={OLD: 100}, mirror={NEW: 10}, serving=OLD),
    ),
    "a copy is sent when the endpoint says so": Case(
        rollout=MIRRORING,
        seen=make_seen(states=BOTH, mirror={NEW.upper(): 10}),
        decision=went(
            Phase.HOLDING,
            f"{OLD} 100%, mirrored {NEW} 10%",
            MIRRORING,
            step=1,
            mirror={NEW: 10},
            split_at=NOW,
        ),
    ),
    "a mirror has a time from which it is there, as a split has": Case(
        rollout=change(MIRRORING, split_at=NOW - MINUTE),
        seen=make_seen(states=BOTH, mirror={NEW: 10}),
        decision=went(
            Phase.HOLDING,
            f"{OLD} 100%, mirrored {NEW} 10%",
            MIRRORING,
            step=1,
            mirror={NEW: 10},
            split_at=NOW,
        ),
    ),
    "at its end a copy is no longer sent": Case(
        rollout=END_OF_MIRROR,
        seen=make_seen(states=BOTH, mirror={NEW: 10}),
        decision=SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    "a mirror is over when the endpoint says so": Case(
        rollout=END_OF_MIRROR, seen=IDLE, decision=Go(phase=Phase.SHIFTING, reason=f"{OLD} 100%")
    ),
    "what has got traffic gets no copy of it": Case(
        rollout=with_strategy(MIRRORING, on_conflict=OnConflict.ADOPT),
        seen=SPLIT,
        decision=Go(
            phase=Phase.HOLDING,
            reason=f"{OLD} 100% was changed by someone to {OLD} 90%, {NEW} 10%, and is adopted",
        ),
    ),
    "a mirror that does not stay is given up": Case(
        rollout=change(MIRRORING, tries=3),
        seen=IDLE,
        decision=gone_back(f"traffic reads back as {OLD} 100%"),
    ),
    "a mirror that does not go is given up": Case(
        rollout=change(END_OF_MIRROR, tries=3),
        seen=make_seen(states=BOTH, mirror={NEW: 10}),
        decision=gone_back(f"traffic reads back as {OLD} 100%, mirrored {NEW} 10%"),
    ),
}

FIRST = at_step(1, *CANARY)
LAST = split(3)
ALL = {NEW: 100}
ALL_SPLIT = change(LAST, split=ALL)

SHIFTS = {
    "traffic is written whole": Case(
        rollout=FIRST, seen=IDLE, decision=SetTraffic(traffic=TENTH, serving=OLD)
    ),
    "the others keep their proportions": Case(
        rollout=change(FIRST, origin={OLD: 70, BLUE: 30}, split={OLD: 70, BLUE: 30}),
        seen=make_seen({OLD: 70, "blue": 30}, states=BOTH | {BLUE: State.SUCCEEDED}),
        decision=SetTraffic(traffic={OLD: 63, BLUE: 27, NEW: 10}, serving=OLD),
    ),
    "at last the new one has all": Case(
        rollout=LAST, seen=SPLIT, decision=SetTraffic(traffic=ALL, serving=NEW)
    ),
    "a split is there when the endpoint says so": Case(
        rollout=change(FIRST, tries=1),
        seen=SPLIT,
        decision=went(
            Phase.HOLDING,
            f"{OLD} 90%, {NEW} 10%",
            FIRST,
            tries=1,
            step=2,
            split=TENTH,
            split_at=NOW,
        ),
    ),
    "on the way no tags are asked for": Case(
        rollout=FIRST,
        seen=make_seen(TENTH, states=BOTH, tags={TAG_MODEL: "churn"}),
        decision=Go(phase=Phase.HOLDING, reason=f"{OLD} 90%, {NEW} 10%"),
    ),
    "a split that is new is there from now on": Case(
        rollout=change(FIRST, split_at=NOW - MINUTE),
        seen=SPLIT,
        decision=went(
            Phase.HOLDING, f"{OLD} 90%, {NEW} 10%", FIRST, step=2, split=TENTH, split_at=NOW
        ),
    ),
    "a split that it never saw before is there from now on": Case(
        rollout=change(split(1), split_at=None),
        seen=SPLIT,
        decision=went(Phase.HOLDING, f"{OLD} 90%, {NEW} 10%", split(1), step=2, split_at=NOW),
    ),
    "a split that was there before keeps the time from which it is there": Case(
        rollout=change(split(1), split_at=NOW - MINUTE),
        seen=SPLIT,
        decision=went(
            Phase.HOLDING, f"{OLD} 90%, {NEW} 10%", split(1), step=2, split_at=NOW - MINUTE
        ),
    ),
    "the last split has tags that say what serves": Case(
        rollout=ALL_SPLIT,
        seen=make_seen(ALL, states=BOTH),
        decision=SetTraffic(traffic=ALL, serving=NEW),
    ),
    "the last split is there when the endpoint has split and tags": Case(
        rollout=ALL_SPLIT,
        seen=make_seen(ALL, states=BOTH, tags=SERVED),
        decision=Go(phase=Phase.HOLDING, reason=f"{NEW} 100%"),
    ),
    "after the last step it is live": Case(
        rollout=at_step(1, PROBE, traffic(100), split=ALL),
        seen=make_seen({NEW: 100, OLD: 0}, states=BOTH, tags=SERVED),
        decision=Go(phase=Phase.LIVE, reason=f"{NEW} 100%"),
    ),
    "somebody's endpoint is not marked as Signalbox's": Case(
        rollout=make_shift(Phase.SHIFTING, traffic(100), step=0),
        seen=make_seen(ALL, states=BOTH, tags={}),
        decision=Go(phase=Phase.LIVE, reason=f"{NEW} 100%"),
    ),
    "traffic that does not stay is given up": Case(
        rollout=change(FIRST, tries=3),
        seen=IDLE,
        decision=gone_back(f"traffic reads back as {OLD} 100%"),
    ),
    "a write that failed is told": Case(
        rollout=change(FIRST, submitted=True),
        seen=replace(IDLE, operation=FAILED),
        decision=gone_back("traffic could not be set: ImageBuildFailure: no pip"),
    ),
    "a write that failed and took effect all the same is none": Case(
        rollout=change(FIRST, submitted=True),
        seen=replace(SPLIT, operation=FAILED),
        decision=Go(phase=Phase.HOLDING, reason=f"{OLD} 90%, {NEW} 10%"),
    ),
    "what can't be given traffic is left to a person": Case(
        rollout=FIRST,
        seen=make_seen(states={OLD: State.FAILED, NEW: State.SUCCEEDED}),
        decision=Go(phase=Phase.HELD, reason=f"{OLD} is Failed, and can't be given traffic"),
    ),
    "what is not there is left to a person": Case(
        rollout=FIRST,
        seen=make_seen(states={NEW: State.SUCCEEDED}),
        decision=Go(phase=Phase.HELD, reason=f"{OLD} is not there, and can't be given traffic"),
    ),
    "what is being changed is waited for": Case(
        rollout=FIRST,
        seen=make_seen(states={OLD: State.UPDATING, NEW: State.SUCCEEDED}),
        decision=Wait(reason=f"{OLD} is Updating"),
    ),
    "not for ever": Case(
        rollout=FIRST,
        seen=make_seen(states={OLD: State.UPDATING, NEW: State.SUCCEEDED}),
        after=LATE,
        decision=gone_back("phase shifting took longer than 60 minutes"),
    ),
    "a shift goes the whole way to its goal": Case(
        rollout=make_shift(
            Phase.SHIFTING, traffic(50), traffic(100), step=0, goal={OLD: 20, NEW: 80}
        ),
        seen=IDLE,
        decision=SetTraffic(traffic={OLD: 60, NEW: 40}, serving=OLD),
    ),
}

UNFIT = {
    "an endpoint that is gone": (
        make_seen(endpoint=None, deployments={}),
        gone_back("the endpoint was deleted by someone"),
    ),
    "a deployment that is gone": (
        make_seen(TENTH),
        gone_back("the deployment was deleted by someone"),
    ),
    "a deployment that broke": (
        make_seen(TENTH, states=BOTH | {NEW: State.FAILED}),
        gone_back("the deployment is Failed"),
    ),
    "a deployment that is being changed": (
        make_seen(TENTH, states=BOTH | {NEW: State.SCALING}),
        Wait(reason="the deployment is Scaling"),
    ),
    "an endpoint that is being changed": (
        replace(SPLIT, endpoint=make_endpoint(TENTH, state=State.UPDATING)),
        Wait(reason="the endpoint is Updating"),
    ),
}

#: For a step of each kind, the rollout that has just come to it with a tenth of the traffic.
AT_EACH = {
    step.kind: split(1, traffic(10), step, traffic(100))
    for step in (PROBE, replace(MIRROR, percent=0), traffic(50), HOLD, APPROVE, SCALE, BETTER)
}


@pytest.mark.parametrize("kind", StepKind)
@pytest.mark.parametrize(("seen", "decision"), UNFIT.values(), ids=UNFIT)
def test_in_every_step_endpoint_and_deployment_have_to_be_fit(
    kind: StepKind, seen: Observation, decision: Decision
) -> None:
    for policy in OnFailure:
        rollout = with_strategy(AT_EACH[kind], on_failure=policy)
        Case(rollout=rollout, seen=seen, decision=decision).require()


CHANGED = f"{OLD} 90%, {NEW} 10% was changed by someone to {OLD} 70%, {NEW} 30%"
CONFLICTS: Mapping[OnConflict, tuple[Phase | None, str]] = {
    OnConflict.HOLD: (Phase.HELD, CHANGED),
    OnConflict.ABORT: (Phase.ROLLING_BACK, CHANGED),
    OnConflict.ADOPT: (None, f"{CHANGED}, and is adopted"),
}


@pytest.mark.parametrize("kind", StepKind)
@pytest.mark.parametrize("policy", OnConflict)
def test_in_every_step_it_is_noticed_that_somebody_has_changed_the_split(
    kind: StepKind, policy: OnConflict
) -> None:
    phase, reason = CONFLICTS[policy]
    Case(
        rollout=with_strategy(AT_EACH[kind], on_conflict=policy),
        seen=make_seen({OLD: 70, NEW: 30}, states=BOTH),
        decision=Go(phase=phase or PHASES[kind], reason=reason),
    ).require()


ADOPTING = with_strategy(split(2), on_conflict=OnConflict.ADOPT)
MOVED = {OLD: 40, BLUE: 40, NEW: 20}
THREE = BOTH | {BLUE: State.SUCCEEDED}

CONFLICT = {
    "what is adopted is what the others are to keep their proportions of": Case(
        rollout=ADOPTING,
        seen=make_seen(MOVED, states=THREE),
        decision=went(
            Phase.HOLDING,
            f"{OLD} 90%, {NEW} 10% was changed by someone to {BLUE.lower()} 40%, {OLD} 40%,"
            f" {NEW} 20%, and is adopted",
            ADOPTING,
            origin={OLD: 50, BLUE: 50},
            split=MOVED,
        ),
    ),
    "where somebody gave it all, the others are what they were": Case(
        rollout=ADOPTING,
        seen=make_seen({NEW: 100}, states=BOTH),
        decision=went(
            Phase.HOLDING,
            f"{OLD} 90%, {NEW} 10% was changed by someone to {NEW} 100%, and is adopted",
            ADOPTING,
            split={NEW: 100},
        ),
    ),
    "where somebody else serves now, that is what it is measured against": Case(
        rollout=ADOPTING,
        seen=make_seen({BLUE: 60, NEW: 40}, states=THREE),
        decision=went(
            Phase.HOLDING,
            f"{OLD} 90%, {NEW} 10% was changed by someone to {BLUE.lower()} 60%, {NEW} 40%,"
            " and is adopted",
            ADOPTING,
            origin={BLUE: 100},
            split={BLUE: 60, NEW: 40},
            split_at=NOW,
            stable=BLUE,
            stable_instances=1,
        ),
    ),
    "a mirror of somebody's is a change as well": Case(
        rollout=split(2),
        seen=make_seen(TENTH, states=THREE, mirror={BLUE: 5}),
        decision=Go(
            phase=Phase.HELD,
            reason=f"{OLD} 90%, {NEW} 10% was changed by someone to {OLD} 90%, {NEW} 10%,"
            f" mirrored {BLUE.lower()} 5%",
        ),
    ),
    "what the step wants is no conflict, whoever did it": Case(
        rollout=FIRST, seen=SPLIT, decision=Go(phase=Phase.HOLDING, reason=f"{OLD} 90%, {NEW} 10%")
    ),
    "other casing is no change": Case(
        rollout=split(2),
        seen=make_seen({OLD.upper(): 90, NEW.upper(): 10}, states=BOTH),
        decision=Wait(reason="holding", delay=HOLD.span),
    ),
    "a step that would take traffic away again is left out": Case(
        rollout=with_strategy(at_step(1, *CANARY), on_conflict=OnConflict.ADOPT),
        seen=make_seen({OLD: 60, NEW: 40}, states=BOTH),
        decision=Go(
            phase=Phase.HOLDING,
            reason=f"{OLD} 100% was changed by someone to {OLD} 60%, {NEW} 40%, and is adopted",
        ),
    ),
}

GATED = with_strategy(split(2), gates=(ERRORS,))


def measured(*outcomes: GateOutcome, **changes: Any) -> Observation:
    """Return what is seen when a look at the gate showed this."""
    items = tuple(make_measurement(outcome, detail="why", **changes) for outcome in outcomes)
    return replace(SPLIT, measurements=items)


def answering(answer: NoVerdict) -> Rollout:
    """Return a rollout whose gate says so of whatever is no verdict."""
    gate = replace(ERRORS, no_data=answer, too_few=answer, unavailable=answer)
    return with_strategy(GATED, gates=(gate,))


NO_VERDICTS = (GateOutcome.NO_DATA, GateOutcome.TOO_FEW, GateOutcome.UNAVAILABLE)
FULL = HOLD.span

HOLDS = {
    "without gates a hold is a pause": Case(
        rollout=split(2), seen=SPLIT, decision=Wait(reason="holding", delay=FULL)
    ),
    "what has traffic is looked at each hour": Case(
        rollout=split(1, traffic(10), replace(HOLD, span=2 * DAY), traffic(100)),
        seen=SPLIT,
        decision=Wait(reason="holding", delay=HOUR),
    ),
    "what has no traffic is not looked at each hour": Case(
        rollout=at_step(0, replace(HOLD, span=2 * DAY), traffic(100)),
        seen=IDLE,
        decision=Wait(reason="holding", delay=2 * DAY),
    ),
    "a hold without gates is over after its time": Case(
        rollout=split(2),
        seen=SPLIT,
        after=FULL,
        decision=went(Phase.SHIFTING, "", split(2), step=3),
    ),
    "metrics are late, so that the first look is too": Case(
        rollout=GATED, seen=SPLIT, decision=Wait(reason="holding", delay=2 * MINUTE)
    ),
    "then the gates are measured": Case(
        rollout=GATED, seen=SPLIT, after=2 * MINUTE, decision=AskGates(stable=OLD)
    ),
    "what passes early is looked at again": Case(
        rollout=GATED,
        seen=measured(GateOutcome.PASS),
        after=8 * MINUTE,
        decision=Wait(reason="holding", delay=MINUTE),
    ),
    "what passes at the end lets it pass": Case(
        rollout=GATED,
        seen=measured(GateOutcome.PASS),
        after=FULL,
        decision=went(Phase.SHIFTING, "the gates let it pass", GATED, step=3),
    ),
    "what fails ends it at once": Case(
        rollout=GATED,
        seen=measured(GateOutcome.PASS, GateOutcome.FAIL),
        after=3 * MINUTE,
        decision=gone_back("gate error_rate: why"),
    ),
    "what is observed decides nothing": Case(
        rollout=GATED,
        seen=measured(GateOutcome.FAIL, observe=True),
        after=FULL,
        decision=Go(phase=Phase.SHIFTING, reason="the gates let it pass"),
    ),
} | {
    f"{outcome} {told}": case
    for outcome in NO_VERDICTS
    for told, case in {
        "before the end decides nothing": Case(
            rollout=answering(NoVerdict.FAIL),
            seen=measured(outcome),
            after=8 * MINUTE,
            decision=Wait(reason="holding", delay=MINUTE),
        ),
        "is waited out": Case(
            rollout=GATED,
            seen=measured(GateOutcome.PASS, outcome),
            after=FULL,
            decision=Wait(reason="gate error_rate has no verdict yet: why", delay=MINUTE),
        ),
        "is waited out no longer than the patience lasts": Case(
            rollout=GATED,
            seen=measured(outcome),
            after=FULL + LATE,
            decision=Go(phase=Phase.HELD, reason="gate error_rate has no verdict: why"),
        ),
        "is left to a person": Case(
            rollout=answering(NoVerdict.HOLD),
            seen=measured(outcome),
            after=FULL,
            decision=Go(phase=Phase.HELD, reason="gate error_rate has no verdict: why"),
        ),
        "is a failure": Case(
            rollout=answering(NoVerdict.FAIL),
            seen=measured(outcome),
            after=FULL,
            decision=gone_back("gate error_rate has no verdict: why"),
        ),
    }.items()
}

APPROVING = split(1, traffic(10), APPROVE, traffic(100))
YES = make_order(OrderKind.APPROVE)
ASKED = replace(APPROVING, orders=(YES,))

APPROVALS = {
    "a person is asked": Case(
        rollout=APPROVING,
        seen=SPLIT,
        decision=Wait(reason="a person has to approve", delay=APPROVE.span),
    ),
    "what has traffic is looked at meanwhile": Case(
        rollout=split(1, traffic(10), replace(APPROVE, span=DAY), traffic(100)),
        seen=SPLIT,
        decision=Wait(reason="a person has to approve", delay=HOUR),
    ),
    "a yes lets it pass, and is in the record": Case(
        rollout=ASKED,
        seen=SPLIT,
        decision=went(Phase.SHIFTING, "approve by ada: I say so", APPROVING, step=2, orders=()),
    ),
    "nobody is waited for without end": Case(
        rollout=APPROVING,
        seen=SPLIT,
        after=APPROVE.span,
        decision=gone_back("nobody approved it in time"),
    ),
    "without an answer it is not held, whatever is said of failures": Case(
        rollout=with_strategy(APPROVING, on_failure=OnFailure.HOLD),
        seen=SPLIT,
        after=APPROVE.span,
        decision=gone_back("nobody approved it in time"),
    ),
    "a yes at the last moment is one": Case(
        rollout=ASKED,
        seen=SPLIT,
        after=APPROVE.span,
        decision=Go(phase=Phase.SHIFTING, reason="approve by ada: I say so"),
    ),
}

SCALING = split(1, traffic(10), SCALE, traffic(100))
TO_STABLE = split(1, traffic(10), replace(SCALE, instances=0), traffic(100))


def sized(new: int, old: int) -> Observation:
    """Return what is seen when the deployments have so many instances."""
    found = {
        NEW: make_deployment(NEW, instance_count=new),
        OLD: make_deployment(OLD, instance_count=old),
    }
    return replace(SPLIT, deployments=found)


SCALES = {
    "it is given the instances": Case(
        rollout=SCALING, seen=sized(1, 5), decision=Scale(name=NEW, instances=3)
    ),
    "it is given as many instances as the stable one has": Case(
        rollout=TO_STABLE, seen=sized(1, 5), decision=Scale(name=NEW, instances=5)
    ),
    "when it has its instances it goes on": Case(
        rollout=SCALING,
        seen=sized(3, 5),
        decision=went(Phase.SHIFTING, "3 instances", SCALING, step=2),
    ),
    "with no stable one it has instances enough": Case(
        rollout=TO_STABLE,
        seen=replace(SPLIT, deployments={NEW: make_deployment(NEW, instance_count=2)}),
        decision=Go(phase=Phase.SHIFTING, reason="2 instances"),
    ),
    "that the scaling failed is told": Case(
        rollout=change(SCALING, submitted=True),
        seen=replace(sized(1, 5), operation=FAILED),
        decision=gone_back(f"{NEW} could not be scaled: ImageBuildFailure: no pip"),
    ),
    "what takes too long is given up": Case(
        rollout=change(SCALING, submitted=True),
        seen=make_seen(TENTH, states=BOTH | {NEW: State.SCALING}),
        after=LATE,
        decision=gone_back("phase scaling took longer than 60 minutes"),
    ),
    "what somebody else scales is not given up": Case(
        rollout=SCALING,
        seen=make_seen(TENTH, states=BOTH | {NEW: State.SCALING}),
        after=LATE,
        decision=Wait(reason="the deployment is Scaling"),
    ),
    "what takes no effect is given up": Case(
        rollout=change(SCALING, tries=3),
        seen=sized(1, 5),
        decision=gone_back(f"{NEW} has 1 instances still"),
    ),
}

CHOOSING = split(1, traffic(10), BETTER, traffic(100))

CHOICES = {
    "both are measured": Case(rollout=CHOOSING, seen=SPLIT, decision=AskGates(stable=OLD)),
    "the better one goes on": Case(
        rollout=CHOOSING,
        seen=measured(GateOutcome.PASS),
        decision=went(Phase.SHIFTING, "why", CHOOSING, step=2),
    ),
    "what is not better goes back, which is no failure": Case(
        rollout=with_strategy(CHOOSING, on_failure=OnFailure.HOLD),
        seen=measured(GateOutcome.FAIL),
        decision=went(
            Phase.ROLLING_BACK,
            "why",
            with_strategy(CHOOSING, on_failure=OnFailure.HOLD),
            cause=Cause.NOT_BETTER,
        ),
    ),
    "what can't be told yet is waited for": Case(
        rollout=CHOOSING,
        seen=measured(GateOutcome.TOO_FEW),
        decision=Wait(reason="why", delay=MINUTE),
    ),
    "what can't be told in time is left to a person": Case(
        rollout=CHOOSING,
        seen=measured(GateOutcome.TOO_FEW),
        after=LATE,
        decision=Go(phase=Phase.HELD, reason="it can't be told which is better: why"),
    ),
    "with nothing to compare it is left to a person": Case(
        rollout=CHOOSING,
        seen=measured(),
        decision=Go(phase=Phase.HELD, reason="there is nothing to compare"),
    ),
}

PAUSE = make_order(OrderKind.PAUSE)
PROMOTE = make_order(OrderKind.PROMOTE)
TO_END = make_order(OrderKind.PROMOTE, to_end=True)
LONG = (PROBE, traffic(10), HOLD, traffic(50), HOLD, traffic(100), HOLD)

ORDERS = {
    "a split that was begun is finished before it is gone on from": Case(
        rollout=replace(FIRST, orders=(PROMOTE,)),
        seen=IDLE,
        decision=SetTraffic(traffic=TENTH, serving=OLD),
    ),
    "an order is still there when the split is finished": Case(
        rollout=replace(FIRST, orders=(PROMOTE,)),
        seen=SPLIT,
        decision=went(
            Phase.HOLDING,
            f"{OLD} 90%, {NEW} 10%",
            FIRST,
            orders=(PROMOTE,),
            step=2,
            split=TENTH,
            split_at=NOW,
        ),
    ),
    "promoting leaves out what is left of a step": Case(
        rollout=replace(GATED, orders=(PROMOTE,)),
        seen=measured(GateOutcome.FAIL),
        decision=went(Phase.SHIFTING, "promote by ada: I say so", GATED, step=3),
    ),
    "promoting to the end leaves out all before the last split": Case(
        rollout=split(2, *LONG, orders=(TO_END,)),
        seen=SPLIT,
        decision=went(
            Phase.SHIFTING, "promote to the end by ada: I say so", split(2, *LONG), step=5
        ),
    ),
    "said twice it is done once": Case(
        rollout=replace(GATED, orders=(PROMOTE, PROMOTE)),
        seen=SPLIT,
        decision=went(Phase.SHIFTING, "promote by ada: I say so", GATED, step=3),
    ),
    "at the last split there is none to leave out": Case(
        rollout=split(6, *LONG, orders=(TO_END,)),
        seen=SPLIT,
        decision=went(Phase.LIVE, "promote to the end by ada: I say so", split(6, *LONG), step=7),
    ),
    "pausing comes before promoting": Case(
        rollout=replace(GATED, orders=(PROMOTE, PAUSE)),
        seen=SPLIT,
        decision=went(Phase.HELD, "pause by ada: I say so", GATED, orders=(PROMOTE,)),
    ),
    "what is not fit is not promoted": Case(
        rollout=replace(GATED, orders=(PROMOTE,)),
        seen=make_seen(TENTH, states=BOTH | {NEW: State.FAILED}),
        decision=gone_back("the deployment is Failed"),
    ),
}


@pytest.mark.parametrize("kind", StepKind)
def test_every_step_can_be_paused(kind: StepKind) -> None:
    rollout = replace(AT_EACH[kind], orders=(PAUSE,))
    decision = went(Phase.HELD, "pause by ada: I say so", rollout, orders=())
    Case(rollout=rollout, seen=SPLIT, decision=decision).require()


HELD = replace(split(2, *LONG), phase=Phase.HELD, reason="gate error_rate: why")
UNMADE = change(HELD, step=-1, split={}, split_at=None, is_moved=False)


def ordered(kind: OrderKind, rollout: Rollout = HELD, **changes: Any) -> Rollout:
    """Return a rollout that was told to go on."""
    return replace(rollout, orders=(make_order(kind, **changes),))


WORDS = {kind: f"{kind} by ada: I say so" for kind in OrderKind}

HOLDING_STILL = {
    "it stays until a person decides": Case(
        rollout=HELD, seen=IDLE, decision=Wait(reason="gate error_rate: why", delay=WEEK)
    ),
    "what has traffic is looked at meanwhile": Case(
        rollout=HELD, seen=SPLIT, decision=Wait(reason="gate error_rate: why", delay=HOUR)
    ),
    "what broke is not waited for": Case(
        rollout=HELD,
        seen=make_seen(TENTH, states=BOTH | {NEW: State.FAILED}),
        decision=gone_back("the deployment is Failed"),
    ),
    "before anything was made nothing can break": Case(
        rollout=UNMADE, seen=make_seen(), decision=Wait(reason=UNMADE.reason, delay=WEEK)
    ),
    "before anything was made there is nothing to go back from": Case(
        rollout=UNMADE,
        seen=make_seen(),
        after=WEEK,
        decision=Go(phase=Phase.REFUSED, reason=f"nobody decided in time: {UNMADE.reason}"),
    ),
    "whoever promotes it then waives the proof of the gates": Case(
        rollout=ordered(OrderKind.PROMOTE, UNMADE),
        seen=make_seen(),
        decision=went(Phase.CHECKING, WORDS[OrderKind.PROMOTE], UNMADE, is_waived=True),
    ),
    "not for ever": Case(
        rollout=HELD,
        seen=SPLIT,
        after=WEEK,
        decision=gone_back("nobody decided in time: gate error_rate: why"),
    ),
    "held for too long it goes back as it was to go back": Case(
        rollout=with_strategy(HELD, on_failure=OnFailure.STEP_DOWN),
        seen=SPLIT,
        after=WEEK,
        decision=Go(
            phase=Phase.STEPPING_DOWN,
            reason="nobody decided in time: gate error_rate: why",
        ),
    ),
    "resumed, it does the step anew": Case(
        rollout=ordered(OrderKind.RESUME),
        seen=SPLIT,
        decision=went(Phase.HOLDING, WORDS[OrderKind.RESUME], HELD),
    ),
    "retried, it begins with the last split": Case(
        rollout=ordered(OrderKind.RETRY),
        seen=IDLE,
        decision=went(Phase.SHIFTING, WORDS[OrderKind.RETRY], HELD, step=1, split={OLD: 100}),
    ),
    "promoted, it goes on to the next step": Case(
        rollout=ordered(OrderKind.PROMOTE),
        seen=SPLIT,
        decision=went(Phase.SHIFTING, WORDS[OrderKind.PROMOTE], HELD, step=3),
    ),
    "promoted to the end, to the last split": Case(
        rollout=ordered(OrderKind.PROMOTE, to_end=True),
        seen=SPLIT,
        decision=Go(phase=Phase.SHIFTING, reason="promote to the end by ada: I say so"),
    ),
    "promoted at the last step, it is live": Case(
        rollout=ordered(OrderKind.PROMOTE, replace(HELD, step=6)),
        seen=SPLIT,
        decision=Go(phase=Phase.LIVE, reason=WORDS[OrderKind.PROMOTE]),
    ),
    "it goes on from whatever split is there by then": Case(
        rollout=ordered(OrderKind.RESUME),
        seen=make_seen(MOVED, states=THREE),
        decision=went(
            Phase.HOLDING,
            WORDS[OrderKind.RESUME],
            HELD,
            origin={OLD: 50, BLUE: 50},
            split=MOVED,
        ),
    ),
    "what was held before anything was made looks anew": Case(
        rollout=ordered(OrderKind.RESUME, replace(HELD, step=-1)),
        seen=IDLE,
        decision=went(Phase.CHECKING, WORDS[OrderKind.RESUME], HELD, step=-1),
    ),
    "an endpoint that is gone can't be gone on with": Case(
        rollout=ordered(OrderKind.RESUME),
        seen=make_seen(endpoint=None, deployments={}),
        decision=gone_back("the endpoint was deleted by someone"),
    ),
}

CASES = by_phase(
    {
        "probing": PROBES,
        "mirroring": MIRRORS,
        "shifting": SHIFTS,
        "conflict": CONFLICT,
        "holding": HOLDS,
        "approving": APPROVALS,
        "scaling": SCALES,
        "choosing": CHOICES,
        "orders": ORDERS,
        "held": HOLDING_STILL,
    }
)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_decision_in_a_step(case: Case) -> None:
    case.require()


STABLE_SIZE = replace(SCALE, instances=0)


@pytest.mark.parametrize(
    ("step", "has", "applies", "applies_alone"),
    [
        (PROBE, 0, True, True),
        (APPROVE, 0, True, True),
        (SCALE, 0, True, True),
        (STABLE_SIZE, 0, True, False),
        (HOLD, 0, True, False),
        (BETTER, 0, True, False),
        (MIRROR, 0, True, False),
        (MIRROR, 10, False, False),
        (replace(MIRROR, percent=0), 10, True, False),
        (traffic(10), 0, True, False),
        (traffic(10), 10, True, False),
        (traffic(10), 11, False, False),
        (traffic(100), 0, True, True),
    ],
)
def test_a_step_is_done_where_it_means_anything(
    step: RolloutStep, has: int, applies: bool, applies_alone: bool
) -> None:
    rollout = make_rollout(Phase.HELD, step, split={OLD: 100 - has, NEW: has})
    alone = change(rollout, stable="", origin={}, split={})
    assert (next_step(rollout, 0).phase is PHASES[step.kind]) is applies
    assert (next_step(alone, 0).phase is PHASES[step.kind]) is applies_alone


def test_the_goal_is_gone_to_whatever_share_somebody_gave() -> None:
    rollout = make_shift(Phase.HELD, traffic(100), goal={OLD: 40, NEW: 60}, split={NEW: 100})
    assert next_step(rollout, 0).phase is Phase.SHIFTING


@pytest.mark.parametrize("phase", sorted(STEPS))
@pytest.mark.parametrize(
    ("policy", "seen", "target"),
    [
        (OnFailure.ROLLBACK, SPLIT, Phase.ROLLING_BACK),
        (OnFailure.HOLD, SPLIT, Phase.HELD),
        (OnFailure.STEP_DOWN, SPLIT, Phase.STEPPING_DOWN),
        (OnFailure.STEP_DOWN, IDLE, Phase.ROLLING_BACK),
        (OnFailure.STEP_DOWN, make_seen(TENTH), Phase.ROLLING_BACK),
    ],
)
def test_what_a_failure_leads_to_is_the_strategy_s_to_say(
    phase: Phase, policy: OnFailure, seen: Observation, target: Phase
) -> None:
    rollout = with_strategy(make_rollout(phase, *CANARY), on_failure=policy)
    assert fail(rollout, seen, "why").phase is target


@pytest.mark.parametrize("phase", [Phase.ENDPOINT, Phase.DEPLOYMENT])
@pytest.mark.parametrize("policy", OnFailure)
def test_what_was_not_made_is_not_held_on_to(phase: Phase, policy: OnFailure) -> None:
    rollout = with_strategy(make_rollout(phase, *CANARY), on_failure=policy)
    assert fail(rollout, IDLE, "why").phase is Phase.ROLLING_BACK


def looks(span: timedelta, grain: timedelta = MINUTE) -> list[timedelta]:
    """Return when a hold of this span is looked at, from its beginning, until its end."""
    step = replace(HOLD, span=span)
    rollout = with_strategy(at_step(0, step, traffic(100)), gates=(ERRORS,))
    found: list[timedelta] = []
    while not found or found[-1] < span:
        due = next_look(rollout, step, grain)
        found.append(due - NOW)
        rollout = change(rollout, looked_at=due)
    return found


@pytest.mark.parametrize(
    ("minutes", "first", "most"), [(1, 1, 1), (2, 2, 1), (15, 2, 13), (60, 2, 25), (1440, 2, 120)]
)
def test_a_hold_is_looked_at_often_at_first_and_always_at_its_end(
    minutes: int, first: int, most: int
) -> None:
    times = looks(minutes * MINUTE)
    assert times[0] == first * MINUTE
    assert times[-1] == minutes * MINUTE
    assert len(times) <= most
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[:-1] == sorted(pauses[:-1]), "ever more rarely"
    assert all(pause <= 15 * MINUTE for pause in pauses)


def test_a_hold_shorter_than_a_reading_is_looked_at_when_there_is_one() -> None:
    assert looks(timedelta(seconds=30)) == [2 * MINUTE]


def test_a_look_of_another_hold_does_not_count() -> None:
    rollout = change(GATED, looked_at=NOW - MINUTE)
    assert next_look(rollout, HOLD, MINUTE) == NOW + 2 * MINUTE
