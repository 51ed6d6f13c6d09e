"""The sweep finds what was lost on the way: undelivered events, poison messages, lost ticks."""

import json

from sandbox.stack import DEAD_LETTER_CONTAINER
from shared.base.wakeups import GRACE
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.engine import advance
from shared.rollouts.state.phases import Phase
from tests.app.arm import Json
from tests.app.stage import EVENTS_QUEUE, Stage
from tests.unit.rollouts import change


def undelivered(stage: Stage) -> tuple[str, ...]:
    """Return the names of the blobs with events that Event Grid gave up."""
    return stage.blobs.names(DEAD_LETTER_CONTAINER)


def expect_live_after_sweep(stage: Stage, event: Json) -> None:
    """Sweep, and wait until the event's model is live and its event on record."""
    stage.stack.host.fire("sweep")
    stage.wait_live(event["data"]["modelName"])
    stage.wait_recorded(event, OutcomeStatus.DONE)


def test_an_event_that_event_grid_gave_up_is_read_from_its_dead_letter_blob(stage: Stage) -> None:
    stage.subscribe(max_delivery_attempts=1)
    try:
        with stage.storage_down("table"):
            event = stage.register("given-up")
            stage.wait_for("the dead letter", lambda: undelivered(stage))
    finally:
        stage.subscribe()
    (name,) = undelivered(stage)
    assert name.startswith("MODEL-REGISTERED-")
    blob = stage.blobs.get(DEAD_LETTER_CONTAINER, name)
    assert blob is not None
    (kept,) = json.loads(blob)
    assert (kept["id"], kept["deadLetterReason"]) == (event["id"], "MaxDeliveryAttemptsExceeded")
    assert stage.record(event) is None
    expect_live_after_sweep(stage, event)
    assert undelivered(stage) == ()


def test_a_dead_letter_blob_of_the_other_schema_is_read_as_well(stage: Stage) -> None:
    event = register_untold(stage, "given-up-2")
    written = {
        "specversion": "1.0",
        "id": event["id"],
        "source": event["topic"],
        "type": event["eventType"],
        "subject": event["subject"],
        "time": event["eventTime"],
        "data": event["data"],
        "deadletterreason": "MaxDeliveryAttemptsExceeded",
        "deliveryattempts": 30,
        "lastdeliveryoutcome": "Busy",
        "publishtime": event["eventTime"],
    }
    name = "MODEL-REGISTERED/2026/3/2/9/4b4cd8ac-0b4c-4f0e-8d5e-8c4d1d0b4c4f.json"
    stage.blobs.put(DEAD_LETTER_CONTAINER, name, json.dumps([written]).encode())
    expect_live_after_sweep(stage, event)
    assert undelivered(stage) == ()


def test_a_message_that_the_host_gave_up_is_read_from_the_poison_queue(stage: Stage) -> None:
    event = register_untold(stage, "poisonous")
    stage.enqueue(json.dumps(event), f"{EVENTS_QUEUE}-poison")
    expect_live_after_sweep(stage, event)
    assert stage.queues.receive(f"{EVENTS_QUEUE}-poison") == ()


def test_a_rollout_whose_tick_was_lost_goes_on(stage: Stage) -> None:
    # Of an operation that takes long, the app looks for the end after some seconds.
    rule = stage.control.provisioning(240, "deployment_create", endpoint="lost-tick")
    with stage.during(rule):
        event = stage.register("lost-tick")
        stage.wait_for("the deployment", lambda: stage.arm.deployments("lost-tick"))
        stage.stack.stop_host()
        stage.queue_service.get_queue_client(advance.QUEUE).clear_messages()
    (rollout,) = stage.rollouts("lost-tick")
    kept = stage.store.get(rollout.partition, rollout.id)
    assert kept is not None
    assert kept.value.phase is Phase.DEPLOYMENT
    overdue = rollout.schedule.due_at - 2 * GRACE
    stage.store.save(change(kept.value, due_at=overdue, busy_until=None), etag=kept.etag)
    stage.start_app()
    expect_live_after_sweep(stage, event)


def register_untold(stage: Stage, name: str) -> Json:
    """Register a model of which Event Grid tells nobody; return its event."""
    with stage.untold():
        return stage.register(name)
