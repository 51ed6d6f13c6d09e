"""A rollback goes to what is healthy then, and is over when the endpoint says so and answers."""

from datetime import timedelta

import pytest

from shared.base.errors import WorkspaceUnreachable
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import Capacity, Score, State
from tests.stories.rolling import WHERE, Rolling

MINUTE = timedelta(minutes=1)

BACK = """
  back:
    steps: [probe: {}, scale: stable, traffic: 10%, hold: 10m, traffic: 100%, hold: 10m]
    gates: {error_rate: {max: 5%}}
    keep_failed: 2h
    answer_within: 6h
"""


@pytest.fixture
def world() -> Rolling:
    """Versions 1, with four instances, and 2, which has all the traffic and turns out bad."""
    world = Rolling("back", strategies=BACK).serve()
    world.workspaces.scale(*WHERE, world.name("1"), 4)
    world.roll_out("2")
    world.go_to(Phase.HOLDING, step=5)
    assert world.traffic() == {"2": 100}
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.5))
    world.writes.clear()
    return world


def instances(world: Rolling, version: str) -> int:
    """Return how many instances the deployment of a version has."""
    return world.workspaces.deployments[world.key][world.name(version)].instance_count


def test_a_rollback_is_over_when_the_endpoint_says_so_and_what_serves_has_answered(
    world: Rolling,
) -> None:
    world.go_to(Phase.ROLLING_BACK)
    probes = world.during("score", lambda: None, nth=99)
    # The write is under way for two minutes: until it is read back, nothing is said.
    world.run(MINUTE)
    assert world.writes == [{"1": 100}]
    assert world.told()[-1] == "churn 2 failed on churn"
    assert probes == []
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
    assert probes == ["score"]
    assert world.told()[-1] == "churn 2 was rolled back on churn"
    assert f"Serving now: {world.name('1')}" in world.channels.sent[-1].text
    tags = world.workspaces.endpoints[world.key].tags
    assert (tags["signalbox_version"], tags["signalbox_deployment"]) == ("1", world.name("1"))


def test_a_write_that_took_no_effect_is_done_again(world: Rolling) -> None:
    world.workspaces.behaviour.stuck_traffic = ("InternalServerError", "try later")
    world.go_to(Phase.ROLLING_BACK)
    world.run(20 * MINUTE)
    assert world.rollout().phase is Phase.ROLLING_BACK, "it never says what is not so"
    assert "churn 2 on churn needs a look" in world.told()
    world.workspaces.behaviour.stuck_traffic = None
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
    assert world.told()[-1] == "churn 2 was rolled back on churn"


def test_a_stable_one_that_was_scaled_down_gets_its_instances_back_before_the_traffic(
    world: Rolling,
) -> None:
    # Somebody has saved money on the idle one: all traffic at once would be too much for it.
    world.workspaces.scale(*WHERE, world.name("1"), 1)
    seen: list[int] = []
    world.during("set_traffic", lambda: seen.append(instances(world, "1")))
    world.go_to(Phase.KEEPING)
    assert seen == [4]
    assert world.traffic() == {"1": 100}


def test_instances_that_cannot_be_had_back_do_not_keep_the_bad_one_serving(world: Rolling) -> None:
    world.workspaces.scale(*WHERE, world.name("1"), 1)
    # Somebody else has taken the cores that it gave up.
    taken = Capacity(family="standardDSv2Family", cores=4, used=0, limit=10)
    world.workspaces.behaviour.capacity = taken
    world.go_to(Phase.ROLLING_BACK)
    world.run(5 * MINUTE)
    assert world.traffic() == {"1": 100}, "in minutes: the bad one fails every other request"
    (look,) = (
        sent for sent in world.channels.sent if sent.title == "churn 2 on churn needs a look"
    )
    assert "gets the traffic, but can't have its instances back: workspace.quota" in look.text


def test_where_the_new_one_cannot_go_on_nothing_waits_for_instances(world: Rolling) -> None:
    world.workspaces.scale(*WHERE, world.name("1"), 1)
    world.workspaces.fail_deployment(*WHERE, world.name("2"))
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
    assert instances(world, "1") == 1, "one that is slow is better than one that is dead"


def test_where_the_stable_one_has_failed_meanwhile_another_that_is_healthy_serves() -> None:
    world = Rolling("back", strategies=BACK, adopt="true").take_over(blue=60, green=40)
    world.roll_out("2")
    world.go_to(Phase.HOLDING, step=5)
    world.workspaces.fail_deployment(*WHERE, "blue")
    world.order(OrderKind.ABORT)
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"green": 100}
    assert "Serving now: green" in world.channels.sent[-1].text


def test_where_nothing_is_healthy_the_split_stays_and_people_know_at_once(world: Rolling) -> None:
    world.workspaces.fail_deployment(*WHERE, world.name("1"))
    world.go_to(Phase.ROLLING_BACK)
    world.run(timedelta(seconds=1))
    assert world.told()[-1] == "churn 2 on churn needs a look"
    told = "there is nothing healthy to roll back to; churn-v2"
    assert told in world.channels.sent[-1].text
    world.run(timedelta(hours=3))
    assert world.live() == {"2": 100}
    assert world.writes == []
    assert world.told().count("churn 2 on churn needs a look") == 1, "said once, not each minute"
    # Three hours later somebody has mended it; nobody has to say so.
    world.mend("1")
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
    assert world.told()[-1] == "churn 2 was rolled back on churn"


def test_where_nothing_ever_gets_healthy_it_ends_as_it_is(world: Rolling) -> None:
    world.workspaces.fail_deployment(*WHERE, world.name("1"))
    world.settle(most=1500)
    assert world.live() == {"2": 100}
    assert world.rollout().phase is Phase.ROLLED_BACK
    assert "nothing healthy to roll back to" in world.result().detail
    assert "2" in world.left(), "what has the traffic is not deleted"


def test_an_autoscaler_at_work_on_the_stable_one_is_waited_for(world: Rolling) -> None:
    world.set_state("1", State.SCALING)
    world.go_to(Phase.ROLLING_BACK)
    world.run(3 * MINUTE)
    assert world.live() == {"2": 100}
    # It is not ill, only busy: no alarm, and no other deployment in its place.
    assert "churn 2 on churn needs a look" not in world.told()
    world.mend("1")
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}


@pytest.mark.parametrize("answer", ["an error", "nothing"])
def test_what_serves_again_and_does_not_answer_is_told(world: Rolling, answer: str) -> None:
    world.go_to(Phase.ROLLING_BACK)
    if answer == "an error":
        world.workspaces.behaviour.scores["churn-v1-*"] = Score(status=503, body=b"no backend")
    else:
        world.workspaces.before = _no_answer
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}, "whatever it answers, it is better than what failed"
    text = world.text("churn 2 was rolled back on churn")
    reason = "expected 200, got 503" if answer == "an error" else "no route to the host"
    assert f"{world.name('1')} serves, and {reason}" in text


def _no_answer(request: str) -> None:
    if request == "score":
        raise WorkspaceUnreachable("no route to the host")


def test_the_failed_deployment_is_kept_for_a_look_and_then_deleted(world: Rolling) -> None:
    world.workspaces.behaviour.logs = "OOMKilled\nAccountKey=abc123secret=="
    kept = world.go_to(Phase.KEEPING)
    text = world.text("churn 2 was rolled back on churn")
    assert "OOMKilled" in text
    assert "abc123secret" not in text + kept.attempt.logs
    assert f"Kept for 2h, without traffic: {world.name('2')}" in text
    assert world.result().status is OutcomeStatus.FAILED
    assert world.result().code == "rollout.rolled_back"
    world.run(timedelta(minutes=119))
    assert world.left() == {"1": State.SUCCEEDED, "2": State.SUCCEEDED}
    world.settle()
    assert world.left() == {"1": State.SUCCEEDED}
    assert world.rollout().phase is Phase.ROLLED_BACK


def test_the_endpoint_is_free_while_the_failed_deployment_is_kept(world: Rolling) -> None:
    world.go_to(Phase.KEEPING)
    world.roll_out("3")
    world.go_to(Phase.LIVE, "3")
    assert world.rollout("2").phase is Phase.KEEPING
    assert world.traffic("3") == {"3": 100}
    world.settle()
    assert world.left() == {"3": State.SUCCEEDED}


def test_what_is_live_is_brought_back_while_the_old_one_is_kept(world: Rolling) -> None:
    world.metrics.behave("churn-v2-*", MetricsBehaviour())
    world.go_to(Phase.LIVE)
    assert world.result().status is OutcomeStatus.DONE
    world.run(20 * MINUTE)
    world.order(OrderKind.ABORT, why="wrong currency")
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
    assert world.told()[-2:] == ["churn 2 was aborted on churn", "churn 2 was rolled back on churn"]
    outcome = world.result()
    assert (outcome.status, outcome.code) == (OutcomeStatus.FAILED, "rollout.aborted")
    assert outcome.detail == "abort by ada: wrong currency"
