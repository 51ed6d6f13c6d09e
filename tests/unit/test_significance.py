"""The tests that gates are judged by, held against exact arithmetic and printed tables."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.rollouts.gates.significance import (
    Mean,
    beta,
    binomial_tail,
    difference,
    mean_above,
    mean_of,
    rate_increased,
    student_tail,
)
from tests.searching import examples


def chances(trials: int, rate: Fraction) -> list[Fraction]:
    """Return the binomial probabilities of 0 to `trials`, without a rounding."""
    return [
        math.comb(trials, count) * rate**count * (1 - rate) ** (trials - count)
        for count in range(trials + 1)
    ]


@pytest.mark.parametrize("trials", [1, 7, 40, 120])
@pytest.mark.parametrize("rate", [Fraction(1, 1000), Fraction(1, 50), Fraction(1, 3), Fraction(1)])
def test_the_binomial_tail_is_the_sum_of_its_probabilities(trials: int, rate: Fraction) -> None:
    exact = chances(trials, rate)
    for count in range(trials + 2):
        wanted = float(sum(exact[count:]))
        assert binomial_tail(count, trials, float(rate)) == pytest.approx(
            wanted, rel=1e-10, abs=1e-300
        )


def test_the_binomial_tail_of_large_counts_is_that_of_exact_sums() -> None:
    # In whole numbers: all of them over 200 to the power of the trials.
    tail = sum(math.comb(2000, n) * 199 ** (2000 - n) for n in range(30, 2001))
    assert binomial_tail(30, 2000, 0.005) == pytest.approx(tail / 200**2000, rel=1e-9)
    # 0.05 ± 2.2 standard deviations of a normal distribution, which so large a count is close to
    assert binomial_tail(501_500, 10_000_000, 0.05) == pytest.approx(0.01477, rel=0.01)


@pytest.mark.parametrize(
    ("freedom", "tail", "t"),
    [  # any printed table of Student's distribution
        (1, 0.05, 6.314),
        (2, 0.005, 9.925),
        (4, 0.001, 7.173),
        (9, 0.025, 2.262),
        (10, 0.0005, 4.587),
        (30, 0.01, 2.457),
        (120, 0.1, 1.289),
    ],
)
def test_student_s_tail_is_that_of_the_tables(freedom: int, tail: float, t: float) -> None:
    assert student_tail(t, freedom) == pytest.approx(tail, rel=2e-3)
    assert student_tail(-t, freedom) == pytest.approx(1 - tail, rel=2e-3)


@given(st.floats(-50, 50), st.sampled_from([1, 2]))
def test_student_s_tail_is_the_closed_one_of_few_degrees(t: float, freedom: int) -> None:
    if freedom == 1:
        wanted = math.atan2(1, t) / math.pi
    else:
        root = math.sqrt(2 + t * t)
        wanted = 1 / (root * (root + t)) if t > 0 else (1 - t / root) / 2
    assert student_tail(t, freedom) == pytest.approx(wanted, rel=1e-7)


@given(st.floats(0.5, 1e6), st.floats(0.5, 1e6), st.floats(0, 1))
def test_the_beta_function_is_a_probability_and_the_rest_of_its_mirror(
    a: float, b: float, x: float
) -> None:
    assert 0 <= beta(a, b, x) <= 1
    assert beta(a, b, x) + beta(b, a, 1 - x) == pytest.approx(1, abs=1e-6)


# An increase of a rate


def rejected(requests: int, stable: int, margin: float, alpha: float) -> list[int]:
    """Return, for each number of errors of the stable one, how few of the new one are too many."""
    found, errors = [], 0
    for stable_errors in range(stable + 1):
        # It takes more where the stable one has more, but for what is a matter of rounding.
        errors = max(0, errors - 2)
        while errors <= requests:
            p = rate_increased(errors, requests, stable_errors, stable, margin=margin, alpha=alpha)
            if p < alpha:
                break
            errors += 1
        found.append(errors)
    return found


@pytest.mark.parametrize(
    ("requests", "stable", "margin", "alpha"),
    [
        (15, 15, 0.0, 0.01),
        (8, 40, 0.01, 0.001),
        (30, 30, 0.1, 0.05),
        (43, 12, 0.01, 1e-4),
        (40, 120, 0.02, 1e-3),
    ],
)
def test_chance_fails_what_keeps_the_margin_no_more_often_than_said(
    requests: int, stable: int, margin: float, alpha: float
) -> None:
    least = rejected(requests, stable, margin, alpha)
    for step in range(201):
        rate = (step / 200) ** 2 * (1 - margin)
        ours, theirs = floats(requests, rate + margin), floats(stable, rate)
        chance = sum(theirs[n] * sum(ours[least[n] :]) for n in range(stable + 1))
        assert chance <= alpha


def floats(trials: int, rate: float) -> list[float]:
    """Return the binomial probabilities of 0 to `trials`, nearly."""
    return [
        math.comb(trials, count) * rate**count * (1 - rate) ** (trials - count)
        for count in range(trials + 1)
    ]


def test_an_increase_is_seen_that_two_separate_intervals_would_hide() -> None:
    # 2.3% against 0.5%: the upper end of the stable one's interval alone is at 1%.
    assert rate_increased(14, 600, 27, 5400, margin=0.002, alpha=1e-3) < 5e-4
    assert rate_increased(14, 600, 27, 5400, margin=0.002, alpha=1e-5) > 1e-5


@pytest.mark.parametrize(
    ("errors", "requests", "stable_errors", "stable_requests", "margin"),
    [
        (0, 100, 0, 900, 0.0),
        (1, 100, 9, 900, 0.0),
        (100, 20_000, 900, 180_000, 0.0),
        (3, 100, 9, 900, 0.02),
        (100, 100, 900, 900, 0.01),
    ],
)
def test_what_keeps_the_margin_by_its_own_figures_is_not_tested(
    errors: int, requests: int, stable_errors: int, stable_requests: int, margin: float
) -> None:
    p = rate_increased(errors, requests, stable_errors, stable_requests, margin=margin, alpha=0.01)
    assert p == 1


counts = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
alphas = st.floats(1e-7, 0.05)


@settings(deadline=None, max_examples=examples(150))
@given(counts, counts, st.sampled_from([0.0, 0.001, 0.01, 0.2]), alphas)
def test_more_errors_fail_no_less_and_more_confidence_fails_no_more(
    ours: tuple[int, int], theirs: tuple[int, int], margin: float, alpha: float
) -> None:
    def p_value(errors: int, at: float) -> float:
        return rate_increased(errors, ours[1], *theirs, margin=margin, alpha=at)

    p = p_value(ours[0], alpha)
    assert 0 < p <= 1
    if ours[0] < ours[1] and p < alpha:
        assert p_value(ours[0] + 1, alpha) <= p
    if p >= alpha:
        assert p_value(ours[0], alpha / 10) >= alpha / 10


@settings(deadline=None, max_examples=examples(50))
@given(counts, st.floats(0, 1))
def test_a_tail_shrinks_with_the_count_and_grows_with_the_rate(
    drawn: tuple[int, int], rate: float
) -> None:
    count, trials = drawn
    tail = binomial_tail(count, trials, rate)
    assert 0 <= tail <= 1
    assert binomial_tail(count + 1, trials, rate) <= tail + 1e-12
    assert binomial_tail(count, trials, min(1.0, rate * 1.1)) >= tail - 1e-12


# Means of minutes


def test_the_mean_of_independent_minutes_is_that_of_the_textbook() -> None:
    # Student's own data: hours of sleep gained by ten patients, t = 4.06 with 9 degrees, p = 0.0014
    gained = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    mean = mean_of(gained, floor=0.01)
    assert mean.value == pytest.approx(1.58)
    assert mean.freedom == 9
    assert mean.variance == pytest.approx(0.389**2, rel=1e-3)
    assert mean_above(mean, 0) == pytest.approx(0.0014, rel=0.02)


def test_minutes_that_are_like_those_before_them_count_less() -> None:
    mixed, sorted_ = [1.0, 4, 2, 5, 3, 6, 1, 4], [1.0, 1, 2, 3, 4, 4, 5, 6]
    one, other = mean_of(mixed, floor=0.01), mean_of(sorted_, floor=0.01)
    assert one.value == other.value
    assert other.variance > 2 * one.variance
    assert mean_above(one, 2) < mean_above(other, 2)


def test_values_without_a_spread_are_taken_for_rounded() -> None:
    assert mean_of([42.0] * 5, floor=0.5).variance == pytest.approx(0.05)
    assert mean_above(mean_of([42.0] * 5, floor=0.5), 40) < 1e-3
    assert mean_above(mean_of([42.0] * 5, floor=0.5), 41.9) > 0.1


def test_two_means_differ_by_welch_s_test() -> None:
    one = Mean(value=20.82, variance=2.79**2 / 15, freedom=14)
    other = Mean(value=23.68, variance=1.65**2 / 15, freedom=14)
    found = difference(other, one)
    assert found.freedom == pytest.approx(22.7, abs=0.1)
    assert mean_above(found, 0) == pytest.approx(student_tail(3.417, 22.7), rel=0.01)


@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=40),
    st.floats(-5, 5),
    st.floats(0, 3),
)
def test_a_higher_limit_fails_no_more(values: list[float], limit: float, more: float) -> None:
    mean = mean_of(values, floor=0.01)
    lower, higher = mean_above(mean, limit), mean_above(mean, limit + more)
    assert 0 <= lower <= higher + 1e-12
    assert higher <= 1
