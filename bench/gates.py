"""How well gates tell a bad version from one that is as good as what serves, on simulated traffic.

`gate_false_rollback_rate` is how often one that is as good is rolled back, by the ready-made gates,
with the traffic with which that is worst. Floor: what the strategy allows, 1 - `confidence`; what
is below it is better. `gate_missed_rate` is how often errors up by two points go unnoticed at 10
requests a second. Floor: the same of one who knows the stable rate, looks once, at the end, and
spends all of the confidence on that. Both are the upper ends, at 95%, of what the runs leave open.

`gate_detection_minutes` is the median time from the start of the hold to a failed gate, of errors
up by five points at 10 requests a second. Floor: the lag of the metrics, and one minute.

The traffic. Requests are Poisson, and a tenth goes to the new deployment. Of its requests the
stable one fails 0.5%, each by itself. Latencies are log-normal (sigma 0.5), under a load that is
common to both and wanders (by 10%, each minute like the last one with a correlation of 0.8). The
service tells the counts, the mean and the percentiles (by nearest rank) of each minute, three
minutes late. A hold of 30 minutes is looked at each minute, which is more often than rollouts do,
and for up to an hour longer where a gate has too little; what never has enough goes unnoticed.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from statistics import NormalDist, median

from bench.figure import Figure, note
from shared.rollouts.gates.judge import alpha_of, judge
from shared.rollouts.gates.significance import binomial_tail
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.strategy.gates_schema import GatesParams
from shared.rollouts.strategy.model import Gate
from shared.rollouts.strategy.ready_made import READY_MADE
from shared.workspaces.metrics import Measure, Minute, Readings

FIGURES = ("gate_false_rollback_rate", "gate_missed_rate", "gate_detection_minutes")
TINY = {"runs": 4, "told": 2}

GATES = GatesParams.model_validate(READY_MADE["canary"]["gates"]).gates
CONFIDENCE = 0.99
HOLD, PATIENCE, LAG = 30, 60, 3
SHARE = 0.1
BASE_RATE, MEDIAN, SIGMA = 0.005, 100.0, 0.5
LOAD, LOAD_KEPT = 0.1, 0.8

_SEED = 20260101
#: Later than any gate fails.
_HELD = HOLD + PATIENCE + 1
_START = datetime(2026, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_NORMAL = NormalDist()
#: So many requests have a mean that is as good as normal.
_MANY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The differences of the new version from the stable one.

    `burst` is how many requests in a row fail together; `own` by how much its latency wanders
    without the other's.
    """

    name: str
    more_errors: float = 0.0
    slower: float = 1.0
    burst: int = 1
    own: float = 0.0


AS_GOOD = Version(name="as good")
#: As good, but not what the tests assume.
UNEASY = (
    Version(name="as good, errors in fives", burst=5),
    Version(name="as good, 10% wander of its own", own=0.1),
)
MORE_ERRORS = (
    Version(name="errors +1 point", more_errors=0.01),
    Version(name="errors +2 points", more_errors=0.02),
    Version(name="errors +5 points", more_errors=0.05),
)
SLOWER = (
    Version(name="latency 1.2 times", slower=1.2),
    Version(name="latency 1.5 times", slower=1.5),
    Version(name="latency 2 times", slower=2.0),
)
_ERROR_RATE, _LATENCY, _P95 = Measure.ERROR_RATE, Measure.LATENCY, Measure.LATENCY_P95
#: The table beside the figures: gates, each as one of two, and the changes that they should notice.
TABLE = (
    (
        "error_rate: {max_increase: 0.2%}",
        Gate(measure=_ERROR_RATE, max_increase=0.002),
        MORE_ERRORS,
    ),
    (
        "error_rate: {max_increase: 0.5%}",
        Gate(measure=_ERROR_RATE, max_increase=0.005),
        MORE_ERRORS,
    ),
    ("error_rate: {max_increase: 1%}", Gate(measure=_ERROR_RATE, max_increase=0.01), MORE_ERRORS),
    ("latency: {max_ratio: 1.1}", Gate(measure=_LATENCY, max_ratio=1.1), SLOWER),
    ("latency: {max_ratio: 1.2}", Gate(measure=_LATENCY, max_ratio=1.2), SLOWER),
    ("latency_p95: {max_ratio: 1.2}", Gate(measure=_P95, max_ratio=1.2), SLOWER),
)
FIGURED = 10
PER_SECOND = (1, FIGURED, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The results of many holds: the minutes after which gates failed, and how many never failed.

    Of those, `held` had no verdict when patience was over either: a person is asked.
    """

    failed: tuple[int, ...]
    unfailed: int
    held: int

    @property
    def total(self) -> int:
        """How many there were."""
        return len(self.failed) + self.unfailed

    def __str__(self) -> str:
        share = f"{100 * len(self.failed) / self.total:.0f}%"
        told = f"{share} in {median(self.failed):.0f} min" if self.failed else share
        return f"{told} ({100 * self.held / self.total:.0f}% held)" if self.held else told


def measure(*, runs: int = 1000, told: int = 100) -> Iterator[Figure]:
    """Let holds run: so many for each figure and traffic, and for each place of the table."""
    good = {rate: play(AS_GOOD, rate, runs) for rate in PER_SECOND}
    _note(f"{AS_GOOD.name}, the ready-made gates", good)
    for version in UNEASY:
        _note(f"{version.name}", {rate: play(version, rate, told) for rate in PER_SECOND})
    for name, gate, versions in TABLE:
        for version in versions:
            found = {rate: play(version, rate, told, (gate,)) for rate in PER_SECOND}
            _note(f"{name}, {version.name}", found)
    yield Figure(
        name="gate_false_rollback_rate",
        value=100 * max(_at_most(len(each.failed), each.total) for each in good.values()),
        unit="%",
        floor=100 * (1 - CONFIDENCE),
    )
    _, more, many = MORE_ERRORS
    missed = play(more, FIGURED, runs)
    yield Figure(
        name="gate_missed_rate",
        value=100 * _at_most(missed.unfailed, missed.total),
        unit="%",
        floor=100 * _missed_by_who_knows(more),
    )
    noticed = play(many, FIGURED, runs)
    yield Figure(
        name="gate_detection_minutes",
        value=median(noticed.failed),
        unit="min",
        floor=LAG + 1,
    )


def _note(name: str, found: dict[int, Runs]) -> None:
    note(f"{name}: " + ", ".join(f"{rate}/s {runs}" for rate, runs in found.items()))


def _at_most(seen: int, total: int) -> float:
    """Return the greatest rate that so few are still to be expected of, in one case of twenty."""
    low, high = seen / total, 1.0
    for _ in range(50):
        rate = (low + high) / 2
        is_likely = 1 - binomial_tail(seen + 1, total, rate) > 0.05
        low, high = (rate, high) if is_likely else (low, rate)
    return high


def _missed_by_who_knows(version: Version) -> float:
    """Return the floor of what is missed, at the figures' traffic."""
    requests = round(FIGURED * 60 * SHARE * (HOLD - LAG))
    margin = next(gate.max_increase for gate in GATES if gate.measure is Measure.ERROR_RATE)
    limit = BASE_RATE + (margin or 0)
    least = next(n for n in count() if binomial_tail(n, requests, limit) <= 1 - CONFIDENCE)
    return 1 - binomial_tail(least, requests, BASE_RATE + version.more_errors)


def play(version: Version, per_second: int, runs: int, gates: tuple[Gate, ...] = GATES) -> Runs:
    """Hold so many rollouts of a version."""
    random = Random(f"{_SEED} {version.name} {per_second}")
    ends = [_hold(version, per_second, gates, random) for _ in range(runs)]
    failed = tuple(end for end in ends if end is not None and end <= HOLD + PATIENCE)
    return Runs(failed=failed, unfailed=runs - len(failed), held=ends.count(_HELD))


def _hold(version: Version, per_second: int, gates: tuple[Gate, ...], random: Random) -> int | None:
    """Return after how many minutes a gate failed; None where all passed, _HELD without verdict."""
    traffic = _traffic(version, per_second, random)
    new: list[Minute] = []
    stable: list[Minute] = []
    looks: Counter[tuple[Measure, bool]] = Counter()
    for minute in range(LAG + 1, HOLD + PATIENCE + 1):
        ours, theirs = next(traffic)
        new.append(ours)
        stable.append(theirs)
        readings = Readings(
            start=_START,
            end=_START + minute * _MINUTE,
            grain=_MINUTE,
            minutes={"new": tuple(new), "stable": tuple(stable)},
        )
        is_passed = True
        for gate in gates:
            kind = gate.measure, minute >= HOLD
            alpha = alpha_of(CONFIDENCE, len(GATES), looks[kind] + 1)
            found = judge(
                gate, readings, new="new", stable="stable", alpha=alpha, at=readings.end, step=0
            )
            looks[kind] += found.p_value is not None
            if found.outcome is GateOutcome.FAIL:
                return minute
            is_passed &= found.outcome is GateOutcome.PASS
        if is_passed and minute >= HOLD:
            return None
    return _HELD


def _traffic(version: Version, per_second: int, random: Random) -> Iterator[tuple[Minute, Minute]]:
    load = random.gauss(0, LOAD)
    own = random.gauss(0, version.own)
    for number in count():
        at = _START + number * _MINUTE
        requests, slow, burst = 60 * per_second, math.log(MEDIAN) + load, version.burst
        rate, slower = BASE_RATE + version.more_errors, slow + math.log(version.slower) + own
        yield (
            _minute(at, SHARE * requests, rate, slower, burst, random),
            _minute(at, (1 - SHARE) * requests, BASE_RATE, slow, burst, random),
        )
        rest = math.sqrt(1 - LOAD_KEPT**2)
        load = LOAD_KEPT * load + rest * random.gauss(0, LOAD)
        own = LOAD_KEPT * own + rest * random.gauss(0, version.own)


def _minute(
    at: datetime, mean: float, rate: float, slow: float, burst: int, random: Random
) -> Minute:
    # Of so many that may come, each on its own: as good as Poisson.
    requests = random.binomialvariate(10_000_000, mean / 10_000_000)
    errors = min(requests, burst * random.binomialvariate(requests // burst, rate))
    if not requests:
        return Minute(at=at)
    values = {
        Measure.LATENCY: math.exp(slow) * _mean_of(requests, random),
        Measure.LATENCY_P95: math.exp(slow + SIGMA * _rank(requests, 0.95, random)),
    }
    return Minute(at=at, requests=requests, errors=errors, values=values)


def _rank(requests: int, share: float, random: Random) -> float:
    """Return the normal deviate that is at that share of so many: an order statistic's."""
    rank = math.ceil(share * requests)
    chance = random.betavariate(rank, requests - rank + 1)
    return _NORMAL.inv_cdf(min(max(chance, 1e-12), 1 - 1e-12))


def _mean_of(requests: int, random: Random) -> float:
    """Return the mean of so many log-normal latencies with the median 1."""
    if requests < _MANY:
        return sum(math.exp(random.gauss(0, SIGMA)) for _ in range(requests)) / requests
    mean = math.exp(SIGMA**2 / 2)
    deviation = mean * math.sqrt(math.expm1(SIGMA**2) / requests)
    return random.gauss(mean, deviation)
