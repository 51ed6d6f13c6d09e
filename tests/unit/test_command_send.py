"""`signalbox send`: through the real client to a topic, or to the app's own queue."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from manage import app
from sandbox.event_grid.grid import EventGrid
from sandbox.event_grid.topics import Topic
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import AlertFired, Event, EventType
from shared.services import Services

EVENTS = Path(__file__).parent.parent / "events"
CLOUD = EVENTS / "model_registered.cloud_event.json"
NATIVE = EVENTS / "model_registered.event_grid.json"
ID = (
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/main"
)
RULES = f"""\
version: 1
workspaces: [{ID}]
channels: [team]
reactions:
  - name: tell
    on: ModelRegistered
    do: [notify: {{channel: team, title: new}}]
"""
KEY = "SEND_TEST_KEY"


@pytest.fixture(autouse=True)
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rules file that lists one workspace."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    monkeypatch.setenv("SIGNALBOX_REACTIONS", str(path))


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[EventGrid, Topic]]:
    """A topic of the sandbox's Event Grid, with its key in an app setting."""
    with EventGrid() as grid:
        made = grid.add_topic("orders", resource_id="/topics/orders")
        monkeypatch.setenv(KEY, made.key)
        yield grid, made


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["send", *words])


def published(grid: EventGrid) -> list[dict[str, Any]]:
    """Return the events that the topic took, as they were published."""
    return [dict(event.fields) for event in grid.published("orders")]


def queued(services: Services, queue: str = "workspace-events") -> list[dict[str, Any]]:
    """Take the messages of a queue."""
    found = services.queues.receive(queue)
    for message in found:
        services.queues.delete(queue, message)
    return [json.loads(message.text) for message in found]


def test_a_cloud_event_goes_to_a_topic_with_a_fresh_id_and_the_present_time(
    topic: tuple[EventGrid, Topic],
) -> None:
    grid, made = topic
    done = run(str(CLOUD), "--topic", made.endpoint, "--key", KEY)
    assert done.exit_code == 0, done.output
    (sent,) = published(grid)
    before = json.loads(CLOUD.read_text())
    assert (sent["source"], sent["data"]) == (before["source"], before["data"])
    assert sent["id"] != before["id"]
    assert sent["id"] in done.output
    assert not sent["time"].startswith("2019")


def test_the_id_and_the_time_are_kept_on_request(services: Services) -> None:
    assert run(str(NATIVE), "--queue", "--same-id", "--same-time").exit_code == 0
    (sent,) = queued(services)
    given = json.loads(NATIVE.read_text())
    assert sent == (given[0] if isinstance(given, list) else given)


def test_a_topic_s_endpoint_and_key_are_found_in_the_settings(
    topic: tuple[EventGrid, Topic], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, made = topic
    monkeypatch.setenv("MY_TOPIC", made.endpoint)
    monkeypatch.setenv("MY_TOPIC_KEY", made.key)
    sample = ("--sample", "DriftDetected")
    assert run(*sample, "--topic", "MY_TOPIC").exit_code == 0
    assert published(grid)[0]["type"] == "Signalbox.DriftDetected"


def test_what_a_topic_would_change_is_refused(topic: tuple[EventGrid, Topic]) -> None:
    grid, made = topic
    done = run(str(NATIVE), "--topic", made.endpoint, "--key", KEY)
    assert (done.exit_code, "writes its own id into `topic`" in done.output) == (1, True)
    assert published(grid) == []
    assert run(str(NATIVE), "--topic", made.endpoint, "--key", KEY, "--anyway").exit_code == 0
    assert published(grid)[0]["eventType"].endswith("ModelRegistered")


def test_a_wrong_key_is_said_without_it(
    topic: tuple[EventGrid, Topic], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, made = topic
    monkeypatch.setenv(KEY, "wrong-key-of-somebody")
    done = run(str(CLOUD), "--topic", made.endpoint, "--key", KEY)
    assert (done.exit_code, "does not let you publish" in done.output) == (1, True), done.output
    assert "wrong-key" not in done.output
    done = run(str(CLOUD), "--topic", made.endpoint, "--key", "hunter2hunter2hunter2")
    assert (done.exit_code, "hunter2" in done.output) == (1, False)


@pytest.mark.parametrize("kind", [str(item) for item in EventType if item != "Schedule"])
def test_there_is_a_sample_of_each_type_which_the_app_reads(kind: str, services: Services) -> None:
    done = run("--sample", kind, "--model", "churn:8", "--tag", "deploy=true", "--queue", "--json")
    assert done.exit_code == 0, done.output
    queue = json.loads(done.output)["to"].removeprefix("queue ")
    (sent,) = queued(services, queue)
    (event,) = parse_events(parse_envelope(sent))
    assert isinstance(event, Event)
    assert (event.type, event.workspace.id) == (kind, ID)
    if kind == "ModelRegistered":
        assert event.about == "churn:8"


def test_a_sample_of_an_alert_is_about_the_endpoint_that_was_named(services: Services) -> None:
    assert run("--sample", "AlertFired", "--endpoint", "fraud", "--queue").exit_code == 0
    (sent,) = queued(services)
    (event,) = parse_events(parse_envelope(sent))
    assert isinstance(event, AlertFired)
    assert event.alert.endpoint == "fraud"


def test_what_the_app_could_not_read_is_refused_but_for_a_wish(
    tmp_path: Path, services: Services
) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(json.loads(CLOUD.read_text()) | {"data": {}}), encoding="utf-8")
    done = run(str(path), "--queue")
    assert (done.exit_code, "--anyway" in done.output) == (1, True), done.output
    assert queued(services) == []
    assert run(str(path), "--queue", "--anyway").exit_code == 0
    assert len(queued(services)) == 1


def test_an_alert_is_put_into_the_queue_as_a_new_one(services: Services) -> None:
    path = EVENTS / "alert_fired.metric_resolved.json"
    assert run(str(path), "--queue").exit_code == 0
    (sent,) = queued(services)
    old, new = json.loads(path.read_text())["data"]["essentials"], sent["data"]["essentials"]
    assert new["alertId"] != old["alertId"]
    assert new["resolvedDateTime"] != old["resolvedDateTime"]
    assert "CloudEvent" not in run(str(path), "--topic", "https://topic.example").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((str(CLOUD),), "say where to"),
        ((str(CLOUD), "--queue", "--topic", "X"), "say where to"),
        (("--queue",), "say what to send"),
        (("--queue", "--sample", "Nothing"), "there are ModelRegistered, ModelDeployed"),
        (("--queue", "--sample", "ModelRegistered", "--model", "churn"), "takes NAME:VERSION"),
        (("--queue", "--sample", "ModelRegistered", "--tag", "x"), "takes NAME=VALUE"),
        (("--queue", "--sample", "RunCompleted", "--workspace", "x"), "it lists main"),
        ((str(CLOUD), "--topic", "http://topic.example/"), "takes an https:// endpoint"),
        ((str(CLOUD), "--topic", "NO_SUCH_SETTING"), "NO_SUCH_SETTING is not set"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_command_is_said(
    words: tuple[str, ...], said: str, services: Services
) -> None:
    done = run(*words)
    assert (done.exit_code, said in done.output) == (1, True), done.output
    assert queued(services) == []


def test_a_workspace_that_is_not_listed_is_said(services: Services) -> None:
    done = run(str(CLOUD), "--queue")
    assert "does not list workspace jenns-canary" in done.output
    assert len(queued(services)) == 1
