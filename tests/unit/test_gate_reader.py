"""Reads for a look at the gates: whose metrics, of which time, and the meaning of a failure."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.base.errors import (
    SignalboxError,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.events.model import Workspace
from shared.rollouts.gates.reader import GateReader
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.strategy.model import Gate
from shared.workspaces.metrics import Measure, Minute, Readings
from tests.unit.rollouts import BETTER, HOLD, MINUTE, NEW, NOW, OLD, change, make_rollout, traffic

CPU = Gate(measure=Measure.CPU, max=80.0, observe=True)
ERRORS = Gate(measure=Measure.ERROR_RATE, max_increase=0.01)
SLOW = Gate(measure=Measure.LATENCY_P95, max_ratio=1.2)

SECOND = timedelta(seconds=1)


@dataclass
class Source:
    """Metrics of deployments that all get 100 requests a minute; remembers what was asked."""

    grain: timedelta = MINUTE
    values: dict[Measure, float] = field(default_factory=dict)
    fails: dict[int, SignalboxError] = field(default_factory=dict)
    asked: list[tuple[tuple[str, ...], datetime, datetime]] = field(default_factory=list)
    measures: set[Measure] = field(default_factory=set)

    def read(
        self,
        workspace: Workspace,
        endpoint: str,
        deployments: Collection[str],
        measures: Collection[Measure],
        *,
        start: datetime,
        end: datetime,
    ) -> Readings:
        """Answer, or fail at the request of a number, from 1."""
        self.asked.append((tuple(deployments), start, end))
        self.measures |= set(measures)
        if error := self.fails.get(len(self.asked)):
            raise error
        times = [start + self.grain * number for number in range((end - start) // self.grain)]
        minutes = tuple(Minute(at=at, requests=100, values=self.values) for at in times)
        query = f"{endpoint}: {', '.join(deployments)}"
        return Readings(
            start=start,
            end=end,
            grain=self.grain,
            minutes=dict.fromkeys(deployments, minutes),
            queries=(query,),
        )


def holding(gates: tuple[Gate, ...] = (ERRORS,), **changes: Any) -> Rollout:
    """Return a rollout that has held a split of 10% for ten minutes and some seconds."""
    since = NOW - 10 * MINUTE
    usual = {
        "step": 1,
        "since": since,
        "split_at": since,
        "stable": OLD,
        "split": {OLD: 90, NEW: 10},
    }
    made = make_rollout(Phase.HOLDING, traffic(10), HOLD, traffic(100), **usual | changes)
    strategy = replace(made.plan.strategy, gates=gates)
    return replace(made, plan=replace(made.plan, strategy=strategy))


def comparing(since: datetime) -> Rollout:
    """Return a rollout that compares both deployments on the split that they have had since."""
    made = make_rollout(Phase.CHOOSING, traffic(50), HOLD, BETTER, traffic(100), step=2)
    return change(made, split={OLD: 50, NEW: 50}, split_at=since)


def look(source: Source, rollout: Rollout, now: datetime = NOW) -> Rollout:
    """Return the rollout after a look."""
    return GateReader(metrics=source).look(rollout, rollout.stable, now)


# Whose, and of which time


def test_a_hold_is_judged_by_its_own_whole_minutes_of_both() -> None:
    source = Source()
    since, now = NOW - 10 * MINUTE + 20 * SECOND, NOW + 40 * SECOND
    after = look(source, holding((ERRORS, SLOW, CPU), since=since), now)
    assert source.asked == [((NEW, OLD), NOW - 9 * MINUTE, NOW)]
    assert source.measures == {
        Measure.ERROR_RATE,
        Measure.LATENCY_P95,
        Measure.CPU,
        Measure.REQUESTS,
    }
    assert [found.measure for found in after.gating.measured] == [
        gate.measure for gate in (ERRORS, SLOW, CPU)
    ]
    assert {(found.at, found.step) for found in after.gating.measured} == {(now, 1)}
    assert after.gating.looked_at == now


def test_what_was_before_the_hold_is_not_held_against_it() -> None:
    source = Source()
    look(source, holding(since=NOW - 5 * MINUTE, split_at=NOW - timedelta(hours=3)))
    assert source.asked == [((NEW, OLD), NOW - 5 * MINUTE, NOW)]


def test_a_long_hold_is_judged_by_its_last_hour_and_when_it_is_over_by_all_of_it() -> None:
    source = Source()
    rollout = holding(since=NOW - timedelta(days=1))
    for days in (2, 1):
        strategy = rollout.plan.strategy
        steps = tuple(replace(step, span=timedelta(days=days)) for step in strategy.steps)
        plan = replace(rollout.plan, strategy=replace(strategy, steps=steps))
        look(source, replace(rollout, plan=plan))
    assert source.asked == [
        ((NEW, OLD), NOW - 60 * MINUTE, NOW),
        ((NEW, OLD), NOW - timedelta(days=1), NOW),
    ]


def test_a_stable_one_without_traffic_is_measured_before_the_split() -> None:
    source = Source()
    split_at = NOW - 30 * MINUTE + 15 * SECOND
    after = look(source, holding(split={NEW: 100}, split_at=split_at))
    assert source.asked == [
        ((NEW,), NOW - 10 * MINUTE, NOW),
        ((OLD,), NOW - 40 * MINUTE, NOW - 30 * MINUTE),
    ]
    (found,) = after.gating.measured
    assert (found.requests, found.stable_requests) == (1000, 1000)
    assert len(found.queries) == 2


def test_where_nothing_served_only_the_new_one_is_measured() -> None:
    source = Source()
    look(source, holding((CPU,), stable="", split={NEW: 100}))
    assert source.asked == [((NEW,), NOW - 10 * MINUTE, NOW)]


@pytest.mark.parametrize("split", [{OLD: 90, NEW: 10}, {NEW: 100}], ids=["both", "the new one"])
def test_before_a_whole_minute_is_over_nothing_is_asked(split: dict[str, int]) -> None:
    source = Source()
    after = look(source, holding(since=NOW + 5 * SECOND, split=split), NOW + 50 * SECOND)
    assert source.asked == []
    assert [found.outcome for found in after.gating.measured] == [GateOutcome.NO_DATA]


def test_readings_of_a_second_are_whole_seconds() -> None:
    source = Source(grain=SECOND)
    since = NOW - 20.3 * SECOND
    look(source, holding(since=since), NOW + 0.4 * SECOND)
    assert source.asked == [((NEW, OLD), NOW - 20 * SECOND, NOW)]


@pytest.mark.parametrize("step", [-1, 1], ids=["for the first time", "when it is tried again"])
def test_a_proof_is_of_the_stable_one_alone(step: int) -> None:
    source = Source()
    after = look(source, replace(holding(), phase=Phase.CHECKING, step=step))
    assert source.asked == [((OLD,), NOW - 30 * MINUTE, NOW)]
    (found,) = after.gating.measured
    assert (found.outcome, found.step, found.new) == (GateOutcome.PASS, -1, None)


def test_a_comparison_is_of_all_the_time_on_the_split() -> None:
    source = Source(values={Measure.LATENCY_P95: 80.0})
    since = NOW - timedelta(days=2)
    after = look(source, comparing(since))
    assert source.asked == [((NEW, OLD), since, NOW)]
    (found,) = after.gating.measured
    assert (found.measure, found.outcome) == (Measure.LATENCY_P95, GateOutcome.FAIL)


# Metrics that can't be read


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (WorkspaceUnreachable("no answer"), False),
        (WorkspaceThrottled("too many requests"), False),
        (WorkspaceDenied("no right"), True),
        (WorkspaceRefused("no such metric"), True),
    ],
)
@pytest.mark.parametrize("phase", [Phase.CHECKING, Phase.HOLDING])
def test_metrics_that_cannot_be_read_are_a_result_of_each_gate(
    error: SignalboxError, lasting: bool, phase: Phase
) -> None:
    rollout = replace(holding((ERRORS, CPU)), phase=phase)
    after = look(Source(fails={1: error}), rollout)
    assert [found.outcome for found in after.gating.measured] == [GateOutcome.UNAVAILABLE] * 2
    assert [found.lasting for found in after.gating.measured] == [lasting] * 2
    assert [found.observe for found in after.gating.measured] == [False, True]
    assert all(error.message in found.detail for found in after.gating.measured)
    assert not any(after.gating.looks.values()), "nothing was tested"


def test_half_of_what_is_to_be_compared_is_nothing() -> None:
    source = Source(fails={2: WorkspaceUnreachable("no answer")})
    after = look(source, holding(split={NEW: 100}))
    assert [found.outcome for found in after.gating.measured] == [GateOutcome.UNAVAILABLE]


def test_a_comparison_that_cannot_be_read_is_one_too() -> None:
    source = Source(fails={1: WorkspaceUnreachable("no answer")})
    after = look(source, comparing(NOW - 20 * MINUTE))
    assert [found.outcome for found in after.gating.measured] == [GateOutcome.UNAVAILABLE]


def test_no_secret_of_the_service_s_answer_is_kept() -> None:
    error = WorkspaceUnreachable("GET https://x?sig=abc123secret failed; AccountKey=abc123secret==")
    after = look(Source(fails={1: error}), holding())
    assert "abc123secret" not in after.gating.measured[0].detail


# How often


def test_each_test_of_a_gate_takes_more_to_fail_than_the_one_before() -> None:
    rollout, alphas = holding((ERRORS, SLOW)), list[float]()
    for number in range(3):
        rollout = look(Source(), rollout, NOW + number * MINUTE)
        alphas.append(rollout.gating.measured[0].alpha or 0)
    assert 0 not in alphas
    assert alphas == sorted(alphas, reverse=True)
    assert len(set(alphas)) == 3
    # Without values of its own the other gate was never tested, and has lost nothing.
    after = look(Source(values={Measure.LATENCY_P95: 80.0}), rollout, NOW + 3 * MINUTE)
    assert after.gating.measured[1].alpha == alphas[0]


def test_the_last_look_of_a_hold_has_chances_of_its_own() -> None:
    rollout = holding()
    first = look(Source(), rollout)
    last = look(Source(), first, rollout.since + HOLD.span)
    assert last.gating.measured[0].alpha == first.gating.measured[0].alpha


def test_proofs_and_comparisons_take_no_chance_from_the_gates() -> None:
    proved = look(Source(), replace(holding(), phase=Phase.CHECKING, step=-1))
    assert proved.gating.looks == {}
    source = Source(values={Measure.LATENCY_P95: 80.0})
    assert look(source, comparing(NOW - 20 * MINUTE)).gating.looks == {}
