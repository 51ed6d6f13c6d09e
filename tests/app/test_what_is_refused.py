"""Events that the app refuses are kept or recorded, with the reason; nothing is touched."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import pytest

from sandbox.stack import SYSTEM_TOPIC
from shared.base.errors import (
    EventMalformed,
    EventMisplaced,
    ModelUnfit,
    ParamsInvalid,
    TagForbidden,
    WorkspaceForeign,
)
from shared.events.model import UnknownEvent
from shared.journal.letters import CONTAINER, LetterStatus
from shared.journal.outcomes import WHOLE, OutcomeStatus, ref_of
from shared.journal.records import EventRecord
from tests.app.arm import Json
from tests.app.stage import DRIFT_QUEUE, EVENTS_QUEUE, Stage

#: Just below Event Grid's limit of a megabyte, with the envelope around it.
HUGE = {f"spec-{number}": "x" * 100_000 for number in range(10)} | {"name": "naïve 模型 🚦"}


@pytest.mark.parametrize(
    ("tag", "value", "code"),
    [
        ("signalbox_endpoint", "payments", TagForbidden.code),
        ("signalbox_endpoint", "../payments", TagForbidden.code),
        ("SIGNALBOX_ENDPOINT", "payments", TagForbidden.code),
        ("signalbox_instance_type", "Standard_ND96asr_v4", TagForbidden.code),
        ("signalbox_instance_count", "50", TagForbidden.code),
        ("signalbox_probe_request", "/etc/passwd", TagForbidden.code),
        ("signalbox_probe_request", "golden/../local.settings.json", ParamsInvalid.code),
        ("signalbox_probe_request", "golden/absent.json", ParamsInvalid.code),
    ],
)
def test_a_tag_that_asks_for_what_is_not_allowed_is_parked_and_nothing_is_created(
    stage: Stage, tag: str, value: str, code: str
) -> None:
    writes = len(_all_writes(stage))
    name = f"hostile-{crc32(f'{tag}={value}'.encode())}"
    event = stage.register(name, "1", deploy="true", **{tag: value})
    letter = stage.wait_letter(event, code)
    assert letter.status is LetterStatus.PARKED
    assert letter.reason
    stage.wait_recorded(event, OutcomeStatus.FAILED)
    assert stage.rollouts(name) == []
    assert _all_writes(stage) == _all_writes(stage)[:writes]
    assert stage.arm.endpoint(name) is None
    assert stage.arm.endpoint("payments") is None


def _all_writes(stage: Stage) -> list[str]:
    return [
        request["path"]
        for request in stage.control.requests()
        if request["method"] not in ("GET", "POST") and "/onlineEndpoints/" in request["path"]
    ]


def test_a_tag_chooses_what_is_allowed(stage: Stage) -> None:
    tags = {"signalbox_endpoint": "hostile-not", "signalbox_instance_type": "Standard_DS2_v2"}
    stage.register("choosy", "1", deploy="true", **tags)
    rollout = stage.wait_live("choosy")
    (deployment,) = stage.arm.deployments("hostile-not").values()
    assert deployment["properties"]["instanceType"] == "Standard_DS2_v2"
    assert stage.traffic("hostile-not") == {rollout.deployment: 100}


def test_a_megabyte_of_properties_is_kept_in_a_blob_to_the_last_character(stage: Stage) -> None:
    event = stage.register("huge-letter", "1", kind="custom_model", properties=HUGE)
    assert len(json.dumps([event])) > 1_000_000
    letter = stage.wait_letter(event, ModelUnfit.code)
    blob = stage.blobs.get(CONTAINER, letter.id)
    assert blob is not None
    kept = json.loads(blob)
    assert kept["data"] == event["data"]
    assert {name: kept[name] for name in ("id", "topic", "subject", "eventType")} == {
        name: event[name] for name in ("id", "topic", "subject", "eventType")
    }
    assert letter.body == blob.decode()


def test_a_megabyte_of_properties_is_matched_and_deployed(stage: Stage) -> None:
    event = stage.register("huge-model", "1", properties=HUGE)
    stage.wait_live("huge-model")
    stage.wait_recorded(event, OutcomeStatus.DONE)
    assert stage.letters(event) == []


def test_an_event_that_no_reaction_wants_is_recorded_with_what_each_of_them_wanted(
    stage: Stage,
) -> None:
    event = stage.register("unwanted", "1", properties=HUGE, stage="experiment")
    whole = f"deploy-tagged-models/{WHOLE}"
    for name in stage.wait_recorded(event, OutcomeStatus.SKIPPED, whole).outcomes:
        record = stage.wait_recorded(event, OutcomeStatus.SKIPPED, name)
    reason, _, read = record.outcomes[whole].detail.partition(": ")
    assert reason == "`is_true(model.tags.deploy)` is false"
    assert read.startswith("the tags stage, read from the workspace at ")
    assert stage.arm.endpoint("unwanted") is None


def model_registered(stage: Stage, event_id: str, **changes: Any) -> Json:
    """Return the event of a model that is not in the workspace."""
    return {
        "topic": stage.stack.workspace_id,
        "eventType": "Microsoft.MachineLearningServices.ModelRegistered",
        "subject": f"models/{event_id}:1",
        "eventTime": datetime.now(UTC).isoformat(),
        "id": event_id,
        "data": {"modelName": event_id, "modelVersion": "1", "modelTags": {"deploy": "true"}},
        "dataVersion": "2",
        **changes,
    }


def test_an_event_of_a_foreign_workspace_is_recorded_and_the_workspace_not_asked(
    stage: Stage,
) -> None:
    foreign = stage.stack.workspace_id.replace("resource-group", "their-group")
    event = model_registered(stage, "foreign", topic=foreign)
    stage.stack.event_grid.publish(SYSTEM_TOPIC, [event])
    record = stage.wait_recorded(event, OutcomeStatus.SKIPPED, WHOLE)
    assert record.outcomes[WHOLE].code == WorkspaceForeign.code
    assert not [r for r in stage.control.requests() if "foreign" in r["path"]]


def test_an_event_of_an_unknown_type_is_recorded(stage: Stage) -> None:
    event = model_registered(stage, "unknown", eventType="Microsoft.Storage.BlobCreated")
    assert stage.post([event]).status_code == 202
    record = stage.wait_recorded(event, OutcomeStatus.SKIPPED, WHOLE)
    assert record.outcomes[WHOLE].code == "event.unknown"


@pytest.mark.parametrize("size", [10, 40_000], ids=["short", "long"])
@pytest.mark.parametrize("way", ["function", "queue"])
def test_an_event_that_nothing_is_done_about_is_kept_as_it_arrived(
    stage: Stage, way: str, size: int
) -> None:
    name = f"kept-{way}-{size}"
    data = {"modelName": name, "modelVersion": "1", "modelTags": {"note": "x" * size}}
    event = model_registered(stage, name, data=data)
    if way == "function":
        assert stage.post([event]).status_code == 202
    else:
        stage.enqueue(json.dumps([event]))

    def delivered() -> EventRecord | None:
        # A letter's replay may be faster than the first delivery, and has no body to keep.
        record = stage.record(event)
        return record if record and record.deliveries else None

    record = stage.wait_for("the delivery to be on record", delivered)
    assert record.in_blob is (size > 10)
    kept = json.loads(stage.records.body_of(record))
    assert (kept["id"], kept["data"]) == (event["id"], event["data"])


@pytest.mark.parametrize("way", ["function", "queue"])
def test_a_model_that_a_topic_for_drift_tells_of_is_refused(stage: Stage, way: str) -> None:
    event = model_registered(stage, f"forged-{way}")
    if way == "function":
        assert stage.post([event], "dataset_drift_detected").status_code == 202
    else:
        stage.enqueue(json.dumps(event), DRIFT_QUEUE)
    unread = UnknownEvent(
        id=event["id"],
        type=event["eventType"],
        time=datetime.fromisoformat(event["eventTime"]),
        source=event["topic"],
    )
    record = stage.wait_for("the refusal", lambda: stage.records.get(ref_of(unread)))
    assert record.outcomes[WHOLE].code == EventMisplaced.code
    assert stage.record(event) is None
    assert not [r for r in stage.control.requests() if f"forged-{way}" in r["path"]]


def test_a_time_with_an_offset_is_as_it_was_sent_by_the_queue_only(stage: Stage) -> None:
    sent = "2026-11-28T10:00:00+02:00"
    seen = []
    for way in ("function", "queue"):
        name = f"offset-{way}"
        # A version that is none: the letter keeps the event as it came.
        data = {"modelName": name, "modelVersion": ["1"], "modelTags": {"when": sent}}
        text = json.dumps([model_registered(stage, name, data=data)])
        if way == "function":
            assert stage.post(json.loads(text)).status_code == 202
        else:
            stage.enqueue(text)
        letter = stage.wait_for("the letter", lambda name=name: bodies(stage, name))[0]
        seen.append(json.loads(letter)["data"]["modelTags"]["when"])
    assert seen == ["2026-11-28T08:00:00+00:00", sent]


def bodies(stage: Stage, text: str) -> list[str]:
    """Return the bodies of the malformed letters with a text in them."""
    letters = stage.dead_letters.all(LetterStatus.PARKED)
    return [letter.body for letter in letters if text in letter.body]


def test_the_event_of_a_model_that_is_gone_is_recorded_as_superseded(stage: Stage) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    event = model_registered(stage, "gone", eventTime=an_hour_ago.isoformat())
    stage.stack.event_grid.publish(SYSTEM_TOPIC, [event])
    record = stage.wait_recorded(event, OutcomeStatus.SKIPPED)
    assert record.outcomes["deploy-tagged-models/deploy"].code == "superseded"


def parked(stage: Stage, text: str) -> list[str]:
    """Return the reasons of the malformed letters with a text in their body."""
    return [
        letter.reason
        for letter in stage.dead_letters.all(LetterStatus.PARKED)
        if letter.code == EventMalformed.code and text in letter.body
    ]


def test_an_envelope_without_its_topic_is_parked_with_the_reason(stage: Stage) -> None:
    event = model_registered(stage, "topicless")
    del event["topic"]
    assert stage.post([event]).status_code == 202
    (reason,) = parked(stage, "topicless")
    assert "topic" in reason


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("this is no event", "this is no event"),
        ('{"half": "an eve', '{"half": "an eve'),
        ('{"id": "no-envelope"}', '{"id": "no-envelope"}'),
        ('[{"id": "1"}, "no object"]', '[{"id": "1"}, "no object"]'),
        ("[]", "[]"),
        ("WyBd", "[ ]"),  # base64, as Event Grid writes
    ],
)
def test_a_message_that_is_no_event_is_parked_with_the_reason_and_leaves_the_queue(
    stage: Stage, text: str, kept: str
) -> None:
    stage.enqueue(text)
    (reason,) = stage.wait_for("the letter", lambda: parked_exactly(stage, kept))
    assert reason
    queue = stage.queue_service.get_queue_client(EVENTS_QUEUE)
    stage.wait_for(
        "an empty queue", lambda: not queue.get_queue_properties().approximate_message_count
    )
    assert stage.queues.receive(f"{EVENTS_QUEUE}-poison") == ()


def parked_exactly(stage: Stage, body: str) -> list[str]:
    """Return the reasons of the malformed letters with this body, or envelope."""
    found = [body]
    if body.startswith("{") and body.endswith("}"):
        found.append(json.dumps(json.loads(body)))
    return [
        letter.reason
        for letter in stage.dead_letters.all(LetterStatus.PARKED)
        if letter.code == EventMalformed.code and letter.body in found
    ]
