"""The outcome of a step is the newest one, in any order of arrival."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.journal.outcomes import Outcome, OutcomeStatus, merge_news, outcome_from, outcome_to

DONE, SKIPPED = OutcomeStatus.DONE, OutcomeStatus.SKIPPED
WAITING, FAILED = OutcomeStatus.WAITING, OutcomeStatus.FAILED


def step(status: OutcomeStatus, attempt: int, *, rollout: str = "") -> Outcome:
    """Return what a step says of itself."""
    return Outcome(status=status, attempt=attempt, rollout=rollout)


def work(status: OutcomeStatus, revision: int) -> Outcome:
    """Return what the rollout that a step started says of itself."""
    return Outcome(status=status, revision=revision, rollout="r1")


BEGUN = step(WAITING, 1, rollout="r1")


@pytest.mark.parametrize(
    ("known", "news", "holds"),
    [
        pytest.param(step(WAITING, 1), step(DONE, 2), DONE, id="a later attempt"),
        pytest.param(step(DONE, 2), step(WAITING, 1), DONE, id="an earlier attempt"),
        pytest.param(step(DONE, 2), step(FAILED, 1), DONE, id="an earlier failure"),
        pytest.param(step(DONE, 1), step(WAITING, 0), DONE, id="no time was left"),
        pytest.param(step(FAILED, 3), step(WAITING, 0), FAILED, id="held elsewhere"),
        pytest.param(step(WAITING, 1), step(FAILED, 1), FAILED, id="the attempt is parked"),
        pytest.param(step(DONE, 1), step(FAILED, 1), DONE, id="done for good"),
        pytest.param(step(SKIPPED, 0), step(WAITING, 0), SKIPPED, id="skipped for good"),
        pytest.param(BEGUN, work(DONE, 1), DONE, id="the rollout ends"),
        pytest.param(work(DONE, 1), BEGUN, DONE, id="the rollout was quicker"),
        pytest.param(work(FAILED, 4), work(WAITING, 5), WAITING, id="the rollout is tried again"),
        pytest.param(work(WAITING, 5), work(FAILED, 4), WAITING, id="an earlier tick is late"),
        pytest.param(work(DONE, 1), step(WAITING, 2), DONE, id="the step, tried after a crash"),
        pytest.param(work(FAILED, 1), step(SKIPPED, 2), FAILED, id="the step, superseded by then"),
    ],
)
def test_news_holds_if_it_is_newer_than_what_is_known(
    known: Outcome, news: Outcome, holds: OutcomeStatus
) -> None:
    assert merge_news({"a/b": known}, {"a/b": news})["a/b"].status is holds


ATTEMPTS = st.lists(st.sampled_from((WAITING, FAILED)), max_size=3)


@given(ATTEMPTS, st.sampled_from((DONE, SKIPPED, WAITING)), st.permutations(range(6)))
def test_the_last_attempt_holds_in_whatever_order_the_attempts_are_told(
    before: list[OutcomeStatus], last: OutcomeStatus, order: list[int]
) -> None:
    statuses = [*before, last]
    told = [step(status, attempt) for attempt, status in enumerate(statuses, start=1)]
    told += [step(WAITING, 0), step(WAITING, 0)]  # where no claim was taken
    known: dict[str, Outcome] = {}
    for place in order:
        if place < len(told):
            known = merge_news(known, {"a/b": told[place]})
    assert known["a/b"].status is last


@pytest.mark.parametrize("last", [DONE, FAILED])
def test_how_long_work_ended_holds_in_whatever_order_all_is_told(last: OutcomeStatus) -> None:
    told = [step(WAITING, 1), step(WAITING, 2, rollout="r1"), work(FAILED, 3), work(last, 7)]
    for order in itertools.permutations(told):
        known: dict[str, Outcome] = {}
        for outcome in order:
            known = merge_news(known, {"a/b": outcome})
        assert (known["a/b"].status, known["a/b"].rollout) == (last, "r1")


@given(st.integers(0, 99), st.integers(0, 99))
def test_an_outcome_is_read_as_it_was_written(attempt: int, revision: int) -> None:
    outcome = Outcome(
        status=FAILED, detail="x", code="y", rollout="z", attempt=attempt, revision=revision
    )
    read = outcome_from(outcome_to(outcome))
    assert (read, read.attempt, read.revision) == (outcome, attempt, revision)


def test_an_outcome_that_an_earlier_version_wrote_is_read_as_the_oldest() -> None:
    read = outcome_from({"status": "waiting", "detail": "x"})
    assert (read.attempt, read.revision) == (0, 0)
