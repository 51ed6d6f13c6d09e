"""The readings of one deployment, without those that make no sense, and whether they are enough
for a verdict. Pure.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.base.durations import format_duration
from shared.base.words import counted
from shared.rollouts.state.measurement import GateOutcome
from shared.workspaces.metrics import Measure, Minute, Readings

#: The fewest minutes for a verdict where the minute is the sample.
MINUTES_MIN: Final = 3
#: So many requests make a minute's latency a sample: with fewer, the way in which the service picks
#: a percentile from them matters as much as the model. docs/reference/gates.md has the figures.
REQUESTS_MIN: Final[Mapping[Measure, int]] = {
    Measure.LATENCY: 5,
    Measure.LATENCY_P50: 10,
    Measure.LATENCY_P90: 30,
    Measure.LATENCY_P95: 50,
    Measure.LATENCY_P99: 200,
}
#: The measures that count requests. For all others the service gives a value for each minute.
COUNTED: Final = frozenset({Measure.ERROR_RATE, Measure.REQUESTS})

#: No endpoint does more than this in a minute: such a minute makes no sense.
_REQUESTS_MAX = 10_000_000
_VALUE_MAX = 1e9
#: If more than one minute in so many makes no sense, the others prove nothing.
_ODD_ONE_IN = 10
#: In milliseconds or percent. Smaller values count as this one where ratios are compared.
_NEXT_TO_NOTHING = 0.1

type ScaleOfValues = Callable[[float], float]


def plain(value: float) -> float:
    """Compare by difference."""
    return value


def in_logs(value: float) -> float:
    """Compare by ratio."""
    return math.log(max(value, _NEXT_TO_NOTHING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Why there is no verdict, as a clause."""

    outcome: GateOutcome
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The readings of one deployment in the window, for one measure.

    `minutes` are those that make sense, and `requests` and `errors` their sums; `odd` is how many
    make none; `values` are the measure's, of the minutes with enough requests, in order.
    """

    name: str
    measure: Measure
    grain: timedelta
    minutes: Mapping[datetime, Minute]
    requests: int
    errors: int
    values: Mapping[datetime, float]
    odd: int

    @property
    def scale(self) -> ScaleOfValues:
        """How its values compare: a cause that slows answers does so by a factor."""
        return in_logs if self.measure.is_latency else plain

    @property
    def value(self) -> float | None:
        """The measure over the window: a rate, a count, or the mean (of latencies the geometric)
        of the values.
        """
        if self.measure is Measure.REQUESTS:
            return float(self.requests)
        if self.measure is Measure.ERROR_RATE:
            return self.errors / self.requests if self.requests else None
        if not self.values:
            return None
        mean = math.fsum(map(self.scale, self.values.values())) / len(self.values)
        return math.exp(mean) if self.measure.is_latency else mean

    def within(self, times: Collection[datetime]) -> "Evidence":
        """Return the evidence with the values of these minutes alone."""
        return replace(self, values={at: value for at, value in self.values.items() if at in times})

    def spans(self, count: int) -> str:
        """Return a number of readings in words: "3 minutes", "2 readings of 5m"."""
        if self.grain == timedelta(minutes=1):
            return counted(count, "minute")
        return f"{counted(count, 'reading')} of {format_duration(self.grain)}"


def evidence_of(readings: Readings, name: str, measure: Measure) -> Evidence:
    """Return the evidence on a deployment; of a doubled minute, the fuller one."""
    kept: dict[datetime, Minute] = {}
    odd = 0
    for minute in readings.minutes.get(name, ()):
        if minute.at.tzinfo is None:
            odd += 1
        elif readings.start <= minute.at < readings.end:
            if not _makes_sense(minute, measure):
                odd += 1
                continue
            other = kept.setdefault(minute.at, minute)
            if (minute.requests, minute.errors) > (other.requests, other.errors):
                kept[minute.at] = minute
    enough = REQUESTS_MIN.get(measure, 0)
    values = {
        at: kept[at].values[measure]
        for at in sorted(kept)
        if measure in kept[at].values and kept[at].requests >= enough
    }
    return Evidence(
        name=name,
        measure=measure,
        grain=readings.grain,
        minutes=kept,
        requests=sum(minute.requests for minute in kept.values()),
        errors=sum(minute.errors for minute in kept.values()),
        values=values,
        odd=odd,
    )


def aligned(one: Evidence, other: Evidence) -> tuple[Evidence, Evidence]:
    """Return both with the minutes that they share: a load that hits one hits the other.

    Deployments that had no requests in the same minute are not from the same time, and stay as they
    are.
    """
    if not _busy(one) & _busy(other):
        return one, other
    return one.within(other.values.keys()), other.within(one.values.keys())


def find_lack(evidence: Evidence, *, requests_min: int, minutes_min: int) -> Lack | None:
    """Return why a deployment's evidence is not enough; None if it is."""
    name, measure, requests = evidence.name, evidence.measure, evidence.requests
    if not evidence.minutes:
        return Lack(outcome=GateOutcome.NO_DATA, why=f"the service has no data of {name}")
    if measure is Measure.ERROR_RATE and not requests:
        return Lack(outcome=GateOutcome.NO_DATA, why=f"{name} has had no requests")
    if measure not in COUNTED and not any(
        measure in minute.values for minute in evidence.minutes.values()
    ):
        return Lack(outcome=GateOutcome.NO_DATA, why=f"the service has no values of {name}")
    if requests < requests_min:
        why = f"{requests:,} requests to {name}, a verdict takes {requests_min:,}"
        return Lack(outcome=GateOutcome.TOO_FEW, why=why)
    if measure not in COUNTED and len(evidence.values) < minutes_min:
        why = f"{evidence.spans(len(evidence.values))} of {name}{_with_enough(measure)}"
        return Lack(outcome=GateOutcome.TOO_FEW, why=f"{why}, a verdict takes {minutes_min}")
    return None


def find_lack_of_pairs(one: Evidence, other: Evidence) -> Lack | None:
    """Return why two aligned deployments can't be compared; None if they can."""
    fewest = min(one, other, key=lambda evidence: len(evidence.values))
    count = len(fewest.values)
    if fewest.measure in COUNTED or count >= MINUTES_MIN:
        return None
    enough = _with_enough(fewest.measure)
    why = f"{fewest.spans(count)} of both{enough}, a verdict takes {MINUTES_MIN}"
    return Lack(outcome=GateOutcome.TOO_FEW, why=why)


def find_odd(evidence: Evidence) -> Lack | None:
    """Return a lack if too many minutes make no sense for the others to prove anything."""
    if evidence.odd * _ODD_ONE_IN <= evidence.odd + len(evidence.minutes):
        return None
    return Lack(outcome=GateOutcome.TOO_FEW, why="that is too many to pass")


def _makes_sense(minute: Minute, measure: Measure) -> bool:
    if not 0 <= minute.errors <= minute.requests <= _REQUESTS_MAX:
        return False
    value = minute.values.get(measure)
    if value is None or minute.requests < REQUESTS_MIN.get(measure, 0):
        return True  # an idle minute's latency may be any number, and is not used
    return 0 < value < _VALUE_MAX or (value == 0 and not measure.is_latency)


def _busy(evidence: Evidence) -> set[datetime]:
    return {at for at, minute in evidence.minutes.items() if minute.requests}


def _with_enough(measure: Measure) -> str:
    requests = REQUESTS_MIN.get(measure, 0)
    return f" with {requests} requests or more" if requests else ""
