"""The main job: a tagged model is registered, deployed, takes the traffic, everyone is told."""

from datetime import timedelta

from shared.outcomes import OutcomeStatus
from shared.rollouts.model import Phase
from tests.stories.world import World, model_registered


def test_the_first_version_makes_its_endpoint_and_takes_all_traffic(world: World) -> None:
    world.workspaces.behaviour.takes = timedelta(minutes=7)
    world.react.react(world.register("churn", "1"))
    assert world.outcome().status is OutcomeStatus.WAITING
    world.settle()
    assert world.serving() == "1"
    assert world.outcome().status is OutcomeStatus.DONE
    assert world.told() == ["churn 1: rollout started on churn", "churn 1 is live on churn"]
    assert [rollout.phase for rollout in world.all_rollouts()] == [Phase.DONE]


def test_the_second_version_gets_no_traffic_until_it_is_proved_and_then_all(world: World) -> None:
    world.react.react(world.register("churn", "1"))
    world.settle()
    world.workspaces.behaviour.takes = timedelta(minutes=7)
    world.react.react(world.register("churn", "2"))
    world.settle(until=lambda: len(world.deployments()) == 2)
    assert world.serving() == "1"
    world.settle(until=lambda: world.told()[-1] == "churn 2 is live on churn")
    assert world.serving() == "2"
    assert sorted(world.deployments().values()) == ["1", "2"], "the old version is kept"
    world.settle()
    assert list(world.deployments().values()) == ["2"], "and deleted when its time is over"
    at = {moment.phase: moment.at for moment in world.all_rollouts()[-1].history}
    assert at[Phase.RETIRING] - at[Phase.LIVE] == timedelta(minutes=30)


def test_the_endpoint_s_tags_say_what_serves(world: World) -> None:
    world.react.react(world.register("churn", "1"))
    world.settle()
    (endpoint,) = world.workspaces.endpoints.values()
    (serving,) = endpoint.traffic
    assert endpoint.tags["signalbox_model"] == "churn"
    assert endpoint.tags["signalbox_version"] == "1"
    assert endpoint.tags["signalbox_deployment"] == serving


def test_a_duplicate_event_changes_nothing(world: World) -> None:
    event = world.register("churn", "1")
    world.react.react(event)
    world.settle()
    before = (dict(world.endpoint()), world.deployments(), world.told())
    for _ in range(3):
        world.react.react(event)
    world.settle()
    assert (dict(world.endpoint()), world.deployments(), world.told()) == before
    assert len(world.all_rollouts()) == 1
    assert world.outcome().status is OutcomeStatus.DONE


def test_another_event_of_the_version_that_serves_is_superseded(world: World) -> None:
    world.react.react(world.register("churn", "1"))
    world.settle()
    world.react.react(model_registered("another-id", world.clock.now()))
    world.settle()
    assert [item.phase for item in world.all_rollouts()] == [Phase.DONE, Phase.SUPERSEDED]
    assert len(world.deployments()) == 1


def test_an_older_version_that_arrives_late_does_not_replace_a_newer_one(world: World) -> None:
    late = world.register("churn", "9")
    world.react.react(world.register("churn", "10"))
    world.settle()
    world.react.react(late)
    world.settle()
    assert world.serving() == "10"
    assert world.all_rollouts()[-1].phase is Phase.SUPERSEDED


def test_two_versions_at_once_are_rolled_out_one_after_the_other(world: World) -> None:
    world.workspaces.behaviour.takes = timedelta(minutes=7)
    for version in ("1", "2"):
        world.react.react(world.register("churn", version))
    world.settle()
    assert world.serving() == "2"
    assert "churn 1 is live on churn" in world.told()


def test_an_untagged_model_is_left_alone(world: World) -> None:
    world.react.react(world.register("churn", "1", deploy="false"))
    world.settle()
    assert not world.workspaces.endpoints
    assert world.outcome("*").detail == "no reaction matched"
