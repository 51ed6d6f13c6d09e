"""People pause, resume, promote, approve, abort and retry, whenever they like."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.base.errors import OrderImpossible
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.people.progress import splits_of
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import Score, State
from tests.stories.rolling import WHERE, Rolling

MINUTE = timedelta(minutes=1)

ASKING = """
  asking:
    steps:
      [probe: {}, mirror: 10%, hold: 10m, traffic: 20%, hold: 10m, scale: 2, approve: 1d,
       traffic: 60%, hold: 10m, better: latency_p50, traffic: 100%, hold: 10m]
    answer_within: 2d
"""
FALLING = """
  falling:
    based_on: linear
    gates: {error_rate: {max: 2%}}
    on_failure: step_down
"""


def asking() -> Rolling:
    """Return a world in which version 1 serves, and a person is asked for the next one."""
    world = Rolling("asking", strategies=ASKING).serve()
    world.metrics.behave("churn-v2-*", MetricsBehaviour(latency_ms=40))
    return world


@pytest.fixture
def falling() -> Rolling:
    """A world in which version 2 turns bad at four fifths of the traffic."""
    world = Rolling("falling", strategies=FALLING).serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING, step=8)
    assert world.traffic() == {"1": 20, "2": 80}
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.3))
    return world


# A failure, and what the strategy says of it


def test_traffic_goes_back_by_the_splits_that_it_came_up_by(falling: Rolling) -> None:
    falling.go_to(Phase.KEEPING)
    shares = [split.get("2", 0) for split in falling.writes]
    assert shares == [20, 40, 60, 80, 60, 40, 20, 0]
    told = falling.rollout().history
    at = [moment.at for moment in told if moment.phase is Phase.STEPPING_DOWN]
    back = next(moment.at for moment in told if moment.phase is Phase.ROLLING_BACK)
    # The first step down is at once; what serves has five minutes to grow before each other one.
    pauses = [after - before for before, after in zip(at[1:], [*at[2:], back], strict=True)]
    assert min(pauses) == 5 * MINUTE
    assert at[1] - at[0] < 5 * MINUTE
    assert falling.traffic() == {"1": 100}
    assert falling.told()[1:] == ["churn 2 failed on churn", "churn 2 was rolled back on churn"]


def test_an_abort_on_the_way_down_goes_back_at_once(falling: Rolling) -> None:
    falling.go_to(Phase.STEPPING_DOWN)
    falling.run(6 * MINUTE)
    assert falling.traffic() == {"1": 40, "2": 60}
    falling.order(OrderKind.ABORT, why="customers call")
    falling.deliver()
    falling.run(3 * MINUTE)
    assert falling.traffic() == {"1": 100}
    assert falling.result().code == "rollout.aborted"


def test_what_can_not_carry_more_is_not_given_more_on_the_way_down(falling: Rolling) -> None:
    falling.go_to(Phase.STEPPING_DOWN)
    falling.run(6 * MINUTE)
    # The stable one dies too: there is nothing to go back to by steps, or at all.
    falling.workspaces.fail_deployment(*WHERE, falling.name("1"))
    falling.run(10 * MINUTE)
    assert falling.rollout().phase is Phase.ROLLING_BACK
    assert falling.live() == {"1": 40, "2": 60}
    assert "there is nothing healthy to roll back to" in falling.channels.sent[-1].text
    falling.mend("1")
    falling.run(5 * MINUTE)
    assert falling.traffic() == {"1": 100}


# Yes


def test_a_rollout_that_nobody_approves_in_time_goes_back() -> None:
    world = asking()
    world.roll_out("2")
    world.go_to(Phase.KEEPING)
    assert world.time_in(Phase.APPROVING) == timedelta(days=1)
    assert world.result().detail == "nobody approved it in time"
    assert world.traffic() == {"1": 100}


def test_an_order_that_comes_too_late_is_said_to_be() -> None:
    world = asking()
    world.roll_out("2")
    world.go_to(Phase.APPROVING)
    # Two people say yes at the same time; the second yes is to nothing any more.
    world.order(OrderKind.APPROVE, why="fine")
    world.order(OrderKind.APPROVE, why="fine by me too")
    world.go_to(Phase.HOLDING, step=8)
    texts = [moment.text for moment in world.rollout().history]
    assert "approve by ada: fine" in texts
    assert "came too late: approve by ada: fine by me too" in texts
    assert world.rollout().orders == ()
    with pytest.raises(OrderImpossible, match="the rollout is holding"):
        world.order(OrderKind.APPROVE)


# Pause, resume, promote


@pytest.mark.parametrize("phase", [Phase.DEPLOYMENT, Phase.HOLDING, Phase.SCALING])
def test_a_pause_stays_on_the_split_and_a_resume_goes_on(phase: Phase) -> None:
    world = asking()
    world.roll_out("2")
    world.go_to(phase)
    split = world.traffic()
    world.order(OrderKind.PAUSE, why="a release of another team")
    world.go_to(Phase.HELD)
    assert world.rollout().reason == "pause by ada: a release of another team"
    world.run(timedelta(hours=30))
    assert world.traffic() == split
    world.order(OrderKind.RESUME)
    world.go_to(Phase.APPROVING)
    world.order(OrderKind.APPROVE)
    world.settle()
    assert world.traffic() == {"2": 100}
    assert world.time_in(Phase.HELD) == timedelta(hours=30)


def test_a_promotion_leaves_out_what_is_left_of_a_step() -> None:
    world = asking()
    world.roll_out("2")
    world.go_to(Phase.HOLDING, step=4)
    world.order(OrderKind.PROMOTE, why="seen enough")
    world.go_to(Phase.SCALING)
    assert world.time_in(Phase.HOLDING) == 10 * MINUTE, "only the first hold was held"
    assert "promote by ada: seen enough" in world.told_of(Phase.SCALING)
    assert world.traffic() == {"1": 80, "2": 20}


def test_a_promotion_to_the_end_goes_to_the_last_split_and_its_gate() -> None:
    world = asking()
    world.roll_out("2")
    # It is given while a split is being set: that is finished before it is gone on from.
    world.go_to(Phase.SHIFTING)
    world.order(OrderKind.PROMOTE, to_end=True)
    world.go_to(Phase.HOLDING, step=11)
    assert world.traffic() == {"2": 100}
    assert world.splits()[-2:] == ["v1 80%, v2 20%", "v2 100%"]
    world.settle()
    assert world.time_in(Phase.HOLDING) == 20 * MINUTE


# Abort

PHASES = [
    Phase.QUEUED,
    Phase.CHECKING,
    Phase.DEPLOYMENT,
    Phase.PROBING,
    Phase.MIRRORING,
    Phase.SHIFTING,
    Phase.HOLDING,
    Phase.APPROVING,
    Phase.SCALING,
    Phase.CHOOSING,
    Phase.HELD,
    Phase.LIVE,
]


@pytest.mark.parametrize("phase", PHASES)
def test_an_abort_brings_the_old_one_back_from_wherever_it_is(phase: Phase) -> None:
    world = asking()
    world.workspaces.behaviour.scores["churn-v2-*"] = Score(status=500)
    if phase is Phase.CHECKING:
        world.metrics.rate = 0
    world.roll_out("2")
    _bring_to(world, phase)
    promote = {Phase.SHIFTING, Phase.HOLDING, Phase.CHOOSING, Phase.HELD} & {phase}
    if promote:
        world.order(OrderKind.PROMOTE, to_end=True)  # beaten, although it came before
    world.order(OrderKind.ABORT, why="not today")
    world.settle()
    assert world.live() == {"1": 100}
    assert world.mirrored() == {}
    assert world.left() == {"1": State.SUCCEEDED}
    assert world.result().status is OutcomeStatus.FAILED
    assert world.result().code == "rollout.aborted"
    assert "abort by ada: not today" in world.result().detail
    told = [moment for moment in world.rollout().history if "abort by ada" in moment.text]
    assert told, "who said so, when, and why"
    assert ("came too late: promote to the end by ada" in world.texts()) == bool(promote)


def _bring_to(world: Rolling, phase: Phase) -> None:
    if phase is Phase.QUEUED:
        return
    if phase is Phase.CHECKING:
        # An endpoint that somebody is at work on is waited for.
        key, busy = world.key, world.workspaces.endpoints[world.key]
        world.workspaces.endpoints[key] = replace(busy, state=State.UPDATING)
        world.go_to(phase)
        world.workspaces.endpoints[key] = busy
        return
    if phase is Phase.PROBING:
        world.go_to(phase)
        return
    if phase is not Phase.DEPLOYMENT:
        world.workspaces.behaviour.scores.clear()
    if phase is Phase.CHOOSING:
        world.go_to(Phase.APPROVING)
        world.order(OrderKind.APPROVE)
        world.go_to(Phase.HOLDING, step=8)
        world.metrics.lag = timedelta(days=1)
    if phase is Phase.HELD:
        world.go_to(Phase.HOLDING)
        world.order(OrderKind.PAUSE)
    if phase is Phase.LIVE:
        world.go_to(Phase.HOLDING)
        world.order(OrderKind.PROMOTE, to_end=True)
    world.go_to(phase)


def test_an_abort_while_the_endpoint_is_made_leaves_one_that_the_next_version_can_use() -> None:
    world = Rolling("canary")
    world.roll_out("1")
    world.go_to(Phase.ENDPOINT, "1")
    world.order(OrderKind.ABORT, "1")
    world.settle()
    assert (world.live(), world.left()) == ({}, {})
    assert world.result("1").code == "rollout.aborted"
    world.roll_out("2")
    world.settle()
    assert world.traffic() == {"2": 100}


@pytest.mark.parametrize("phase", [Phase.RETIRING, Phase.ROLLING_BACK, Phase.REMOVING, Phase.DONE])
def test_what_can_not_be_aborted_any_more_says_so(phase: Phase) -> None:
    world = asking()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    if phase in (Phase.RETIRING, Phase.DONE):
        world.order(OrderKind.PROMOTE, to_end=True)
    else:
        world.order(OrderKind.ABORT)
    world.go_to(phase)
    before = world.live()
    with pytest.raises(OrderImpossible, match=f"abort: the rollout is {phase}"):
        world.order(OrderKind.ABORT)
    assert world.live() == before
    assert world.rollout().orders == ()


@pytest.mark.parametrize(
    ("request_", "moves"),
    [("get_endpoint", 0), ("list_deployments", 0), ("set_traffic", 1)],
    ids=["before it reads", "between its read and its write", "inside the request"],
)
def test_an_abort_in_the_middle_of_a_tick(request_: str, moves: int) -> None:
    world = Rolling("canary").serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.run(14 * MINUTE + timedelta(seconds=50))
    # The hold ends, and in the very tick that would go on to half of the traffic somebody aborts.
    done = world.during(request_, lambda: world.order(OrderKind.ABORT))
    world.settle(until=lambda: bool(done))
    world.settle()
    assert world.live() == {"1": 100}
    assert world.writes == [{"1": 90, "2": 10}, *[{"1": 50, "2": 50}] * moves, {"1": 100}]
    assert world.result().code == "rollout.aborted"


def test_what_a_person_writes_is_never_read_as_a_split() -> None:
    world = Rolling("canary").serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    forged = "blue 90%, green 10% was changed by someone to blue 1%, green 99%, and is adopted"
    for why in ("churn-v2 99%", forged):
        world.order(OrderKind.PAUSE, why=why)
        world.go_to(Phase.HELD)
        world.order(OrderKind.RESUME, why=why)
        world.go_to(Phase.HOLDING)
    world.order(OrderKind.ABORT, why="churn-v2 99%")
    world.settle()
    assert [seen.share for seen in splits_of(world.rollout())] == [10, 0]


def test_the_splits_over_time_have_what_was_mirrored() -> None:
    world = asking()
    world.roll_out("2")
    world.go_to(Phase.HOLDING, step=4)
    seen = [(split.share, split.mirrored) for split in splits_of(world.rollout())]
    assert seen == [(0, 10), (20, 0)]


def test_a_split_that_somebody_made_is_told_as_theirs() -> None:
    world = Rolling("canary").serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.move(v1=60, v2=40)
    world.go_to(Phase.HELD)
    last = splits_of(world.rollout())[-1]
    assert (last.share, last.words.endswith(", by someone")) == (40, True)
