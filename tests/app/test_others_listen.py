"""The real worker publishes on topics of the sandbox's Event Grid, as itself and with a key."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.event_grid import Schema, StorageQueue, Subscription
from sandbox.stack import Stack
from shared.base.clock import SystemClock
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from tests.app.stage import EVENTS_QUEUE, Stage, install_app

KEY = "c3dvcmRmaXNoLW9mLXRoZS10b3BpYw=="
REACTIONS = """
version: 1
workspaces: ["%SIGNALBOX_WORKSPACE%"]
channels: [team]
topics: [news]
reactions:
  - name: announce
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do:
      - publish:
          topic: news
          type: Contoso.ModelArrived
          data: {model: "${{ model.name }}"}
      - deploy:
          endpoint: ${{ model.name }}
          instance_type: Standard_DS3_v2
          keep_old: 1s
          notify: [team]
"""


def topics_of(stack: Stack) -> Mapping[str, str]:
    """Add the topics, the app's own queue among those that listen, and return their settings."""
    outcomes = stack.event_grid.add_topic("outcomes", schema=Schema.CLOUD_EVENTS)
    news = stack.event_grid.add_topic("news", schema=Schema.EVENT_GRID, key=KEY)
    queue = StorageQueue(stack.azurite.connection_string, EVENTS_QUEUE)
    stack.event_grid.subscribe(Subscription("own", "outcomes", queue, schema=Schema.CLOUD_EVENTS))
    return {
        "SIGNALBOX_OUTCOMES_TOPIC": "outcomes",
        "SIGNALBOX_TOPIC_OUTCOMES": outcomes.secure_endpoint,
        "SIGNALBOX_TOPIC_NEWS": news.secure_endpoint,
        "SIGNALBOX_TOPIC_NEWS_KEY": KEY,
        "SIGNALBOX_TOPIC_NEWS_SCHEMA": "EventGridSchema",
    }


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("listened")
    rules = folder / "reactions.yaml"
    rules.write_text(REACTIONS)
    app: Path = install_app(folder / "app", rules)
    with Stage(app, topics_of) as running:
        yield running


def published(stage: Stage, topic: str, kind: str = "") -> list[Mapping[str, Any]]:
    events = stage.stack.event_grid.published(topic)
    return [each.fields for each in events if each.type.endswith(kind)]


def test_a_model_goes_live_and_others_follow_it_although_the_topic_is_busy(stage: Stage) -> None:
    stage.stack.event_grid.refuse("outcomes", 429, times=2, after=1)
    stage.stack.event_grid.refuse("news", 503)
    stage.register("followed")
    stage.wait_ended("followed")

    def phases() -> list[str]:
        return [each["data"]["phase"] for each in published(stage, "outcomes", "PhaseChanged")]

    stage.wait_for("the last phase is published", lambda: "done" in phases())
    assert {"checking", "endpoint", "deployment", "probing", "live", "done"} <= {*phases()}

    def is_told() -> bool:
        # In any order: the one that tells of the failure may have been put off, and come later.
        told = [each["data"] for each in published(stage, "outcomes", "OutcomeRecorded")]
        done = {each["step"] for each in told if each["status"] == str(OutcomeStatus.DONE)}
        return "publish" in done

    stage.wait_for("the event of one's own is published, and that is told", is_told)
    (news,) = published(stage, "news")
    assert news["eventType"] == "Contoso.ModelArrived"
    assert news["data"] == {"model": "followed"}


def test_the_apps_own_queue_listens_by_mistake_and_nothing_goes_round(stage: Stage) -> None:
    since = SystemClock().now() - timedelta(hours=1)

    def unread() -> set[str]:
        found = {record.id for record in stage.records.find(since=since)}
        return {each["id"] for each in published(stage, "outcomes")} - found

    stage.wait_for("the app has recorded each of its own events", lambda: not unread())
    stage.stack.event_grid.wait_idle()
    assert unread() == set(), "their records are not announced"
    assert [*stage.dead_letters.all(LetterStatus.PARKED)] == []
    assert not any(KEY in line for line in stage.log)
