"""Which news of a step stays on record, in whatever order it arrives."""

from dataclasses import replace
from itertools import permutations

import pytest

from shared.outcomes import Outcome, OutcomeStatus, merge_news, outcome_from, outcome_to

DONE, WAITING, FAILED = OutcomeStatus.DONE, OutcomeStatus.WAITING, OutcomeStatus.FAILED


def made(status: OutcomeStatus, attempt: int = 0, rollout: str = "") -> Outcome:
    """Return an outcome."""
    return Outcome(status=status, attempt=attempt, rollout=rollout)


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([made(WAITING, 1), made(DONE, 2)], id="the second attempt did it"),
        pytest.param([made(WAITING, 1), made(WAITING, 2), made(FAILED, 3)], id="it was parked"),
        pytest.param([made(WAITING), made(DONE, 1)], id="it was put off, then done"),
        pytest.param([made(WAITING, 1, "r"), made(DONE, 0, "r")], id="its rollout went live"),
        pytest.param(
            [made(WAITING, 1), made(WAITING, 2, "r"), made(FAILED, 0, "r")],
            id="a crash, then its rollout failed",
        ),
    ],
)
def test_the_last_news_stays_on_record_in_whatever_order_it_is_written(
    story: list[Outcome],
) -> None:
    for order in permutations(story):
        known: dict[str, Outcome] = {}
        for news in order:
            known = merge_news(known, {"a/b": news})
        assert replace(known["a/b"], attempt=0) == replace(story[-1], attempt=0)


def test_a_rollout_that_is_tried_again_takes_the_place_of_how_it_ended() -> None:
    known = {"a/b": made(FAILED, 0, "r")}
    assert merge_news(known, {"a/b": made(DONE, 0, "r")}) == {"a/b": made(DONE, 0, "r")}


def test_an_outcome_is_read_as_it_was_written() -> None:
    outcome = Outcome(status=DONE, detail="x", code="c", rollout="r", attempt=3)
    assert outcome_from(outcome_to(outcome)) == outcome
    assert outcome_from({"status": "done"}) == Outcome(status=DONE)
