"""Waits grow up to a cap, are spread out, and never fall below what a service asks for."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.base.retry import BASE, CAP, RETRY_AFTER_CAP, backoff

ATTEMPTS = st.integers(-5, 100) | st.sampled_from([10**6, 10**30])
DRAWS = st.floats(0, 1, exclude_max=True)
BASES = st.integers(0, 3600).map(lambda seconds: timedelta(seconds=seconds))
WAITS = st.timedeltas(timedelta(0), timedelta(days=2))


def lowest() -> float:
    return 0.0


def highest() -> float:
    return 1.0


@pytest.mark.parametrize(
    ("attempt", "ceiling"),
    [
        (1, timedelta(seconds=10)),
        (2, timedelta(seconds=20)),
        (3, timedelta(seconds=40)),
        (9, timedelta(seconds=2560)),
        (10, CAP),
        (1000, CAP),
        (10**30, CAP),
        (0, timedelta(seconds=10)),
        (-7, timedelta(seconds=10)),
    ],
)
def test_each_wait_is_twice_the_last_up_to_the_cap(attempt: int, ceiling: timedelta) -> None:
    assert backoff(attempt, draw=highest) == ceiling
    assert backoff(attempt, draw=lowest) == ceiling / 2


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (timedelta(0), timedelta(seconds=5)),
        (timedelta(seconds=-30), timedelta(seconds=5)),
        (timedelta(seconds=4), timedelta(seconds=5)),
        (timedelta(seconds=6), timedelta(seconds=6)),
        (CAP * 2, CAP * 2),
        (RETRY_AFTER_CAP, RETRY_AFTER_CAP),
        (timedelta(days=30), RETRY_AFTER_CAP),
    ],
)
def test_what_a_service_asks_for_is_a_floor(asked: timedelta, expected: timedelta) -> None:
    assert backoff(1, retry_after=asked, draw=lowest) == expected


def test_a_floor_does_not_shorten_a_longer_wait() -> None:
    assert backoff(50, retry_after=timedelta(seconds=1), draw=highest) == CAP


@given(ATTEMPTS, DRAWS, BASES)
def test_a_wait_is_between_half_its_ceiling_and_all_of_it(
    attempt: int, share: float, base: timedelta
) -> None:
    ceiling = backoff(attempt, base=base, draw=highest)
    wait = backoff(attempt, base=base, draw=lambda: share)
    assert ceiling / 2 <= wait <= ceiling <= CAP
    assert ceiling >= min(base, CAP)


@given(ATTEMPTS, BASES)
def test_the_ceiling_never_falls(attempt: int, base: timedelta) -> None:
    assert backoff(attempt, base=base, draw=highest) <= backoff(
        attempt + 1, base=base, draw=highest
    )


@given(ATTEMPTS, DRAWS, WAITS)
def test_no_wait_is_shorter_than_what_was_asked_for(
    attempt: int, share: float, asked: timedelta
) -> None:
    wait = backoff(attempt, retry_after=asked, draw=lambda: share)
    assert wait >= min(asked, RETRY_AFTER_CAP)
    assert wait <= max(CAP, RETRY_AFTER_CAP)
    assert wait == max(backoff(attempt, draw=lambda: share), min(asked, RETRY_AFTER_CAP))


def test_what_failed_together_does_not_come_back_together() -> None:
    draw = random.Random(1).random
    waits = {backoff(5, draw=draw) for _ in range(100)}
    assert len(waits) > 90
    assert max(waits) - min(waits) > BASE


def test_without_a_draw_the_wait_is_random_within_its_bounds() -> None:
    assert all(BASE / 2 <= backoff(1) <= BASE for _ in range(100))
