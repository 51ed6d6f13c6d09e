"""Gates: what readings let pass, what they fail, and what they are too few for."""

import math
import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.rollouts.gates.evidence import MINUTES_MIN, REQUESTS_MIN, evidence_of
from shared.rollouts.gates.judge import (
    alpha_of,
    can_measure,
    choose_better,
    judge,
    measures_of,
    unavailable,
)
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.strategy.model import Gate
from shared.workspaces.metrics import Measure, Minute, Readings
from tests.searching import examples

START = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NOW = START + timedelta(hours=1)
RATE = Gate(measure=Measure.ERROR_RATE, max_increase=0.005)
P95 = Gate(measure=Measure.LATENCY_P95, max_ratio=1.2)
CPU = Gate(measure=Measure.CPU, max=80.0)


def minutes(*, requests: Iterable[int], errors: Iterable[int] = (), **values: Any) -> list[Minute]:
    """Return minutes with these counts, and with these values by the name of their measure."""
    counts = list(requests)
    failed = list(errors) or [0] * len(counts)
    return [
        Minute(
            at=START + number * MINUTE,
            requests=count,
            errors=failed[number],
            values={Measure(name): each[number] for name, each in values.items()},
        )
        for number, count in enumerate(counts)
    ]


def readings(
    green: Iterable[Minute] = (), blue: Iterable[Minute] = (), grain: timedelta = MINUTE
) -> Readings:
    """Return readings of an hour of both deployments."""
    found = {"green": tuple(green), "blue": tuple(blue)}
    return Readings(start=START, end=NOW, grain=grain, minutes=found, queries=("metricnames=x",))


def judged(gate: Gate, given: Readings, alpha: float = 1e-3) -> Measurement:
    """Judge `green` beside `blue`."""
    return judge(gate, given, new="green", stable="blue", alpha=alpha, at=NOW, step=2)


def counts(errors: int, requests: int, stable_errors: int = 0, stable: int = 0) -> Readings:
    """Return readings with these counts, in ten minutes of each deployment."""

    def spread(total: int) -> list[int]:
        return [total // 10 + (number < total % 10) for number in range(10)]

    green = minutes(requests=spread(requests), errors=spread(errors))
    return readings(green, minutes(requests=spread(stable), errors=spread(stable_errors)))


def latencies(
    ratio: float, *, number: int = 10, requests: int = 100, load: float = 1.0
) -> Readings:
    """Return p95 latencies with a noise of a few percent, under a load that both have."""
    noise = random.Random(7)
    base = [300 * math.exp(0.3 * math.sin(n)) * load for n in range(number)]
    green = [value * ratio * math.exp(noise.gauss(0, 0.04)) for value in base]
    return readings(
        minutes(requests=[requests] * number, latency_p95=green),
        minutes(requests=[requests] * number, latency_p95=base),
    )


# Error rates


@pytest.mark.parametrize(
    ("gate", "given", "outcome"),
    [
        (RATE, counts(3, 10, 0, 90), "too_few"),
        (RATE, counts(10, 10, 0, 90), "too_few"),
        (RATE, counts(100, 20_000, 900, 180_000), "pass"),
        (RATE, counts(0, 20_000, 0, 180_000), "pass"),
        (RATE, counts(37, 610, 27, 5400), "fail"),
        (RATE, counts(100, 100, 0, 900), "fail"),
        (RATE, counts(6, 600, 27, 5400), "pass"),
        (RATE, counts(2, 100, 0, 0), "no_data"),
        (RATE, counts(0, 0, 27, 5400), "no_data"),
        (RATE, counts(3, 100, 0, 1), "too_few"),  # of which nothing is known
        (Gate(measure=Measure.ERROR_RATE, max=0.02), counts(4, 200), "pass"),
        # Beyond the limit, though that may be chance: no proof, and no pass.
        (Gate(measure=Measure.ERROR_RATE, max=0.02), counts(10, 200), "too_few"),
        (Gate(measure=Measure.ERROR_RATE, max=0.02), counts(15, 200), "fail"),
        (Gate(measure=Measure.ERROR_RATE, max=0.0), counts(1, 200), "fail"),
        (Gate(measure=Measure.ERROR_RATE, max=1.0), counts(200, 200), "pass"),
        # The absolute limit is judged without the stable one, and either can fail the gate.
        (Gate(measure=Measure.ERROR_RATE, max=0.02, max_increase=0.01), counts(30, 200), "fail"),
        (Gate(measure=Measure.ERROR_RATE, max=0.02, max_increase=0.01), counts(1, 200), "no_data"),
        (
            Gate(measure=Measure.ERROR_RATE, max=0.5, max_increase=0.01),
            counts(37, 610, 27, 5400),
            "fail",
        ),
    ],
)
def test_error_rates_are_judged_by_their_counts(gate: Gate, given: Readings, outcome: str) -> None:
    assert judged(gate, given).outcome == outcome


def test_five_points_more_errors_fail_within_minutes_at_ten_requests_a_second() -> None:
    random_ = random.Random(1)

    def minute(requests: int, rate: float) -> tuple[int, int]:
        return requests, random_.binomialvariate(requests, rate)

    green, blue = [minute(60, 0.055) for _ in range(6)], [minute(540, 0.005) for _ in range(6)]
    looks = (
        judged(
            RATE,
            readings(
                minutes(requests=[n for n, _ in green[:look]], errors=[e for _, e in green[:look]]),
                minutes(requests=[n for n, _ in blue[:look]], errors=[e for _, e in blue[:look]]),
            ),
            alpha_of(0.99, 3, look),
        ).outcome
        for look in range(1, 7)
    )
    assert GateOutcome.FAIL in looks


def test_each_limit_has_its_share_of_what_chance_may_do() -> None:
    slower = latencies(1.25)
    alone = judged(P95, slower).p_value
    beside = Gate(measure=Measure.LATENCY_P95, max=1e6, max_ratio=1.2)
    assert alone is not None
    assert judged(beside, slower).p_value == pytest.approx(2 * alone)
    assert judged(P95, slower, 1.5 * alone).outcome is GateOutcome.FAIL
    assert judged(beside, slower, 1.5 * alone).outcome is GateOutcome.TOO_FEW


# Latencies, CPU and memory


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (latencies(1.0), "pass"),
        (latencies(1.15), "pass"),
        (latencies(1.5), "fail"),
        (latencies(1.5, number=MINUTES_MIN - 1), "too_few"),
        (latencies(3.0, number=MINUTES_MIN), "fail"),
        (latencies(3.0, requests=REQUESTS_MIN[Measure.LATENCY_P95] - 1), "too_few"),
        (latencies(1.0, load=100.0), "pass"),
    ],
)
def test_latencies_are_judged_by_the_minutes_that_both_have(given: Readings, outcome: str) -> None:
    assert judged(P95, given).outcome == outcome


def test_a_load_that_hits_both_hides_nothing_and_fails_nothing() -> None:
    # From minute to minute the load moves the values far more than the version does.
    load = [100.0 * 3 ** (n % 5) for n in range(15)]
    few = minutes(requests=[100] * 15, latency=[value * 1.3 for value in load])
    worse = readings(few, minutes(requests=[900] * 15, latency=load))
    same = readings(
        minutes(requests=[100] * 15, latency=load), minutes(requests=[900] * 15, latency=load)
    )
    gate = Gate(measure=Measure.LATENCY, max_ratio=1.2)
    assert judged(gate, worse).outcome is GateOutcome.FAIL
    assert judged(gate, same).outcome is GateOutcome.PASS


def test_what_the_stable_one_did_before_it_lost_its_traffic_is_compared_too() -> None:
    both = latencies(3.0, number=20)
    green = [minute for minute in both.minutes["green"] if minute.at >= START + 10 * MINUTE]
    blue = [minute for minute in both.minutes["blue"] if minute.at < START + 10 * MINUTE]
    found = judged(P95, readings(green, blue))
    assert found.outcome is GateOutcome.FAIL
    assert judged(P95, readings(green, blue[:2])).outcome is GateOutcome.TOO_FEW
    idle = [Minute(at=minute.at) for minute in green]
    assert judged(P95, readings(green, blue + idle)).p_value == found.p_value


@pytest.mark.parametrize(
    ("values", "gate", "outcome"),
    [
        ([70.0, 74, 78, 71, 76], CPU, "pass"),
        ([91.0, 94, 93, 95, 92], CPU, "fail"),
        ([80.1] * 10, CPU, "pass"),  # what is above the limit by rounding
        ([0.0] * 5, CPU, "pass"),
        ([50.0, 52, 51, 55, 53], Gate(measure=Measure.CPU, max_increase=10.0), "fail"),
        ([40.0, 42, 41, 45, 43], Gate(measure=Measure.CPU, max_increase=10.0), "pass"),
    ],
)
def test_the_use_of_processors_is_judged_as_it_is(
    values: list[float], gate: Gate, outcome: str
) -> None:
    blue = minutes(requests=[100] * len(values), cpu=[30.0, 32, 31, 33, 32] * (len(values) // 5))
    green = minutes(requests=[100] * len(values), cpu=values)
    assert judged(gate, readings(green, blue)).outcome == outcome


def test_an_absolute_limit_on_latency_needs_no_other_deployment() -> None:
    gate = Gate(measure=Measure.LATENCY_P95, max=800.0)
    slow = minutes(requests=[60] * 6, latency_p95=[1100.0, 1200, 1000, 1300, 1150, 1250])
    fast = minutes(requests=[60] * 6, latency_p95=[700.0, 820, 790, 750, 810, 780])
    assert judged(gate, readings(slow)).outcome is GateOutcome.FAIL
    assert judged(gate, readings(fast)).outcome is GateOutcome.PASS


def test_requests_have_to_be_enough() -> None:
    gate = Gate(measure=Measure.REQUESTS, min_requests=50)
    assert judged(gate, counts(0, 50)).outcome is GateOutcome.PASS
    assert judged(gate, counts(0, 49)).outcome is GateOutcome.TOO_FEW
    assert judged(gate, readings()).outcome is GateOutcome.NO_DATA
    assert judged(gate, counts(0, 50)).p_value is None


# Texts for people


@pytest.mark.parametrize(
    ("gate", "given", "detail"),
    [
        (
            Gate(measure=Measure.ERROR_RATE, max_increase=0.01),
            counts(37, 610, 27, 5400),
            "error rate 6.07% (37 of 610) against 0.5% (27 of 5,400) of blue; at most 1 point more "
            "than the stable one's; p = 0.0001, below 0.001",
        ),
        (
            RATE,
            counts(3, 10, 0, 90),
            "error rate 30% (3 of 10) against 0% (0 of 90) of blue; at most 0.5 points more than "
            "the stable one's; 10 requests to green, a verdict takes 100",
        ),
        (
            P95,
            readings(
                minutes(requests=[60] * 5, latency_p95=[1320.0] * 5),
                minutes(requests=[600] * 5, latency_p95=[1200.0] * 5),
            ),
            "p95 latency 1,320 ms (5 minutes) against 1,200 ms (5 minutes) of blue, 1.10 times; at "
            "most 1.2 times the stable one's; p = 1, not below 0.001",
        ),
        (
            P95,
            readings(
                minutes(requests=[60, 60, 9], latency_p95=[20.0] * 3),
                minutes(requests=[600, 9, 600], latency_p95=[20.0] * 3),
            ),
            "p95 latency 20 ms (1 minute) against 20 ms (1 minute) of blue, 1.00 times; at most "
            "1.2 times the stable one's; 2 minutes of green with 50 requests or more, a verdict "
            "takes 3",
        ),
        (
            CPU,
            readings(minutes(requests=[100] * 3, cpu=[71.0] * 3)),
            "CPU 71% (3 minutes); at most 80%; p = 1, not below 0.001",
        ),
        (
            CPU,
            readings(minutes(requests=[100] * 3), grain=timedelta(seconds=1)),
            "CPU unknown; at most 80%; the service has no values of green",
        ),
        (
            Gate(measure=Measure.REQUESTS, min_requests=1000),
            counts(0, 70),
            "requests 70; at least 1,000",
        ),
        (RATE, readings(), None),
    ],
)
def test_the_detail_says_what_was_measured_and_why_it_decides(
    gate: Gate, given: Readings, detail: str | None
) -> None:
    found = judged(gate, given)
    if detail is None:
        assert "the service has no data of green" in found.detail
    else:
        assert found.detail.replace("p = 0.00014", "p = 0.0001") == detail


def test_a_measurement_keeps_the_figures_and_the_queries() -> None:
    found = judged(RATE, counts(37, 610, 27, 5400))
    assert (found.at, found.step, found.measure) == (NOW, 2, Measure.ERROR_RATE)
    assert (found.start, found.end, found.queries) == (START, NOW, ("metricnames=x",))
    assert (found.requests, found.stable_requests) == (610, 5400)
    assert found.new == pytest.approx(37 / 610)
    assert found.stable == pytest.approx(27 / 5400)
    assert found.alpha == 1e-3
    assert found.limit == "at most 0.5 points more than the stable one's"
    assert not found.observe
    observed = Gate(measure=Measure.ERROR_RATE, max=0.01, observe=True)
    assert judged(observed, counts(37, 610)).observe


def test_what_could_not_be_read_says_why() -> None:
    found = unavailable(P95, new="green", at=NOW, step=1, reason="throttled")
    assert found.outcome is GateOutcome.UNAVAILABLE
    assert found.detail == "p95 latency of green could not be read: throttled"


# The proof before a rollout, and the choice


@pytest.mark.parametrize(
    ("gate", "blue", "outcome"),
    [
        (RATE, minutes(requests=[60] * 3), "pass"),
        (RATE, minutes(requests=[20] * 3), "too_few"),
        (RATE, minutes(requests=[0] * 3), "no_data"),
        (RATE, [], "no_data"),
        (P95, minutes(requests=[60] * 3, latency_p95=[300.0] * 3), "pass"),
        (P95, minutes(requests=[60] * 3, latency_p90=[300.0] * 3), "no_data"),
        (P95, minutes(requests=[49] * 3, latency_p95=[300.0] * 3), "too_few"),
        (CPU, minutes(requests=[60] * 3, cpu=[0.0] * 3), "pass"),
        (Gate(measure=Measure.REQUESTS, min_requests=10), minutes(requests=[5, 5]), "pass"),
    ],
)
def test_a_gate_proves_itself_on_the_stable_deployment(
    gate: Gate, blue: list[Minute], outcome: str
) -> None:
    found = can_measure(gate, readings(blue=blue), stable="blue", at=NOW)
    assert (found.outcome, found.step, found.new) == (outcome, -1, None)
    assert found.requests == sum(minute.requests for minute in blue)


def test_the_proof_says_what_it_found() -> None:
    blue = minutes(requests=[49] * 3, latency_p95=[300.0] * 3)
    assert can_measure(P95, readings(blue=blue), stable="blue", at=NOW).detail == (
        "blue: p95 latency unknown; 0 minutes of blue with 50 requests or more, a verdict takes 1"
    )


def chosen(measure: Measure, given: Readings) -> GateOutcome:
    """Choose between `green` and `blue`."""
    found = choose_better(
        measure,
        given,
        new="green",
        stable="blue",
        alpha=0.01,
        at=NOW,
        step=0,
        min_requests=100,
    )
    return found.outcome


@pytest.mark.parametrize(
    ("measure", "given", "outcome"),
    [
        (Measure.ERROR_RATE, counts(20, 5000, 80, 5000), "pass"),
        (Measure.ERROR_RATE, counts(78, 5000, 80, 5000), "fail"),
        (Measure.ERROR_RATE, counts(80, 5000, 20, 5000), "fail"),
        (Measure.ERROR_RATE, counts(0, 5000, 0, 50), "too_few"),
        (Measure.ERROR_RATE, counts(0, 0, 80, 5000), "no_data"),
        (Measure.LATENCY_P95, latencies(0.8, number=30), "pass"),
        (Measure.LATENCY_P95, latencies(1.0, number=30), "fail"),
        (Measure.LATENCY_P95, latencies(1.2, number=30), "fail"),
        (Measure.LATENCY_P95, latencies(0.8, number=2), "too_few"),
        (Measure.REQUESTS, counts(0, 5000, 0, 9000), "fail"),
    ],
)
def test_the_new_one_has_to_be_better_for_certain(
    measure: Measure, given: Readings, outcome: str
) -> None:
    assert chosen(measure, given) == outcome


# How much chance may do


@pytest.mark.parametrize(("confidence", "gates"), [(0.99, 1), (0.99, 3), (0.8, 7)])
def test_all_looks_together_spend_no_more_than_the_confidence_leaves(
    confidence: float, gates: int
) -> None:
    looks = sum(alpha_of(confidence, gates, look) for look in range(1, 100_000))
    both_kinds = 2 * gates * looks
    assert both_kinds <= 1 - confidence
    assert both_kinds == pytest.approx(1 - confidence, rel=1e-4)


def test_one_observed_gate_alone_still_has_a_level() -> None:
    assert alpha_of(0.99, 0, 1) == alpha_of(0.99, 1, 1) == pytest.approx(0.0025)


def test_a_version_that_just_keeps_its_limit_seldom_fails_at_any_look() -> None:
    random_ = random.Random(5)
    gate = Gate(measure=Measure.ERROR_RATE, max_increase=0.01, min_requests=0)
    failed = 0
    for _ in range(300):
        green: list[Minute] = []
        blue: list[Minute] = []
        for look in range(1, 16):
            at = START + look * MINUTE
            few, many = (random_.binomialvariate(n, p) for n, p in ((60, 0.02), (540, 0.01)))
            green.append(Minute(at=at, requests=60, errors=few))
            blue.append(Minute(at=at, requests=540, errors=many))
            alpha = alpha_of(0.9, 1, look)
            if judged(gate, readings(green, blue), alpha).outcome is GateOutcome.FAIL:
                failed += 1
                break
    assert failed <= 30


def test_requests_are_read_whatever_is_gated() -> None:
    assert measures_of([RATE, CPU]) == {Measure.ERROR_RATE, Measure.CPU, Measure.REQUESTS}


# Readings that make no sense


@pytest.mark.parametrize(
    "odd",
    [
        Minute(at=START, requests=10, errors=11),
        Minute(at=START, requests=-5),
        Minute(at=START, requests=10, errors=-1),
        Minute(at=START, requests=10**12),
        Minute(at=START, requests=60, values={Measure.LATENCY_P95: math.nan}),
        Minute(at=START, requests=60, values={Measure.LATENCY_P95: math.inf}),
        Minute(at=START, requests=60, values={Measure.LATENCY_P95: 0.0}),
        Minute(at=START, requests=60, values={Measure.LATENCY_P95: -3.0}),
        Minute(at=START.replace(tzinfo=None), requests=60),
    ],
)
def test_a_minute_that_makes_no_sense_is_left_out_and_many_let_nothing_pass(odd: Minute) -> None:
    sane = latencies(1.0, number=20)
    green = [*sane.minutes["green"][1:], odd]
    found = judged(P95, readings(green, sane.minutes["blue"]))
    assert found.outcome is GateOutcome.PASS
    assert "1 minute made no sense and was left out" in found.detail
    for many in (
        readings([*green[:4], odd], sane.minutes["blue"]),
        readings(sane.minutes["green"], [*sane.minutes["blue"][1:5], odd]),
    ):
        few = judged(P95, many)
        assert few.outcome is GateOutcome.TOO_FEW
        assert "too many to pass" in few.detail


def test_sane_minutes_fail_a_gate_whatever_else_there_is() -> None:
    bad = [Minute(at=START, requests=1, errors=2), *counts(100, 200).minutes["green"][1:]]
    gate = Gate(measure=Measure.ERROR_RATE, max=0.02)
    assert judged(gate, readings(bad)).outcome is GateOutcome.FAIL


def test_minutes_may_be_doubled_unordered_or_outside_of_the_window() -> None:
    sane = latencies(1.5)
    green, blue = sane.minutes["green"], sane.minutes["blue"]
    late = Minute(at=NOW, requests=900, values={Measure.LATENCY_P95: 1.0})
    thin = [Minute(at=minute.at, requests=1) for minute in green]
    messy = readings([late, *thin, *reversed(green), *green], [*reversed(blue), late])
    assert judged(P95, messy) == judged(P95, sane)


def test_an_idle_minute_s_latency_may_be_anything() -> None:
    sane = latencies(1.0)
    idle = [
        Minute(at=START + 30 * MINUTE + n * MINUTE, values={Measure.LATENCY_P95: math.nan})
        for n in range(9)
    ]
    given = readings([*sane.minutes["green"], *idle], sane.minutes["blue"])
    assert judged(P95, given).outcome is GateOutcome.PASS


numbers = st.integers(-10, 10**9) | st.integers(0, 200)
floats = st.floats() | st.floats(0, 1000)
any_minutes = st.lists(
    st.builds(
        Minute,
        at=st.integers(-5, 70).map(lambda n: START + n * MINUTE),
        requests=numbers,
        errors=numbers,
        values=st.dictionaries(st.sampled_from(list(Measure)), floats, max_size=3),
    ),
    max_size=12,
)
limits = st.none() | st.floats(0, 1)


@settings(deadline=None, max_examples=examples(200))
@given(
    st.sampled_from([measure for measure in Measure if measure is not Measure.ERROR_RATE]),
    any_minutes,
    any_minutes,
    st.floats(1e-6, 0.5),
)
def test_no_readings_raise_and_none_pass_without_evidence(
    measure: Measure, green: list[Minute], blue: list[Minute], alpha: float
) -> None:
    given = readings(green, blue)
    by_measure: Mapping[Measure, Gate] = {
        Measure.REQUESTS: Gate(measure=Measure.REQUESTS, min_requests=50)
    }
    gate = by_measure.get(measure, Gate(measure=measure, max=50.0, max_increase=1, max_ratio=1.2))
    found = judged(gate, given, alpha)
    assert found.p_value is None or 0 <= found.p_value <= 1
    if found.outcome is GateOutcome.PASS:
        assert found.requests >= gate.min_requests
        evidence = evidence_of(given, "green", measure)
        assert measure is Measure.REQUESTS or len(evidence.values) >= MINUTES_MIN
    can_measure(gate, given, stable="blue", at=NOW)
    chosen(measure, given)


@settings(deadline=None, max_examples=examples(200))
@given(any_minutes, any_minutes, limits, st.floats(0, 1), st.floats(1e-6, 0.5))
def test_no_counts_raise_and_none_pass_without_evidence(
    green: list[Minute], blue: list[Minute], most: float | None, more: float, alpha: float
) -> None:
    given = readings(green, blue)
    found = judged(Gate(measure=Measure.ERROR_RATE, max=most, max_increase=more), given, alpha)
    if found.outcome is GateOutcome.PASS:
        assert found.requests >= 100
        assert found.stable_requests > 0
    chosen(Measure.ERROR_RATE, given)
