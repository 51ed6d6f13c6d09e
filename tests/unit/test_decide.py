"""Decisions before a phase's own: aborting, an operation under way, a closed door."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.rollouts.deciding.decide import decide
from shared.rollouts.deciding.decisions import Go, Wait
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.state.orders import POSSIBLE, OrderKind
from shared.rollouts.state.phases import EXCLUSIVE, STEPS, Phase
from shared.rollouts.state.rollout import Cause
from tests.unit.rollouts import (
    BOTH,
    CANARY,
    MINUTE,
    NEW,
    NOW,
    RUNNING,
    Case,
    change,
    make_order,
    make_rollout,
    make_seen,
    went,
)

ABORT = make_order(OrderKind.ABORT)
OVERRULED = make_order(OrderKind.ABORT, by="rollout r2", why="churn 3 takes its place")
OVERRULED = replace(OVERRULED, supersedes=True)
SAID = "abort by ada: I say so"
TURNED_AWAY = {Phase.QUEUED, Phase.CHECKING}


@pytest.mark.parametrize("phase", sorted(POSSIBLE[OrderKind.ABORT]))
def test_aborting_comes_before_all_else(phase: Phase) -> None:
    others = tuple(make_order(kind) for kind in OrderKind if kind is not OrderKind.ABORT)
    rollout = make_rollout(phase, *CANARY, step=2, orders=(*others, ABORT))
    target = Phase.REFUSED if phase in TURNED_AWAY else Phase.ROLLING_BACK
    decision = went(target, SAID, rollout, orders=others, cause=Cause.ABORTED)
    for seen in (
        Observation(),
        Observation(has_lock=True, operation=RUNNING),
        make_seen({NEW: 100}, states=BOTH),
    ):
        assert decide(rollout, seen, NOW) == decision


@pytest.mark.parametrize("phase", sorted({*TURNED_AWAY, Phase.HELD}))
def test_what_was_not_begun_is_overtaken_or_keeps_what_it_had(phase: Phase) -> None:
    rollout = make_rollout(phase, orders=(OVERRULED,))
    again = change(rollout, retries=1, has_kept=True)
    for ordered, target in ((rollout, Phase.SUPERSEDED), (again, Phase.KEEPING)):
        decision = decide(ordered, Observation(), NOW)
        assert decision == went(
            target,
            "abort by rollout r2: churn 3 takes its place",
            ordered,
            orders=(),
            cause=Cause.SUPERSEDED,
        )


@pytest.mark.parametrize("phase", sorted(STEPS))
def test_making_place_for_a_newer_version_is_no_failure(phase: Phase) -> None:
    rollout = make_rollout(phase, *CANARY, step=2, orders=(OVERRULED,))
    decision = decide(rollout, Observation(), NOW)
    assert isinstance(decision, Go)
    assert decision.rollout is not None
    assert (decision.phase, decision.rollout.attempt.cause) == (
        Phase.ROLLING_BACK,
        Cause.SUPERSEDED,
    )


@pytest.mark.parametrize("phase", sorted(set(Phase) - POSSIBLE[OrderKind.ABORT]))
def test_what_is_over_is_not_aborted(phase: Phase) -> None:
    rollout = make_rollout(phase, *CANARY, step=2, cause=Cause.FAILED)
    seen = make_seen(states=BOTH)
    assert decide(replace(rollout, orders=(ABORT,)), seen, NOW) == replace_orders(
        decide(rollout, seen, NOW)
    )


def replace_orders(decision: object) -> object:
    """Return the decision as it is of a rollout that was told to abort."""
    if isinstance(decision, Go) and decision.rollout is not None:
        return replace(decision, rollout=replace(decision.rollout, orders=(ABORT,)))
    return decision


@pytest.mark.parametrize("phase", sorted(EXCLUSIVE - {Phase.QUEUED}))
def test_nothing_is_done_on_an_endpoint_that_was_not_looked_at(phase: Phase) -> None:
    rollout = make_rollout(phase, *CANARY, step=2)
    closed = Wait(reason="another rollout has the endpoint", delay=10 * MINUTE)
    Case(rollout=rollout, seen=Observation(), decision=closed).require()
    Case(rollout=rollout, seen=Observation(has_lock=True), decision=closed).require()


@pytest.mark.parametrize("phase", sorted(EXCLUSIVE))
def test_while_an_operation_is_under_way_the_service_s_pace_is_kept(phase: Phase) -> None:
    Case(
        rollout=make_rollout(phase, *CANARY, step=2),
        seen=Observation(has_lock=True, operation=RUNNING),
        after=timedelta(minutes=59),
        decision=Wait(reason="the operation is under way", asked=timedelta(seconds=3)),
    ).require()


@pytest.mark.parametrize("phase", sorted({Phase.ENDPOINT, Phase.DEPLOYMENT, *STEPS}))
def test_an_operation_that_takes_too_long_is_rolled_back(phase: Phase) -> None:
    Case(
        rollout=make_rollout(phase, *CANARY, step=2, submitted=True),
        seen=Observation(has_lock=True, operation=RUNNING),
        after=timedelta(minutes=61),
        decision=Go(phase=Phase.ROLLING_BACK, reason=f"phase {phase} took longer than 60 minutes"),
    ).require()


def test_what_stood_in_the_way_last_is_told_of_what_took_too_long() -> None:
    Case(
        rollout=make_rollout(Phase.DEPLOYMENT, *CANARY, trouble="workspace.busy: a lock"),
        seen=Observation(has_lock=True, operation=RUNNING),
        after=timedelta(minutes=61),
        decision=Go(
            phase=Phase.ROLLING_BACK,
            reason="phase deployment took longer than 60 minutes; last: workspace.busy: a lock",
        ),
    ).require()


@pytest.mark.parametrize(
    "phase", [Phase.STEPPING_DOWN, Phase.ROLLING_BACK, Phase.RETIRING, Phase.REMOVING]
)
def test_what_goes_back_is_never_given_up_for_taking_long(phase: Phase) -> None:
    Case(
        rollout=make_rollout(phase, *CANARY, step=2, submitted=True),
        seen=Observation(has_lock=True, operation=RUNNING),
        after=timedelta(days=30),
        decision=Wait(reason="the operation is under way", asked=timedelta(seconds=3)),
    ).require()
