"""Judge the measurements of a new deployment by the limits of a gate. Pure."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.rollouts.gates.evidence import (
    COUNTED,
    MINUTES_MIN,
    Evidence,
    Lack,
    ScaleOfValues,
    aligned,
    evidence_of,
    find_lack,
    find_lack_of_pairs,
    find_odd,
    in_logs,
    plain,
)
from shared.rollouts.gates.significance import (
    Mean,
    binomial_tail,
    difference,
    mean_above,
    mean_of,
    rate_increased,
)
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.strategy.model import Gate
from shared.workspaces.metrics import Measure, Readings

#: A p-value below this one proves no harm, but is too doubtful for a pass.
_DOUBT = 0.1

#: Smaller standard deviations come from rounding: of logs, and of milliseconds or percent.
_DEVIATION_MIN: Mapping[ScaleOfValues, float] = {in_logs: 0.01, plain: 0.5}

_NAMES: Mapping[Measure, str] = {
    Measure.ERROR_RATE: "error rate",
    Measure.LATENCY: "mean latency",
    Measure.LATENCY_P50: "p50 latency",
    Measure.LATENCY_P90: "p90 latency",
    Measure.LATENCY_P95: "p95 latency",
    Measure.LATENCY_P99: "p99 latency",
    Measure.REQUESTS: "requests",
    Measure.CPU: "CPU",
    Measure.MEMORY: "memory",
}


type _Both = tuple[Evidence, Evidence]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """A limit in words, and its test: of an alpha, the p-value."""

    words: str
    is_relative: bool
    test: Callable[[float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """The result of the tests: no p-value if nothing was tested, a lack if data are missing."""

    alpha: float
    p_value: float | None = None
    lack: Lack | None = None

    @property
    def is_significant(self) -> bool:
        return self.p_value is not None and self.p_value < self.alpha

    @property
    def words(self) -> str:
        lack = self.lack.why if self.lack is not None and not self.is_significant else ""
        if self.p_value is None:
            return lack
        below = "below" if self.is_significant else "not below"
        test = f"p = {self.p_value:.2g}, {below} {self.alpha:.2g}"
        return f"{lack}; {test}" if lack else test


def measures_of(gates: Iterable[Gate]) -> frozenset[Measure]:
    """Return the measures to read for these gates, which always include the requests."""
    return frozenset({gate.measure for gate in gates} | {Measure.REQUESTS})


def alpha_of(confidence: float, gates: int, look: int) -> float:
    """Return the p-value below which one of `gates` deciding gates fails at a look.

    There are two kinds of look: during holds, and at their ends. `look` is the number of this one
    among those of its kind in the whole rollout at which the gate was tested, from 1. Each kind may
    use half of 1 - confidence, the probability of a failure by chance, in any number of looks.
    """
    return (1 - confidence) / max(gates, 1) / 2 / (look * (look + 1))


def judge(
    gate: Gate,
    readings: Readings,
    *,
    new: str,
    stable: str,
    alpha: float,
    at: datetime,
    step: int,
) -> Measurement:
    """Judge a gate by a window of readings. It fails with a p-value below `alpha`.

    Relative limits compare the same minutes of both deployments; where none has requests to both,
    all minutes of each: the stable one's may be from before it lost its traffic.
    """
    ours = evidence_of(readings, new, gate.measure)
    theirs = evidence_of(readings, stable, gate.measure)
    both = aligned(ours, theirs) if gate.is_relative else (ours, theirs)
    limits = _limits(gate, ours, both)
    finding = _find(gate, limits, (ours, theirs), both, alpha)
    if finding.is_significant:
        outcome = GateOutcome.FAIL
    else:
        outcome = finding.lack.outcome if finding.lack else GateOutcome.PASS
    return _measurement(
        readings,
        both,
        shown=both if gate.is_relative else both[:1],
        limit=_limit_words(gate, limits),
        finding=finding,
        outcome=outcome,
        at=at,
        step=step,
        observe=gate.observe,
    )


def choose_better(
    measure: Measure,
    readings: Readings,
    *,
    new: str,
    stable: str,
    alpha: float,
    at: datetime,
    step: int,
    min_requests: int,
) -> Measurement:
    """Return PASS if the new deployment's value is proved lower, which is better; else FAIL.

    NO_DATA or TOO_FEW where there is not enough to decide. No deployment is better by requests.
    """
    ours = evidence_of(readings, new, measure)
    theirs = evidence_of(readings, stable, measure)
    both = aligned(ours, theirs)
    lack = (
        find_lack(ours, requests_min=min_requests, minutes_min=MINUTES_MIN)
        or find_lack(theirs, requests_min=min_requests, minutes_min=MINUTES_MIN)
        or find_lack_of_pairs(*both)
        or find_odd(ours)
        or find_odd(theirs)
    )
    p_value = None
    if lack is None and measure is Measure.ERROR_RATE:
        p_value = _rate_test(theirs, ours, 0.0, alpha)
    elif lack is None and measure is not Measure.REQUESTS:
        p_value = _ratio_test(both[1], both[0], 1.0)
    finding = _Finding(alpha=alpha, p_value=p_value, lack=lack)
    proven = GateOutcome.PASS if finding.is_significant else GateOutcome.FAIL
    return _measurement(
        readings,
        both,
        shown=both,
        limit="less than the stable one's",
        finding=finding,
        outcome=lack.outcome if lack else proven,
        at=at,
        step=step,
    )


def can_measure(gate: Gate, readings: Readings, *, stable: str, at: datetime) -> Measurement:
    """Return whether the gate can measure the stable deployment: PASS, NO_DATA or TOO_FEW."""
    theirs = evidence_of(readings, stable, gate.measure)
    lack = find_lack(theirs, requests_min=gate.min_requests, minutes_min=1) or find_odd(theirs)
    found = _measurement(
        readings,
        (theirs, theirs),
        shown=(theirs,),
        limit="",
        finding=_Finding(alpha=0.0, lack=lack),
        outcome=lack.outcome if lack else GateOutcome.PASS,
        at=at,
        step=-1,
        observe=gate.observe,
    )
    return replace(found, new=None, detail=f"{stable}: {found.detail}")


def unavailable(gate: Gate, *, new: str, at: datetime, step: int, reason: str) -> Measurement:
    """Return the measurement of a gate whose metrics could not be read."""
    return Measurement(
        at=at,
        step=step,
        measure=gate.measure,
        outcome=GateOutcome.UNAVAILABLE,
        detail=f"{_NAMES[gate.measure]} of {new} could not be read: {reason}",
        observe=gate.observe,
    )


def _find(
    gate: Gate, limits: Sequence[_Limit], whole: _Both, both: _Both, alpha: float
) -> _Finding:
    """Test the limits that there are data for, and find what is missing for a pass."""
    ours, theirs = whole
    if lack := find_lack(ours, requests_min=gate.min_requests, minutes_min=MINUTES_MIN):
        if gate.measure is Measure.REQUESTS and lack.outcome is GateOutcome.TOO_FEW:
            lack = replace(lack, why="")  # the number and the limit stand before it
        return _Finding(alpha=alpha, lack=lack)
    tested, lack = limits, find_odd(ours)
    if gate.is_relative:
        beside = find_lack(theirs, requests_min=0, minutes_min=0) or find_lack_of_pairs(*both)
        if beside:
            tested = [limit for limit in limits if not limit.is_relative]
        lack = lack or beside or find_odd(theirs)
    if not tested:
        return _Finding(alpha=alpha, lack=lack)
    share = alpha / len(limits)
    least = min(limit.test(share) for limit in tested)
    if least < _DOUBT and lack is None:
        lack = Lack(outcome=GateOutcome.TOO_FEW, why="beyond the limit, and too few to prove it")
    return _Finding(alpha=alpha, p_value=min(1.0, len(limits) * least), lack=lack)


def _measurement(
    readings: Readings,
    both: _Both,
    *,
    shown: Sequence[Evidence],
    limit: str,
    finding: _Finding,
    outcome: GateOutcome,
    at: datetime,
    step: int,
    observe: bool = False,
) -> Measurement:
    ours, theirs = both
    parts = (_shown(*shown), limit, finding.words, _odd(shown))
    return Measurement(
        at=at,
        step=step,
        measure=ours.measure,
        outcome=outcome,
        detail="; ".join(part for part in parts if part),
        limit=limit,
        start=readings.start,
        end=readings.end,
        new=ours.value,
        stable=theirs.value,
        requests=ours.requests,
        stable_requests=theirs.requests,
        p_value=finding.p_value,
        alpha=None if finding.p_value is None else finding.alpha,
        observe=observe,
        queries=readings.queries,
    )


def _limits(gate: Gate, ours: Evidence, both: _Both) -> list[_Limit]:
    """Return the gate's limits, the absolute one first; of requests none is tested."""
    found: list[_Limit] = []
    if gate.measure is Measure.REQUESTS:
        return found
    if (most := gate.max) is not None:
        words = f"at most {_amount(gate.measure, most)}"
        test = _most_test(ours, most)
        found.append(_Limit(words=words, is_relative=False, test=test))
    if (more := gate.max_increase) is not None:
        words = f"at most {_difference(gate.measure, more)} more than the stable one's"
        found.append(_Limit(words=words, is_relative=True, test=_increase_test(both, more)))
    if (ratio := gate.max_ratio) is not None:
        words = f"at most {ratio:g} times the stable one's"
        found.append(
            _Limit(words=words, is_relative=True, test=lambda _: _ratio_test(*both, ratio))
        )
    return found


def _most_test(ours: Evidence, most: float) -> Callable[[float], float]:
    if ours.measure is Measure.ERROR_RATE:
        return lambda _: binomial_tail(ours.errors, ours.requests, most)
    return lambda _: mean_above(_mean(ours, ours.scale), ours.scale(most))


def _increase_test(both: _Both, more: float) -> Callable[[float], float]:
    if both[0].measure is Measure.ERROR_RATE:
        return lambda alpha: _rate_test(*both, more, alpha)
    return lambda _: mean_above(_excess(*both, plain), more)


def _rate_test(one: Evidence, other: Evidence, margin: float, alpha: float) -> float:
    return rate_increased(
        one.errors, one.requests, other.errors, other.requests, margin=margin, alpha=alpha
    )


def _ratio_test(one: Evidence, other: Evidence, ratio: float) -> float:
    return mean_above(_excess(one, other, in_logs), math.log(ratio))


def _excess(one: Evidence, other: Evidence, scale: ScaleOfValues) -> Mean:
    """Estimate by how much one's values are above the other's, minute by minute if they can be."""
    if one.values.keys() != other.values.keys():
        return difference(_mean(one, scale), _mean(other, scale))
    pairs = zip(one.values.values(), other.values.values(), strict=True)
    rest = [scale(ours) - scale(theirs) for ours, theirs in pairs]
    return mean_of(rest, floor=_DEVIATION_MIN[scale])


def _mean(evidence: Evidence, scale: ScaleOfValues) -> Mean:
    return mean_of([*map(scale, evidence.values.values())], floor=_DEVIATION_MIN[scale])


def _odd(shown: Sequence[Evidence]) -> str:
    odd = sum(evidence.odd for evidence in shown)
    if not odd:
        return ""
    return f"{shown[0].spans(odd)} made no sense and {'was' if odd == 1 else 'were'} left out"


def _limit_words(gate: Gate, limits: Iterable[_Limit]) -> str:
    if gate.measure is Measure.REQUESTS:
        return f"at least {gate.min_requests:,}"
    return ", ".join(limit.words for limit in limits)


def _shown(ours: Evidence, theirs: Evidence | None = None) -> str:
    """Write a measurement: "error rate 6.1% (37 of 610) against 0.5% (27 of 5,400) of blue"."""
    name = _NAMES[ours.measure]
    if theirs is None:
        return f"{name} {_value(ours)}"
    against = f"{name} {_value(ours)} against {_value(theirs)} of {theirs.name}"
    if ours.measure in COUNTED or not ours.value or not theirs.value:
        return against
    return f"{against}, {ours.value / theirs.value:.2f} times"


def _value(evidence: Evidence) -> str:
    value, measure = evidence.value, evidence.measure
    if value is None:
        return "unknown"
    shown = _amount(measure, value)
    if measure is Measure.REQUESTS:
        return shown
    if measure is Measure.ERROR_RATE:
        return f"{shown} ({evidence.errors:,} of {evidence.requests:,})"
    return f"{shown} ({evidence.spans(len(evidence.values))})"


def _amount(measure: Measure, value: float) -> str:
    if measure is Measure.ERROR_RATE:
        return f"{_number(100 * value)}%"
    if measure is Measure.REQUESTS:
        return f"{value:,.0f}"
    return f"{_number(value)} ms" if measure.is_latency else f"{_number(value)}%"


def _difference(measure: Measure, value: float) -> str:
    if measure.is_latency:
        return f"{_number(value)} ms"
    points = 100 * value if measure is Measure.ERROR_RATE else value
    return f"{_number(points)} point{'s' * (points != 1)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
