"""A good version comes to all traffic, by each ready-made strategy and by one that is written."""

from datetime import timedelta

import pytest

from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import State
from tests.stories.rolling import Rolling

CAREFUL = """
  careful:
    steps:
      - probe: {request: golden/churn.json}
      - mirror: 20%
      - hold: 10m
      - traffic: 10%
      - hold: 10m
      - scale: 2
      - approve: 1d
      - traffic: 100%
      - hold: 10m
    gates: {error_rate: {max: 2%, max_increase: 1%}, requests: {min: 50}}
"""

DUEL = """
  duel:
    steps: [probe: {}, traffic: 50%, hold: 1h, better: latency_p95, traffic: 100%]
    patience: 30m
"""

FIRST = [Phase.QUEUED, Phase.CHECKING, Phase.DEPLOYMENT, Phase.PROBING]
LAST = [Phase.LIVE, Phase.RETIRING, Phase.DONE]
SHIFT_HOLD = [Phase.SHIFTING, Phase.HOLDING]


@pytest.mark.parametrize(
    ("rollout", "phases", "splits", "lasts"),
    [
        ("all-at-once", [Phase.SHIFTING], ["v2 100%"], timedelta(0)),
        (
            "blue-green",
            [Phase.SCALING, *SHIFT_HOLD],
            ["v2 100%"],
            timedelta(minutes=15),
        ),
        (
            "canary",
            SHIFT_HOLD * 3,
            ["v1 90%, v2 10%", "v1 50%, v2 50%", "v2 100%"],
            timedelta(minutes=40),
        ),
        (
            "linear",
            SHIFT_HOLD * 5,
            ["v1 80%, v2 20%", "v1 60%, v2 40%", "v2 60%, v1 40%", "v2 80%, v1 20%", "v2 100%"],
            timedelta(minutes=50),
        ),
        (
            "shadow",
            [Phase.MIRRORING, Phase.HOLDING, Phase.MIRRORING, *SHIFT_HOLD],
            ["v1 100%, mirrored v2 10%", "v1 100%", "v2 100%"],
            timedelta(minutes=40),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_good_version_comes_to_all_traffic_and_the_old_one_goes(
    rollout: str, phases: list[Phase], splits: list[str], lasts: timedelta
) -> None:
    world = Rolling(rollout).serve()
    world.roll_out("2")
    world.go_to(Phase.LIVE)
    assert world.traffic() == {"2": 100}
    assert world.left() == {"1": State.SUCCEEDED, "2": State.SUCCEEDED}, "the old one is kept"
    world.settle()
    assert world.left() == {"2": State.SUCCEEDED}
    assert world.phases() == [*FIRST, *phases, *LAST]
    assert world.splits() == splits
    assert world.told() == ["churn 2: rollout started on churn", "churn 2 is live on churn"]
    assert world.result().status is OutcomeStatus.DONE
    assert world.time_in(Phase.HOLDING) == lasts
    assert {found.outcome for found in world.measured()} <= {
        GateOutcome.PASS,
        GateOutcome.TOO_FEW,  # of the first looks
    }


def test_a_mirrored_version_answers_nobody(world_of_shadow: Rolling) -> None:
    world = world_of_shadow
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=1.0))
    world.go_to(Phase.HOLDING)
    assert world.traffic() == {"1": 100}
    assert world.mirrored() == {"2": 10}
    world.go_to(Phase.KEEPING)
    # No caller has ever seen an answer of the version whose every answer is an error.
    assert world.traffic() == {"1": 100}
    assert world.mirrored() == {}
    assert "error rate 100%" in world.text("churn 2 failed on churn")


@pytest.fixture
def world_of_shadow() -> Rolling:
    world = Rolling("shadow").serve()
    world.roll_out("2")
    return world


def test_a_written_strategy_goes_step_by_step() -> None:
    world = Rolling("careful", strategies=CAREFUL).serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    assert (world.traffic(), world.mirrored()) == ({"1": 100}, {"2": 20})
    # Traffic and mirror never go to one deployment at a time: the first `traffic` ends the mirror.
    world.go_to(Phase.HOLDING, step=4)
    assert (world.traffic(), world.mirrored()) == ({"1": 90, "2": 10}, {})
    world.go_to(Phase.APPROVING)
    found = world.workspaces.deployments[world.key][world.name("2")]
    assert found.instance_count == 2
    assert world.told()[-1] == "churn 2 waits for approval on churn"
    assert world.channels.sent[-1].good is None
    world.run(timedelta(hours=8))
    assert world.traffic() == {"1": 90, "2": 10}, "nobody has answered, nothing has moved"
    world.order(OrderKind.APPROVE, why="the figures are fine")
    world.go_to(Phase.LIVE)
    assert world.traffic() == {"2": 100}
    assert "approve by ada: the figures are fine" in world.told_of(Phase.SHIFTING)


def test_the_first_version_of_an_endpoint_is_live_at_once() -> None:
    world = Rolling("careful", strategies=CAREFUL)
    world.roll_out("1")
    # Nothing serves that could be harmed: no split, no hold, no gate. A person still says yes.
    world.go_to(Phase.APPROVING, "1")
    world.order(OrderKind.APPROVE, "1")
    world.settle()
    assert world.traffic("1") == {"1": 100}
    assert world.phases("1") == [
        Phase.QUEUED,
        Phase.CHECKING,
        Phase.ENDPOINT,
        Phase.DEPLOYMENT,
        Phase.PROBING,
        Phase.SCALING,
        Phase.APPROVING,
        Phase.SHIFTING,
        Phase.LIVE,
        Phase.DONE,
    ]
    assert world.splits("1") == ["v1 100%"]
    assert world.measured("1") == ()


def test_what_shared_the_traffic_gives_in_proportion_and_gets_it_back_so() -> None:
    world = Rolling("canary", adopt="true").take_over(blue=70, green=30)
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    assert world.traffic() == {"blue": 63, "green": 27, "2": 10}
    world.go_to(Phase.HOLDING, step=4)
    assert world.traffic() == {"blue": 35, "green": 15, "2": 50}
    world.metrics.behave("churn-v2-*", MetricsBehaviour(latency_ms=150))
    world.settle()
    assert world.live() == {"blue": 70, "green": 30}
    assert world.result().code == "rollout.rolled_back"
    assert world.left() == {"blue": State.SUCCEEDED, "green": State.SUCCEEDED}
    assert "signalbox_rollout" not in world.workspaces.deployments[world.key]["blue"].tags


def test_what_signalbox_did_not_make_is_not_deleted_when_it_has_lost_its_traffic() -> None:
    world = Rolling("canary", adopt="true").take_over(blue=100)
    world.roll_out("2")
    world.settle()
    assert world.live() == {"2": 100}
    assert world.left() == {"blue": State.SUCCEEDED, "2": State.SUCCEEDED}
    assert world.told_of(Phase.DONE) == ["blue stays: Signalbox did not make it"]


@pytest.mark.parametrize(
    ("latency_ms", "code", "live", "title"),
    [
        (45.0, "", {"2": 100}, "churn 2 is live on churn"),
        (
            50.0,
            "rollout.not_better",
            {"1": 100},
            "churn 2 is not better than the live version on churn",
        ),
        (
            55.0,
            "rollout.not_better",
            {"1": 100},
            "churn 2 is not better than the live version on churn",
        ),
    ],
    ids=["faster", "as fast", "a little slower"],
)
def test_a_comparison_of_a_day_keeps_the_better_one(
    latency_ms: float, code: str, live: dict[str, int], title: str
) -> None:
    world = Rolling("ab-test").serve()
    world.metrics.behave("churn-v2-*", MetricsBehaviour(latency_ms=latency_ms))
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    assert world.traffic() == {"1": 50, "2": 50}
    world.settle()
    assert world.live() == live
    assert world.result().code == code
    assert world.result().status is (OutcomeStatus.SKIPPED if code else OutcomeStatus.DONE)
    assert title in world.told()
    (choice,) = (found for found in world.measured() if found.step == 3)
    assert choice.limit == "less than the stable one's"
    # The whole day is compared, not the last hour, which is what gates look at.
    assert choice.requests == pytest.approx(300 * 60 * 24, rel=0.01)


def test_a_comparison_that_shows_nothing_asks_a_person() -> None:
    world = Rolling("duel", strategies=DUEL).serve()
    world.metrics.rate = 40  # of 20 requests a minute, a p95 says nothing
    world.roll_out("2")
    held = world.go_to(Phase.HELD)
    assert held.reason.startswith("it can't be told which is better: p95 latency unknown")
    assert world.time_in(Phase.CHOOSING) == timedelta(minutes=31), "longer than its patience"
    assert world.traffic() == {"1": 50, "2": 50}
    assert world.told()[-1] == "churn 2 waits for a decision on churn"
    world.order(OrderKind.PROMOTE, why="cheaper to run")
    world.settle()
    assert world.traffic() == {"2": 100}
    assert world.result().status is OutcomeStatus.DONE
