"""How many retrainings a reaction may have at once and in a week."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.retraining.budget import WEEK, Budget, Slot, count_retrainings, give_back, release, take
from shared.retraining.model import PolicyAnswer
from shared.retraining.params import PolicyParams

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)


def make_policy(**values: Any) -> PolicyParams:
    """Return a policy as a reaction gives it."""
    return PolicyParams.model_validate(values)


def make_budget(*slots: tuple[str, timedelta, bool]) -> Budget:
    """Return a budget of slots: id, how long ago it was started, whether it has ended."""
    return Budget(
        slots=tuple(Slot(id=id, started_at=NOW - ago, ended=ended) for id, ago, ended in slots)
    )


@pytest.mark.parametrize(
    ("slots", "counted"),
    [
        ([], (0, 0)),
        ([("a", HOUR, False)], (1, 1)),
        ([("a", HOUR, True)], (0, 1)),
        ([("a", DAY, False)], (1, 1)),
        ([("a", DAY + SECOND, False)], (0, 1)),
        ([("a", WEEK - SECOND, True)], (0, 1)),
        ([("a", WEEK, True)], (0, 0)),
        ([("a", -HOUR, False)], (1, 1)),
        ([("me", HOUR, False), ("a", HOUR, False)], (1, 1)),
    ],
)
def test_which_retrainings_count_against_the_budget(
    slots: list[Any], counted: tuple[int, int]
) -> None:
    assert count_retrainings(make_budget(*slots), NOW, DAY, but="me") == counted


def test_a_place_is_taken_once() -> None:
    policy = make_policy(at_once=1)
    budget = take(Budget(), "a", NOW, policy)
    assert budget == make_budget(("a", 0 * DAY, False))
    assert take(budget, "a", NOW, policy) == budget
    assert take(budget, "a", NOW + HOUR, policy) == make_budget(("a", -HOUR, False))
    assert take(budget, "b", NOW + HOUR, policy) is PolicyAnswer.AT_ONCE
    ended = release(budget, "a")
    assert take(ended, "a", NOW + HOUR, policy) == make_budget(("a", -HOUR, False))
    assert isinstance(take(ended, "b", NOW + HOUR, policy), Budget)


def test_a_place_that_has_ended_is_taken_anew_where_there_is_room() -> None:
    policy = make_policy(at_once=1)
    ended = make_budget(("a", HOUR, True), ("b", HOUR, False))
    assert take(ended, "a", NOW, policy) is PolicyAnswer.AT_ONCE
    expired = make_budget(("a", DAY + SECOND, False), ("b", HOUR, False))
    assert take(expired, "a", NOW, policy) is PolicyAnswer.AT_ONCE


def test_a_place_that_is_given_back_counts_for_nothing() -> None:
    budget = make_budget(("a", HOUR, False), ("b", HOUR, True))
    assert give_back(budget, "c") == budget
    assert give_back(budget, "a") == make_budget(("b", HOUR, True))
    assert give_back(budget, "b") == make_budget(("a", HOUR, False))


def test_a_week_s_places_are_used_up() -> None:
    policy = make_policy(per_week=2)
    budget = make_budget(("a", WEEK - SECOND, True), ("b", DAY, True))
    assert take(budget, "c", NOW, policy) is PolicyAnswer.PER_WEEK
    assert take(budget, "c", NOW + SECOND, policy) == Budget(
        slots=(*budget.slots[1:], Slot(id="c", started_at=NOW + SECOND))
    )


def test_too_many_at_once_are_told_of_first() -> None:
    policy = make_policy(at_once=1, per_week=1)
    assert take(make_budget(("a", HOUR, False)), "b", NOW, policy) is PolicyAnswer.AT_ONCE


def test_a_retraining_that_never_ends_frees_its_place_after_its_time() -> None:
    policy = make_policy(at_once=1, per_week=9, timeout="9d")
    budget = make_budget(("a", 9 * DAY, False))
    assert take(budget, "b", NOW, policy) is PolicyAnswer.AT_ONCE
    later = take(budget, "b", NOW + SECOND, policy)
    assert isinstance(later, Budget)
    assert [slot.id for slot in later.slots] == ["b"]


def test_ending_what_has_no_place_changes_nothing() -> None:
    budget = make_budget(("a", HOUR, False), ("b", HOUR, True))
    assert release(budget, "c") is budget
    assert release(budget, "b") is budget
    assert release(budget, "a").slots[0] == replace(budget.slots[0], ended=True)


steps = st.lists(
    st.tuples(st.sampled_from(["take", "release"]), st.sampled_from("abcdef"), st.integers(0, 60)),
    max_size=40,
)


@given(steps, st.integers(1, 3), st.integers(1, 4))
def test_a_budget_never_lets_in_more_than_it_may(
    steps: list[tuple[str, str, int]], at_once: int, per_week: int
) -> None:
    policy = make_policy(at_once=at_once, per_week=per_week)
    budget, now, taken = Budget(), NOW, dict[str, datetime]()
    for step, id, hours in steps:
        now += hours * HOUR
        if step == "release":
            budget = release(budget, id)
            continue
        running, started = count_retrainings(budget, now, policy.timeout, but=id)
        found = take(budget, id, now, policy)
        mine = [slot for slot in budget.slots if slot.id == id and not slot.ended]
        has_place = any(now - slot.started_at <= policy.timeout for slot in mine)
        may = has_place or (running < at_once and started < per_week)
        assert isinstance(found, Budget) == may
        if isinstance(found, Budget):
            budget = found
            taken[id] = now
        running, started = count_retrainings(budget, now, policy.timeout)
        assert running <= at_once
        assert started <= per_week
        assert started == sum(now - at < WEEK for at in taken.values())
        assert len(budget.slots) <= at_once + per_week + 1
