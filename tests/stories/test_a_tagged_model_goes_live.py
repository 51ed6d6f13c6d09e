"""The main job: a tagged model is registered, deployed, takes the traffic, everyone is told."""

from datetime import timedelta
from typing import Any

from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.engine import advance
from shared.rollouts.state.rollout import Phase
from tests.stories.world import REACTIONS, World, model_registered


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
    assert world.outcome("deploy-tagged-models/*").detail == "`is_true(model.tags.deploy)` is false"


def test_a_rollout_that_begins_while_an_old_version_is_deleted_waits_for_its_turn(
    world: World,
) -> None:
    for version in ("1", "2"):
        world.react.react(world.register("churn", version))
        world.settle(until=lambda: any(r.phase is Phase.LIVE for r in world.all_rollouts()))
    found: list[Phase] = []

    def roll_out_another(request: str) -> None:
        if request != "delete_deployment" or found:
            return
        world.workspaces.before = lambda _: None
        world.react.react(world.register("churn", "3"))
        for message in world.queues.take(advance.QUEUE):
            world.rollouts.advance(message)
        found.extend(r.phase for r in world.all_rollouts() if r.model.version == "3")

    world.workspaces.before = roll_out_another
    world.settle()
    assert found == [Phase.QUEUED]
    assert world.serving() == "3"


def test_a_rollout_that_ends_before_its_event_is_recorded_keeps_its_outcome() -> None:
    world = World(
        REACTIONS.replace(
            "            probe_request: [golden/*.json]\n",
            "            probe_request: [golden/*.json]\n"
            "      - notify: {channel: team, title: it has begun}\n",
        )
    )
    world.react.react(world.register("churn", "1"))
    world.settle()
    send = world.channels.send

    def send_slowly(*args: Any, **kwargs: Any) -> None:
        for message in world.queues.take(advance.QUEUE):
            world.rollouts.advance(message)
        send(*args, **kwargs)

    world.channels.send = send_slowly  # type: ignore[method-assign]
    world.react.react(world.register("churn", "0"))
    (row,) = [row for row in world.rows("SignalboxEvents") if row.values["about"] == "churn:0"]
    assert '"status": "skipped"' in str(row.values["outcomes"])
    assert "waiting" not in str(row.values["outcomes"])
