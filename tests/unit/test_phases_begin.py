"""A phase begins without the work of the one before, and an attempt without what came of one."""

from dataclasses import fields
from datetime import timedelta

import pytest

from shared.rollouts.deciding.decisions import Go
from shared.rollouts.deciding.ending import retry
from shared.rollouts.engine.tick import enter
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Attempt, Cause, PhaseWork
from shared.workspaces.model import Operation
from tests.unit.rollouts import CANARY, NOW, make_rollout

OPERATION = Operation(url="https://x/op", retry_after=timedelta(seconds=3))
DONE = PhaseWork(
    submitted=True,
    operation=OPERATION,
    tries=2,
    probes=1,
    trouble="no answer",
    troubles=3,
    alarm="nothing healthy",
)


def test_the_work_of_these_tests_has_no_default_left() -> None:
    new = PhaseWork()
    assert all(getattr(DONE, each.name) != getattr(new, each.name) for each in fields(PhaseWork))


@pytest.mark.parametrize(
    ("before", "after", "operation"),
    [
        (Phase.SHIFTING, Phase.HOLDING, None),
        (Phase.DEPLOYMENT, Phase.ROLLING_BACK, None),
        # The split that is being set would be set after the rollback.
        (Phase.SHIFTING, Phase.ROLLING_BACK, OPERATION),
        (Phase.MIRRORING, Phase.ROLLING_BACK, OPERATION),
        (Phase.STEPPING_DOWN, Phase.ROLLING_BACK, OPERATION),
    ],
)
def test_a_phase_begins_with_new_work_but_a_rollback_waits_for_a_split_that_is_being_set(
    before: Phase, after: Phase, operation: Operation | None
) -> None:
    rollout = make_rollout(before, *CANARY, step=1, work=DONE)
    entered = enter(rollout, Go(phase=after), NOW)
    assert entered.work == PhaseWork(operation=operation)
    assert (entered.phase, entered.since) == (after, NOW)


def test_a_retry_begins_a_new_attempt() -> None:
    ended = Attempt(retries=1, cause=Cause.FAILED, is_moved=True, logs="Traceback")
    rollout = make_rollout(Phase.KEEPING, *CANARY, step=1, attempt=ended)
    again = retry(rollout, "again").rollout
    assert again is not None
    assert again.attempt == Attempt(retries=2, has_kept=True)
