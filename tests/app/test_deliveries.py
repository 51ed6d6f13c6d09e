"""Event Grid delivers at least once, in no order, and sometimes not for a while: all the same."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import httpx

from sandbox.event_grid import Disorder
from shared.base.errors import ClaimHeld, StorageUnavailable
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from tests.app.arm import Json
from tests.app.stage import LEASE, Stage

CLOUD_EVENT = {"content-type": "application/cloudevents+json; charset=utf-8"}


def as_cloud_event(event: Json) -> Json:
    """Write an event of the Event Grid schema in the other one, as Event Grid does."""
    return {
        "specversion": "1.0",
        "id": event["id"],
        "source": event["topic"],
        "type": event["eventType"],
        "subject": event["subject"],
        "time": event["eventTime"],
        "data": event["data"],
    }


def expect_one_rollout(stage: Stage, event: Json, name: str) -> None:
    """Wait until the model is live, and check that it was put there once."""
    stage.wait_live(name)
    assert len(stage.rollouts(name)) == 1
    assert [write[0] for write in stage.writes(name)] == ["PUT", "PUT", "PUT"]
    stage.wait_recorded(event, OutcomeStatus.DONE)
    stage.wait_letters_closed(event)


def test_an_event_that_comes_again_on_every_way_is_acted_on_once(stage: Stage) -> None:
    event = stage.register("again")
    stage.wait_live("again")
    writes = stage.writes("again")
    for _ in range(5):
        assert stage.post([event]).status_code == 202
    assert stage.post(as_cloud_event(event), **CLOUD_EVENT).status_code == 202
    stage.enqueue(json.dumps(event))

    def deliveries() -> int:
        record = stage.record(event)
        return record.deliveries if record else 0

    stage.wait_for("the delivery through the queue", lambda: deliveries() == 8)
    assert stage.writes("again") == writes
    expect_one_rollout(stage, event, "again")
    assert stage.letters(event) == []


def test_of_simultaneous_deliveries_one_acts_and_the_others_close_their_letter(
    stage: Stage,
) -> None:
    start = Barrier(3)
    reading = "*/models/at-once/versions/*"

    def deliver(event: Json) -> httpx.Response:
        start.wait()
        return stage.post([event])

    # All three are in before the first of them has read the model.
    rule = stage.control.rule("latency", {}, seconds=0.7, path=reading, method="GET")
    with stage.untold():
        event = stage.register("at-once")
    with stage.during(rule), ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(deliver, [event] * 3))
    assert {answer.status_code for answer in answers} == {202}
    (letter,) = stage.letters(event)
    assert letter.code == ClaimHeld.code
    assert letter.due_at <= datetime.now(UTC) + LEASE
    expect_one_rollout(stage, event, "at-once")
    assert [letter.status for letter in stage.letters(event)] == [LetterStatus.CLOSED]


def test_event_grid_in_disorder_starts_one_rollout(stage: Stage) -> None:
    stage.stack.event_grid.set_disorder(Disorder(duplicate=4, reorder=0.3))
    try:
        event = stage.register("disorder")
    finally:
        stage.wait_for(
            "four copies", lambda: (record := stage.record(event)) and record.deliveries == 4
        )
        stage.stack.event_grid.set_disorder(Disorder())
    expect_one_rollout(stage, event, "disorder")


def statuses(stage: Stage, event: Json) -> list[int | None]:
    """Return what the app answered to each delivery of an event."""
    deliveries = stage.stack.event_grid.deliveries
    return [each.status for each in deliveries if each.event_id == event["id"]]


def expect_refusals(stage: Stage, event: Json) -> None:
    """Wait until the app has refused an event twice, and with nothing but 500s."""
    stage.wait_for("two refusals", lambda: len(statuses(stage, event)) >= 2)
    assert set(statuses(stage, event)) == {500}


def test_while_tables_are_down_the_trigger_fails_and_event_grid_comes_again(
    stage: Stage,
) -> None:
    with stage.storage_down("table"):
        event = stage.register("no-table")
        expect_refusals(stage, event)
        assert stage.post([event]).status_code == 500
        assert stage.writes("no-table") == []
    expect_one_rollout(stage, event, "no-table")
    assert stage.letters(event) == []


def test_while_queues_are_down_the_trigger_fails_and_the_letter_that_stays_is_swept_up(
    stage: Stage,
) -> None:
    with stage.storage_down("queue"):
        event = stage.register("no-queue")
        expect_refusals(stage, event)
        assert stage.writes("no-queue") == []
    stage.wait_live("no-queue")
    stage.wait_recorded(event, OutcomeStatus.DONE)
    # Its row was written and its message was not, so that nobody but the sweep knows of it.
    (letter,) = stage.open_letters(event)
    assert letter.code == StorageUnavailable.code
    stage.age(letter)
    stage.stack.host.fire("sweep")
    expect_one_rollout(stage, event, "no-queue")


def test_events_of_a_time_in_which_the_app_was_down_arrive_when_it_is_up(stage: Stage) -> None:
    stage.stack.stop_host()
    event = stage.register("while-down")
    stage.wait_for("two deliveries into nothing", lambda: len(statuses(stage, event)) >= 2)
    assert set(statuses(stage, event)) == {None}
    stage.start_app()
    expect_one_rollout(stage, event, "while-down")


def test_a_rollout_goes_on_where_it_was_when_the_app_comes_up_again(stage: Stage) -> None:
    rule = stage.control.provisioning(240, "deployment_create", endpoint="stopped")
    with stage.during(rule):
        event = stage.register("stopped")
        stage.wait_for("the deployment", lambda: stage.arm.deployments("stopped"))
        stage.stack.stop_host()
        stage.wait_for("its end", lambda: _state(stage) == "Succeeded")
    stage.start_app()
    expect_one_rollout(stage, event, "stopped")


def _state(stage: Stage) -> str:
    (deployment,) = stage.arm.deployments("stopped").values()
    state: str = deployment["properties"]["provisioningState"]
    return state
