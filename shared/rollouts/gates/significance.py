"""The tests of gates: how likely chance alone gives values as bad as those that were measured.

Each is one-sided and returns a p-value: the greatest probability of such values, or worse, of a
deployment that just keeps the limit. Rates are tested exactly, by the counts; what is known by the
minute only, by Student's t test. docs/reference/gates.md says why these. Pure, and without a
numeric library: SciPy takes 57 MiB and 0.65 s to import, mpmath 0.4 s and up to 50 ms for one tail
of large counts.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

#: The number of rates, between those that the stable deployment may have, to test a margin at.
_RATES = 21
#: The share of alpha that is spent on rates and counts that are left out as too unlikely.
_UNSOUGHT = 0.1
_ALPHA_MIN = 1e-12
#: Allows for rounding when counts are made of angles and back.
_ROUNDING = 1e-9

_FRACTION_STEPS = 100_000
_FRACTION_PRECISION = 1e-14


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean with the variance that it has as an estimate, and the degrees of freedom of that."""

    value: float
    variance: float
    freedom: float


def binomial_tail(count: int, trials: int, rate: float) -> float:
    """Return the probability of `count` or more in independent trials at that rate."""
    if count <= 0:
        return 1.0
    if count > trials:
        return 0.0
    return beta(count, trials - count + 1, rate)


def student_tail(t: float, freedom: float) -> float:
    """Return the probability of `t` or more in Student's distribution."""
    half = beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2
    return half if t >= 0 else 1 - half


def rate_increased(
    errors: int,
    requests: int,
    stable_errors: int,
    stable_requests: int,
    *,
    margin: float,
    alpha: float,
) -> float:
    """Test whether a rate is above another by more than `margin`; both have requests.

    Exact, unconditional (Barnard 1945), with the other's true rate sought where it can be
    (Berger and Boos 1994). A greater difference of the angles asin(sqrt(rate)) counts as worse:
    their spread is nearly the same at each rate, so the search costs little. It decides at `alpha`:
    above that it is not the greatest probability, but that of the likeliest rate, or of one near
    it.
    """
    spare = _UNSOUGHT * max(alpha, _ALPHA_MIN)
    # Four tails are left out: of the rates at both ends, and of either deployment's errors.
    exponent = math.log(4 / spare)
    observed = _angle(errors / requests) - _angle(stable_errors / stable_requests + margin)
    if observed <= 0:
        return 1.0

    @cache
    def least(count: int) -> int:
        return _least(requests, observed + _angle(count / stable_requests + margin))

    worst = 0.0
    for rate in _rates(stable_errors, stable_requests, exponent):
        tails = _Tails.of(requests, min(1.0, rate + margin), exponent)
        first, last = _likely(stable_requests, rate, exponent)
        chances = _chances(stable_requests, rate, first, last)
        worse = [tails.from_count(least(count)) for count in range(first, last + 1)]
        worst = max(worst, math.sumprod(chances, worse))
        if worst > alpha:
            break  # no worse one has to be sought
    return min(1.0, worst + spare)


def mean_of(values: Sequence[float], *, floor: float) -> Mean:
    """Estimate a mean of two values or more, each the value of one minute, in order.

    `floor` is the least standard deviation that is believed: rounded values may have none. Where
    each minute is like the one before it, the values count as fewer independent ones.
    """
    number = len(values)
    mean = math.fsum(values) / number
    rest = [value - mean for value in values]
    squares = math.sumprod(rest, rest)
    deviation = max(floor, math.sqrt(squares / (number - 1)))
    likeness = math.sumprod(rest[1:], rest[:-1]) / squares if squares else 0.0
    likeness = min(max(likeness, 0.0), 0.9)
    independent = max(2.0, number * (1 - likeness) / (1 + likeness))
    return Mean(value=mean, variance=deviation**2 / independent, freedom=number - 1)


def difference(one: Mean, other: Mean) -> Mean:
    """Estimate by how much the first mean is above the second, independent one (Welch 1947)."""
    variance = one.variance + other.variance
    shares = one.variance**2 / one.freedom + other.variance**2 / other.freedom
    return Mean(value=one.value - other.value, variance=variance, freedom=variance**2 / shares)


def mean_above(mean: Mean, limit: float) -> float:
    """Test whether the true mean is above the limit."""
    return student_tail((mean.value - limit) / math.sqrt(mean.variance), mean.freedom)


def beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function, by its continued fraction (Lentz 1976)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta(b, a, 1 - x)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    lead = math.exp(scale + a * math.log(x) + b * math.log1p(-x)) / a
    over, under = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = under
    for step in range(1, _FRACTION_STEPS):
        at = a + 2 * step
        even = step * (b - step) * x / ((at - 1) * at)
        odd = -(a + step) * (a + b + step) * x / (at * (at + 1))
        for term in (even, odd):
            under = 1 / (1 + term * under)
            over = 1 + term / over
            fraction *= over * under
        if abs(over * under - 1) < _FRACTION_PRECISION:
            break
    return min(1.0, lead * fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tails:
    """The probabilities of a count or more: of `first`, and of each after it up to impossible."""

    first: int
    values: Sequence[float]

    @classmethod
    def of(cls, trials: int, rate: float, exponent: float) -> "_Tails":
        first, last = _likely(trials, rate, exponent)
        chances = _chances(trials, rate, first, last)
        return cls(first=first, values=list(accumulate(reversed(chances)))[::-1])

    def from_count(self, count: int) -> float:
        place = count - self.first
        if place <= 0:
            return 1.0
        return self.values[place] if place < len(self.values) else 0.0


def _angle(rate: float) -> float:
    return math.asin(math.sqrt(min(1.0, rate)))


def _least(requests: int, angle: float) -> int:
    """Return the least number of errors whose rate has that angle; one too many where none has."""
    if angle > math.pi / 2 + _ROUNDING:
        return requests + 1
    exact = requests * math.sin(min(angle, math.pi / 2)) ** 2
    return math.ceil(exact * (1 - _ROUNDING) - _ROUNDING)


def _rates(errors: int, requests: int, exponent: float) -> Iterable[float]:
    """Return rates that may have led to this many errors, evenly spread, the likeliest first."""
    if 2 * errors > requests:
        low, high = _bounds(requests - errors, requests, exponent)
        low, high = 1 - high, 1 - low
    else:
        low, high = _bounds(errors, requests, exponent)
    first, last = _angle(low), _angle(high)
    step = (last - first) / (_RATES - 1)
    rates = [math.sin(first + step * number) ** 2 for number in range(_RATES)]
    return sorted(rates, key=lambda rate: abs(rate - errors / requests))


def _bounds(count: int, trials: int, exponent: float) -> tuple[float, float]:
    """Return the rates beyond which a count so far off has a probability below exp(-exponent).

    They come from Chernoff's bounds, which are wider than necessary for small counts.
    """
    below = count + (exponent - math.sqrt(exponent * (exponent + 8 * count))) / 2
    above = count + exponent + math.sqrt(exponent * (exponent + 2 * count))
    return max(0.0, below / trials), min(1.0, above / trials)


def _likely(trials: int, rate: float, exponent: float) -> tuple[int, int]:
    """Return the counts outside of which either tail is exp(-exponent) at the most."""
    mean = trials * rate
    below = mean - math.sqrt(2 * mean * exponent)
    above = mean + (exponent + math.sqrt(exponent * (exponent + 8 * mean))) / 2
    return max(0, math.floor(below)), min(trials, math.ceil(above))


def _chances(trials: int, rate: float, first: int, last: int) -> Sequence[float]:
    """Return the probabilities of each count from `first` to `last`, which have the mean between.

    They are computed from the likeliest outwards, so that none underflows too early.
    """
    if rate <= 0 or rate >= 1:
        certain = 0 if rate <= 0 else trials
        return [float(count == certain) for count in range(first, last + 1)]
    top = min(max(math.floor((trials + 1) * rate), first), last)
    scale = math.lgamma(trials + 1) - math.lgamma(top + 1) - math.lgamma(trials - top + 1)
    chance = math.exp(scale + top * math.log(rate) + (trials - top) * math.log1p(-rate))
    odds = rate / (1 - rate)
    up, down = [chance], [chance]
    for count in range(top, last):
        up.append(up[-1] * (trials - count) / (count + 1) * odds)
    for count in range(top, first, -1):
        down.append(down[-1] * count / (trials - count + 1) / odds)
    return down[:0:-1] + up
