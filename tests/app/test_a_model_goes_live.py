"""A tagged model that is registered goes live, whichever way its event comes."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import pytest

from demo.stage import FUNCTIONS
from sandbox.event_grid import Schema, StorageQueue
from shared.events.causes import TAG_DEPTH, TAG_REACTION
from shared.journal.outcomes import WHOLE, OutcomeStatus
from shared.rollouts.state.tags import TAG_MODEL, TAG_ROLLOUT, TAG_VERSION
from tests.app.arm import Json
from tests.app.stage import EVENTS_QUEUE, Stage

MODEL_REGISTERED = "Microsoft.MachineLearningServices.ModelRegistered"


def expect_live(stage: Stage, event: Json, name: str, version: str = "1") -> None:
    """Wait until the version serves, and check everything that is then to be seen of it."""
    rollout = stage.wait_live(name, version)
    assert stage.traffic(name) == {rollout.deployment: 100}
    (deployment,) = stage.arm.deployments(name).values()
    assert deployment["name"] == rollout.deployment
    assert deployment["properties"]["provisioningState"] == "Succeeded"
    assert deployment["properties"]["model"].endswith(f"/models/{name}/versions/{version}")
    tags = {TAG_MODEL: name, TAG_VERSION: version, TAG_ROLLOUT: rollout.id}
    cause = {TAG_REACTION: "deploy-tagged-models", TAG_DEPTH: "1"}
    assert deployment["tags"] == tags | cause
    assert stage.told(f"{name} {version}") == [
        f"{name} {version}: rollout started on {name}",
        f"{name} {version} is live on {name}",
    ]
    record = stage.wait_recorded(event, OutcomeStatus.DONE)
    assert record.outcomes["deploy-tagged-models/deploy"].rollout == rollout.id
    assert stage.letters(event) == []


@contextmanager
def subscribed(stage: Stage, schema: Schema, **changes: object) -> Iterator[None]:
    """Have registered models told by this subscription, instead of the usual one."""
    only = {MODEL_REGISTERED: FUNCTIONS[MODEL_REGISTERED]}
    with stage.untold():
        stage.stack.subscribe(only, schema, name="the-only-one", **changes)
        try:
            yield
        finally:
            stage.stack.event_grid.unsubscribe("the-only-one")


def test_an_event_in_the_event_grid_schema_puts_its_model_live(stage: Stage) -> None:
    event = stage.register("by-event-grid")
    expect_live(stage, event, "by-event-grid")


def test_a_model_that_is_tagged_after_its_event_goes_live(stage: Stage) -> None:
    with stage.untold():
        event = stage.register("tagged-later", "1", stage="test")
        tags = {"stage": "test", "deploy": "true"}
        stage.arm.put_model("tagged-later", "1", {"modelType": "mlflow_model", "tags": tags})
    stage.post([event])
    stage.wait_live("tagged-later")
    record = stage.wait_recorded(event, OutcomeStatus.DONE)
    told = record.outcomes[f"deploy-tagged-models/{WHOLE}"].detail
    assert told.startswith("set off by the tags deploy, stage, read from the workspace at ")


def test_an_event_in_the_cloud_events_schema_puts_its_model_live(stage: Stage) -> None:
    with subscribed(stage, Schema.CLOUD_EVENTS):
        event = stage.register("by-cloud-event")
        expect_live(stage, event, "by-cloud-event")


@pytest.mark.parametrize("schema", list(Schema))
def test_an_event_that_event_grid_puts_into_the_queue_puts_its_model_live(
    stage: Stage, schema: Schema
) -> None:
    name = f"by-queue-{schema}".lower().replace("_", "-")[:30]
    queue = StorageQueue(stage.stack.azurite.connection_string, EVENTS_QUEUE)
    with subscribed(stage, schema, destination=queue):
        event = stage.register(name)
        expect_live(stage, event, name)


#: The forms in which people and services write events into queues.
FORMS: dict[str, Callable[[Json], str]] = {
    "object": json.dumps,
    "array": lambda event: json.dumps([event]),
    "base64": lambda event: base64.b64encode(json.dumps([event]).encode()).decode(),
}


def test_an_event_is_read_from_the_queue_in_any_form(stage: Stage) -> None:
    with stage.untold():
        events = {form: stage.register(f"written-as-{form}") for form in FORMS}
    for form, write in FORMS.items():
        stage.enqueue(write(events[form]))
    for form, event in events.items():
        expect_live(stage, event, f"written-as-{form}")


@dataclass
class Observer:
    """A caller who goes on scoring, and looks at the endpoint as often, in a thread."""

    stage: Stage
    endpoint: str
    answers: list[tuple[int, str]] = field(default_factory=list)
    splits: list[dict[str, int]] = field(default_factory=list)
    #: Deployments that had traffic in spite of not being ready.
    premature: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Send one request, and read the split and the states of what is in it."""
        document = self.stage.arm.endpoint(self.endpoint)
        assert document is not None
        answer = self.stage.arm.score(document["properties"]["scoringUri"])
        self.answers.append((answer.status_code, answer.headers["azureml-model-deployment"]))
        shares = document["properties"]["traffic"]
        self.splits.append(shares)
        states = self.stage.arm.deployments(self.endpoint)
        for name in (name for name, share in shares.items() if share):
            if states[name]["properties"]["provisioningState"] != "Succeeded":
                self.premature.append(name)


@contextmanager
def observing(stage: Stage, endpoint: str) -> Iterator[Observer]:
    """Observe an endpoint in the block."""
    observer, is_over = Observer(stage, endpoint), Event()

    def observe() -> None:
        while not is_over.is_set():
            observer.look()

    thread = Thread(target=observe, name="observer")
    thread.start()
    try:
        yield observer
    finally:
        is_over.set()
        thread.join()


def test_a_second_version_takes_over_without_a_moment_in_which_nobody_serves(
    stage: Stage,
) -> None:
    stage.register("switch", "1")
    old = stage.wait_live("switch", "1").deployment
    with observing(stage, "switch") as observer:
        event = stage.register("switch", "2")
        new = stage.wait_live("switch", "2").deployment
    expect_live(stage, event, "switch", "2")
    assert {status for status, _ in observer.answers} == {200}
    servers = [name for _, name in observer.answers]
    assert servers == sorted(servers, key=[old, new].index), "first the old one, then the new one"
    assert {sum(split.values()) for split in observer.splits} == {100}
    assert {old, new} == {name for split in observer.splits for name in split if split[name]}
    assert observer.premature == []
    assert len(observer.answers) > 20
    assert [write[:2] for write in stage.writes("switch")[-3:]] == [
        ("PUT", f"/deployments/{new}"),
        ("PUT", ""),
        ("DELETE", f"/deployments/{old}"),
    ]
