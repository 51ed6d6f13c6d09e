"""A gate stops a rollout in time, says when it can't measure, and is not misled."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from shared.base.errors import WorkspaceDenied, WorkspaceUnreachable
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.metrics import Measure
from shared.workspaces.model import State
from tests.stories.rolling import Rolling

MINUTE = timedelta(minutes=1)


def gated(gates: str, **more: str) -> Rolling:
    """Return a world in which version 1 serves, and a strategy of two splits has these gates."""
    lines = "".join(f"    {name}: {value}\n" for name, value in more.items())
    steps = "[probe: {}, traffic: 10%, hold: 10m, traffic: 100%, hold: 10m]"
    strategy = f"  gated:\n    steps: {steps}\n    gates: {gates}\n{lines}"
    return Rolling("gated", strategies=strategy).serve()


@pytest.mark.parametrize(
    ("gate", "bad", "told"),
    [
        (
            "error_rate: {max_increase: 1%}",
            MetricsBehaviour(error_rate=0.06),
            "at most 1 point more",
        ),
        ("error_rate: {max: 2%}", MetricsBehaviour(error_rate=0.07), "at most 2%"),
        ("latency_p95: {max_ratio: 1.2}", MetricsBehaviour(latency_ms=100), "at most 1.2 times"),
        ("latency_p50: {max: 80ms}", MetricsBehaviour(latency_ms=100), "at most 80 ms"),
        ("cpu: {max: 80%}", MetricsBehaviour(cpu=93), "CPU 93%"),
        ("memory: {max_increase: 20%}", MetricsBehaviour(memory=75), "at most 20 points more"),
    ],
    ids=["errors", "errors at all", "twice the latency", "latency at all", "CPU", "memory"],
)
def test_a_bad_version_is_caught_at_a_tenth_of_the_traffic(
    gate: str, bad: MetricsBehaviour, told: str
) -> None:
    world = gated(f"{{{gate}}}")
    world.metrics.behave("churn-v2-*", bad)
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    since = world.clock.now()
    world.go_to(Phase.ROLLING_BACK)
    # At once, not at the end of the hold: nine in ten callers have never met it.
    assert world.clock.now() - since < 10 * MINUTE
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
    assert world.splits() == ["v1 90%, v2 10%"]
    assert told in world.text("churn 2 failed on churn")
    assert world.told()[-1] == "churn 2 was rolled back on churn"
    assert told in world.result().detail
    (failed,) = (found for found in world.measured() if found.outcome is GateOutcome.FAIL)
    assert failed.p_value is not None
    assert failed.alpha is not None
    assert failed.p_value < failed.alpha


def test_a_few_errors_among_a_few_requests_decide_nothing() -> None:
    world = gated("{error_rate: {max: 2%}}", patience="30m")
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.metrics.rate = 20  # two requests a minute to the new one, of which a third fail
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.3))
    world.run(8 * MINUTE)
    (*_, last) = world.measured()
    assert (last.outcome, last.p_value) == (GateOutcome.TOO_FEW, None)
    assert 0 < last.requests < 20
    assert world.traffic() == {"1": 90, "2": 10}
    # Without a reason to roll back, or to go on, the rollout waits, and then asks.
    world.go_to(Phase.HELD)
    assert "a verdict takes 100" in world.text("churn 2 waits for a decision on churn")


def test_a_version_that_turns_bad_after_the_last_split_is_rolled_back_from_all_traffic() -> None:
    world = gated("{error_rate: {max_increase: 1%}}")
    world.roll_out("2")
    world.go_to(Phase.HOLDING, step=4)
    assert world.traffic() == {"2": 100}
    assert world.told() == ["churn 2: rollout started on churn"], "nobody is told that it is live"
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.2))
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
    assert "churn 2 is live on churn" not in world.told()
    # The old one had no requests meanwhile: it is measured before it lost them.
    (failed,) = (found for found in world.measured() if found.outcome is GateOutcome.FAIL)
    assert failed.stable_requests > 0
    assert failed.stable == 0


def test_a_gate_that_only_observes_changes_nothing_and_is_kept_and_told() -> None:
    world = gated("{error_rate: {max: 2%}, cpu: {max: 80%, observe: true}}")
    world.metrics.behave("churn-v2-*", MetricsBehaviour(cpu=95))
    world.roll_out("2")
    world.settle()
    assert world.live() == {"2": 100}
    assert world.result().status is OutcomeStatus.DONE
    observed = [found for found in world.measured() if found.measure is Measure.CPU]
    assert {found.observe for found in observed} == {True}
    assert GateOutcome.FAIL in {found.outcome for found in observed}
    assert "Would have failed, but is only observed: CPU 95%" in world.text(
        "churn 2 is live on churn"
    )


def _stop_requests(world: Rolling) -> None:
    world.metrics.rate = 0


def _send_a_few_requests(world: Rolling) -> None:
    world.metrics.rate = 20


def _stop_metrics(world: Rolling) -> None:
    world.metrics.unavailable = WorkspaceUnreachable("no answer")


@pytest.mark.parametrize(
    ("outcome", "lack"),
    [
        (GateOutcome.NO_DATA, _stop_requests),
        (GateOutcome.TOO_FEW, _send_a_few_requests),
        (GateOutcome.UNAVAILABLE, _stop_metrics),
    ],
    ids=["no-data", "too-few", "unavailable"],
)
@pytest.mark.parametrize(
    ("answer", "after", "phase"),
    [
        ("wait", 10 * MINUTE + 30 * MINUTE, Phase.HELD),
        ("hold", 10 * MINUTE, Phase.HELD),
        ("fail", 10 * MINUTE, Phase.KEEPING),
    ],
)
def test_not_to_know_is_neither_good_nor_bad(
    outcome: GateOutcome,
    lack: Callable[[Rolling], None],
    answer: str,
    after: timedelta,
    phase: Phase,
) -> None:
    world = gated(f"{{error_rate: {{max: 2%, {outcome}: {answer}}}}}", patience="30m")
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    lack(world)
    world.go_to(phase)
    assert after <= world.time_in(Phase.HOLDING) <= after + 2 * MINUTE
    assert world.traffic() == ({"1": 100} if phase is Phase.KEEPING else {"1": 90, "2": 10})
    assert "gate error_rate has no verdict: error rate" in world.rollout().reason
    assert world.measured()[-1].outcome is outcome
    if phase is Phase.HELD:
        assert world.told()[-1] == "churn 2 waits for a decision on churn"
        # In the morning there are requests again: the hold begins anew, and is passed.
        world.metrics.rate, world.metrics.unavailable = 600, None
        world.order(OrderKind.RESUME)
        world.settle()
        assert world.traffic() == {"2": 100}


def test_metrics_that_go_away_for_a_while_only_take_time() -> None:
    world = gated("{error_rate: {max: 2%}}")
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.metrics.unavailable = WorkspaceUnreachable("no answer from the service")
    world.run(40 * MINUTE)
    assert world.rollout().phase is Phase.HOLDING
    assert world.traffic() == {"1": 90, "2": 10}
    (*_, last) = world.measured()
    assert last.outcome is GateOutcome.UNAVAILABLE
    assert "no answer from the service" in last.detail
    world.metrics.unavailable = None
    world.settle()
    assert world.traffic() == {"2": 100}
    assert "churn 2 waits for a decision on churn" not in world.told()


@pytest.mark.parametrize("answer", ["wait", "hold", "fail"])
def test_without_the_right_to_read_metrics_nothing_is_begun(answer: str) -> None:
    world = gated(f"{{error_rate: {{max: 2%, unavailable: {answer}}}}}")
    world.metrics.unavailable = WorkspaceDenied("no right to read metrics: Monitoring Reader")
    world.roll_out("2")
    world.deliver()
    # In the first tick, not after an hour's patience: waiting gives nobody a right.
    assert world.rollout().phase is Phase.REFUSED
    assert "Monitoring Reader" in world.text("churn 2 failed on churn")
    assert world.result().code == "rollout.refused"
    assert world.left() == {"1": State.SUCCEEDED}
    assert world.live() == {"1": 100}


@pytest.mark.parametrize(
    ("answer", "phase"), [("wait", Phase.HELD), ("hold", Phase.HELD), ("fail", Phase.REFUSED)]
)
def test_a_gate_that_cannot_measure_what_serves_is_no_gate(answer: str, phase: Phase) -> None:
    world = gated(f"{{error_rate: {{max_increase: 1%, no_data: {answer}}}}}", patience="20m")
    world.metrics.rate = 0
    world.run(60 * MINUTE)
    world.roll_out("2")
    world.go_to(phase)
    assert world.left() == {"1": State.SUCCEEDED}, "nothing is made"
    assert "gate error_rate can't measure" in world.rollout().reason
    if phase is Phase.HELD:
        # Somebody sends requests, and has it go on: it looks again before it makes anything.
        world.metrics.rate = 600
        world.run(10 * MINUTE)
        world.order(OrderKind.RESUME)
        world.settle()
        assert world.traffic() == {"2": 100}


def test_metrics_that_come_late_are_waited_for() -> None:
    world = gated("{error_rate: {max_increase: 1%}}")
    world.metrics.lag = 12 * MINUTE
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.2))
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.run(12 * MINUTE)
    # The hold is over by the clock, and the service has not said a word of it yet.
    assert world.rollout().phase is Phase.HOLDING
    assert world.traffic() == {"1": 90, "2": 10}
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
    assert world.splits() == ["v1 90%, v2 10%"]


def test_measurements_are_kept_with_their_queries_and_go_with_the_rollout() -> None:
    world = gated("{error_rate: {max_increase: 1%}, latency_p95: {max_ratio: 1.2}}")
    world.roll_out("2")
    world.settle()
    kept = world.rollouts.store.measurements(world.rollout().id)
    assert {found.step for found in kept} == {-1, 2, 4}
    for found in kept:
        assert found.start is not None
        assert found.end is not None
        assert found.start < found.end <= found.at
        assert found.queries
        assert all("onlineEndpoints/churn" in query for query in found.queries)
    told = [found for found in kept if found.step == 2][-2:]
    assert [found.measure for found in told] == [Measure.ERROR_RATE, Measure.LATENCY_P95]
    assert [found.new is not None and found.stable is not None for found in told] == [True, True]
    assert told[0].requests == pytest.approx(600, rel=0.15)
    assert [found.at for found in kept] == sorted(found.at for found in kept)
    # A month later the row goes, and what was measured with it.
    world.clock.time = datetime(2026, 4, 20, 3, tzinfo=UTC)
    world.sweep.run()
    assert world.rows("SignalboxMeasurements") == []
    assert world.all_rollouts() == []
