"""Other systems listen to what the app does: all of it comes, in an order, and starts nothing."""

import json
from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.base.errors import StorageUnavailable, TopicDenied, TopicThrottled
from shared.base.settings import APP_ROOT
from shared.journal.announcements import QUEUE
from shared.journal.letters import LetterStatus
from tests.stories.kill import Kill, Ports, kill_at_every_call, live_through
from tests.stories.test_drift_is_retrained import Story
from tests.stories.world import REACTIONS, World, run_status_changed

TOPIC = {"SIGNALBOX_OUTCOMES_TOPIC": "outcomes"}
SCHEMA = json.loads((APP_ROOT / "docs/reference/outcome-events.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


@pytest.fixture
def world() -> World:
    return World(REACTIONS, **TOPIC)


def events(world: World, kind: str = "") -> list[dict[str, Any]]:
    """Return what subscribers got, each event once, and check it against the schema."""
    by_id = {each.event["id"]: dict(each.event) for each in world.topics.published}
    for event in by_id.values():
        VALIDATOR.validate(event)
        known = SCHEMA["$defs"][event["type"].removeprefix("Signalbox.")]["properties"]
        assert event["data"].keys() == known.keys()
    return [event for event in by_id.values() if event["type"].endswith(kind)]


def test_a_deployment_is_told_from_the_event_to_the_last_phase(world: World) -> None:
    world.react.react(world.register("churn", "1"))
    world.settle()
    outcomes = [event["data"] for event in events(world, "OutcomeRecorded")]
    deploy = [outcome for outcome in outcomes if outcome["step"] == "deploy"]
    assert [outcome["status"] for outcome in deploy][-1] == "done"
    assert deploy[-1]["detail"].startswith("live on churn as ")
    assert deploy[0]["event"]["about"] == "churn:1"
    phases = [event["data"] for event in events(world, "RolloutPhaseChanged")]
    assert [each["phase"] for each in phases] == [
        *("queued", "checking", "endpoint", "deployment", "probing", "shifting", "live", "done")
    ]
    assert phases[-1]["is_end"]
    assert {each["rollout"] for each in phases} == {deploy[-1]["rollout"]}
    revisions = [each["revision"] for each in phases]
    assert revisions == sorted(set(revisions)), "subscribers can put them in order"


def test_an_event_that_sets_off_nothing_is_not_announced_and_costs_nothing(world: World) -> None:
    ports = Ports(world)
    world.react.react(world.register("churn", "1", deploy="no"))
    assert "MemoryQueues.send" not in ports.calls
    assert world.topics.published == ()


def test_without_the_setting_there_is_no_request_more() -> None:
    calls: dict[bool, list[str]] = defaultdict(list)
    for is_on in (False, True):
        world = World(REACTIONS, **(TOPIC if is_on else {}))
        ports = Ports(world)
        world.react.react(run_status_changed("e", world.clock.now()))
        calls[is_on] = ports.calls
    assert calls[False] == [call for call in calls[True] if call != "MemoryQueues.send"]
    assert calls[True].count("MemoryQueues.send") == 1


def test_a_letter_that_waits_for_a_person_is_announced(world: World) -> None:
    world.react.react(world.register("churn", "1", kind="custom_model"))
    world.settle()
    (event,) = events(world, "LetterParked")
    (letter,) = world.letters.all(LetterStatus.PARKED)
    assert event["data"]["letter"] == letter.id
    assert event["data"]["code"] == "deploy.model_unfit"
    assert event["data"]["workspace_name"] == "ws"


def test_a_retraining_is_told_stage_by_stage() -> None:
    story = Story()
    story.world.app_settings = TOPIC
    story.world.start_app()
    story.window()
    story.run_ends()
    story.world.settle()
    stages = [event["data"] for event in events(story.world, "RetrainingStageChanged")]
    assert "trained" in [each["stage"] for each in stages]
    revisions = [each["revision"] for each in stages]
    assert revisions == sorted(set(revisions))
    assert {each["monitor"] for each in stages} != {""}


def test_a_topic_that_does_not_take_them_gets_them_later(world: World) -> None:
    begun = world.clock.now()
    world.topics.fail(
        TopicThrottled("busy", retry_after=timedelta(minutes=3)), TopicDenied("no role yet")
    )
    world.react.react(run_status_changed("e", world.clock.now()))
    world.settle()
    (event,) = events(world)
    assert event["data"]["step"] == "notify"
    assert world.clock.now() - begun >= timedelta(minutes=3)


def test_announcements_are_given_up_when_their_retention_is_over(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.topics.fail(*(TopicDenied("no role") for _ in range(2_000)))
    world.react.react(run_status_changed("e", world.clock.now()))
    world.settle(most=2_000)
    assert world.topics.published == ()
    assert "announcements were given up" in caplog.text


def test_what_the_host_gave_up_on_comes_back(world: World) -> None:
    world.react.react(run_status_changed("e", world.clock.now()))
    (text,) = world.queues.take(QUEUE)
    world.queues.send(f"{QUEUE}-poison", text)
    world.sweep.run()
    world.settle()
    assert len(events(world)) == 1


def test_storage_that_does_not_take_them_has_the_event_delivered_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = run_status_changed("e", world.clock.now())
    with monkeypatch.context() as patch:

        def be_down(*_: object, **__: object) -> None:
            raise StorageUnavailable("down")

        patch.setattr(world.queues, "send", be_down)
        with pytest.raises(StorageUnavailable):
            world.react.react(event)
    world.react.react(event)
    world.settle()
    assert len(events(world)) == 1
    assert len(world.channels.sent) == 1, "what was done is not done again"


def test_the_apps_own_announcements_set_nothing_off(world: World) -> None:
    world.react.react(run_status_changed("e", world.clock.now()))
    world.settle()
    before = events(world)
    for event in before:
        world.react.react(event)  # somebody subscribed the app's queue to the topic
    world.settle()
    assert events(world) == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"v": 1, "since": "x", "events": []}', "\ud800"])
def test_another_message_is_dropped(world: World, text: str) -> None:
    world.services.announcement_publisher.publish(text)
    assert world.topics.published == ()


def _deploy(kill_at: Kill) -> tuple[World, Ports]:
    world = World(REACTIONS, **TOPIC)
    ports = Ports(world)
    ports.kill_at = kill_at
    live_through(world, world.register("churn", "1"))
    return world, ports


def test_killed_at_any_call_everything_is_still_announced() -> None:
    whole, _ = _deploy(None)
    phases = [event["data"]["phase"] for event in events(whole, "RolloutPhaseChanged")]
    assert len(phases) > 5

    def check(world: World, _: Ports) -> None:
        found = [event["data"]["phase"] for event in events(world, "RolloutPhaseChanged")]
        assert set(found) >= set(phases)
        outcomes = [event["data"] for event in events(world, "OutcomeRecorded")]
        assert any(each["status"] == "done" and each["rollout"] for each in outcomes)

    kill_at_every_call(_deploy, check, at_least=40)
