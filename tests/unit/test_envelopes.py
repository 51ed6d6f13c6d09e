"""Each delivery of Event Grid becomes an event, or EventMalformed with the reason."""

import base64
import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.base.errors import EventMalformed
from shared.base.incoming import DEPTH_MAX
from shared.events.breaches import judge_metric
from shared.events.envelopes import (
    MAX_BODY,
    Envelope,
    parse_envelope,
    parse_events,
    parse_workspace,
    read_body,
)
from shared.events.model import (
    RUN_STATUSES,
    Drift,
    DriftDetected,
    DriftSource,
    DriftState,
    Event,
    EventType,
    Metric,
    Model,
    ModelDeployed,
    ModelRegistered,
    PlannedTime,
    Run,
    RunCompleted,
    RunStatusChanged,
    ScheduleDue,
    Service,
    UnknownEvent,
    Workspace,
    as_data,
)
from tests.searching import examples

#: Bodies that Event Grid was seen, or is documented, to deliver.
EVENTS = Path(__file__).parents[1] / "events"
PAYLOADS = sorted(path.stem for path in EVENTS.glob("*.json"))
SCHEMAS = {"event_grid": "EventGridSchema", "cloud_event": "CloudEventSchemaV1_0"}

CANARY = Workspace(
    subscription="a5fe3bc5-98f0-4c84-affc-a589f54d9b23",
    resource_group="jenns",
    name="jenns-canary",
)
EXPERIMENT = "0fa9dfaa-cba3-4fa7-b590-23e48548f5c1"
AUTOML = "AutoML_ad912b2d-6467-4f32-a616-dbe4af6dd8fc"
MONITOR = "01d29aa4-e6a4-470a-9ef3-66660d21f8ef"

EXPECTED: dict[str, Event] = {
    "schedule": ScheduleDue(
        id="0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        time=datetime(2026, 3, 2, 5, tzinfo=UTC),
        workspace=CANARY,
        schedule=PlannedTime(
            reaction="evaluate-weekly",
            cron="0 6 * * 1",
            time_zone="Europe/Berlin",
            planned_at=datetime(2026, 3, 2, 5, tzinfo=UTC),
            local_time="2026-03-02T06:00:00+01:00",
        ),
    ),
    "model_registered": ModelRegistered(
        id="3b73ee51-bbf4-480d-9112-cfc23b41bfdb",
        time=datetime(2019, 10, 17, 22, 23, 57, 535005, tzinfo=UTC),
        workspace=CANARY,
        model=Model(
            name="sklearn_regression_model",
            version="3",
            tags={"area": "diabetes", "type": "regression"},
            properties={"area": "test"},
        ),
    ),
    "model_deployed": ModelDeployed(
        id="40d0b167-be44-477b-9d23-a2befba7cde0",
        time=datetime(2019, 10, 23, 18, 20, 8, 882447, tzinfo=UTC),
        workspace=CANARY,
        service=Service(
            name="aciservice1",
            compute_type="ACI",
            models=("my_first_model:1", "my_second_model:1"),
            tags={"mytag": "test tag"},
            properties={"myprop": "test property"},
        ),
    ),
    "run_completed": RunCompleted(
        id="044ac44d-462c-4043-99eb-d9e01dc760ab",
        time=datetime(2019, 10, 18, 19, 29, 55, 885603, tzinfo=UTC),
        workspace=CANARY,
        run=Run(
            id=AUTOML,
            root_id=AUTOML,
            type="automl",
            status="Completed",
            experiment_id=EXPERIMENT,
            experiment_name="automl-local-regression",
            tags={
                "experiment_status": "ModelSelection",
                "experiment_status_descr": "Beginning model selection.",
            },
            properties={"num_iterations": "10", "target": "local"},
        ),
    ),
    "run_status_changed": RunStatusChanged(
        id="aa8cd7df-fe28-5d5d-9b40-3342dbc2a887",
        time=datetime(2020, 3, 9, 23, 53, 4, 457972, tzinfo=UTC),
        workspace=CANARY,
        run=Run(
            id=AUTOML,
            root_id=AUTOML,
            type="automl",
            status="Running",
            experiment_id=EXPERIMENT,
            experiment_name="automl-local-regression",
            tags={"experiment_status": "ModelSelection"},
            properties={"num_iterations": "10", "target": "local"},
        ),
    ),
    "dataset_drift_detected": DriftDetected(
        id=f"{MONITOR}_1571590300380",
        time=datetime(2019, 10, 20, 17, 8, 8, 467191, tzinfo=UTC),
        workspace=Workspace(
            subscription="60582a10-b9fd-49f1-a546-c4194134bba8",
            resource_group="copetersRG",
            name="driftDemoWS",
        ),
        drift=Drift(
            monitor="copetersDriftMonitor3",
            signal="data_drift",
            state=DriftState.BREACH,
            source=DriftSource.DATASET_MONITOR,
            window=f"{MONITOR}_1571590300380",
            window_start=datetime(2019, 7, 4, tzinfo=UTC),
            window_end=datetime(2019, 7, 5, tzinfo=UTC),
            run_id=f"{MONITOR}_1571590300380",
            metrics=(Metric(name="drift_coefficient", value=0.8350349068479208),),
            baseline="3c56d136-0f64-4657-a0e8-5162089a88a3",
            target="d7e74d2e-c972-4266-b5fb-6c9c182d2a74",
        ),
    ),
    "drift_detected": DriftDetected(
        id="churn-2026-05-13-prediction_drift",
        time=datetime(2026, 5, 14, 5, tzinfo=UTC),
        workspace=Workspace(
            subscription="7f1c2d3e-4b5a-4c6d-8e9f-0a1b2c3d4e5f",
            resource_group="rg-ml-platform",
            name="mlw-platform",
        ),
        drift=Drift(
            monitor="churn",
            signal="prediction_drift",
            state=DriftState.BREACH,
            source=DriftSource.CUSTOM,
            window="2026-05-13",
            window_start=datetime(2026, 5, 13, tzinfo=UTC),
            window_end=datetime(2026, 5, 14, tzinfo=UTC),
            metrics=(
                judge_metric("psi", 0.31, 0.2, "age"),
                judge_metric("accuracy", 0.81, 0.85),
                judge_metric("my_score", 2, 4, worse="lower"),
            ),
            features=("age",),
            detail="weekly check of the scoring table",
        ),
    ),
}


def body_of(name: str) -> bytes:
    return (EVENTS / f"{name}.json").read_bytes()


def raw_of(name: str) -> dict[str, Any]:
    return read_body(body_of(name))[0]


def event_of(raw: dict[str, Any]) -> Any:
    """The event that arrived, without what it tells of besides."""
    return parse_events(parse_envelope(raw))[0]


def with_data(name: str, **changes: object) -> dict[str, Any]:
    """The Event Grid payload `name` with members of its data changed; ... removes one."""
    raw = raw_of(f"{name}.event_grid")
    raw["data"] = {key: v for key, v in (raw["data"] | changes).items() if v is not ...}
    return raw


def with_top(name: str, **changes: object) -> dict[str, Any]:
    """The payload `name` with members of its envelope changed; ... removes one."""
    return {key: v for key, v in (raw_of(name) | changes).items() if v is not ...}


# Real payloads


def test_every_event_type_of_event_grid_has_a_payload_in_both_schemas() -> None:
    types = {event.type for event in EXPECTED.values()}
    assert types == set(EventType) - {EventType.ALERT_FIRED}
    assert {f"{name}.{schema}" for name in EXPECTED for schema in SCHEMAS} <= set(PAYLOADS)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_payload_becomes_its_event(name: str, schema: str) -> None:
    envelope = parse_envelope(raw_of(f"{name}.{schema}"))
    (event,) = parse_events(envelope)
    assert envelope.schema == SCHEMAS[schema]
    assert isinstance(event, Event)
    assert type(event) is type(EXPECTED[name])
    assert event == EXPECTED[name]
    assert event.key == EXPECTED[name].key


@pytest.mark.parametrize("name", PAYLOADS)
def test_an_envelope_that_was_kept_reads_the_same_again(name: str) -> None:
    for raw in read_body(body_of(name)):
        envelope = parse_envelope(raw)
        assert envelope.raw == raw
        assert parse_envelope(json.loads(json.dumps(envelope.raw))) == envelope


def test_the_envelope_tells_what_both_schemas_say() -> None:
    raw = raw_of("unknown_type")
    assert parse_envelope(raw) == Envelope(
        schema="EventGridSchema",
        id="9a1f7c8e-32a5-4a0b-8e6d-5d3f0e7b1c42",
        type="Microsoft.MachineLearningServices.EndpointRetired",
        source=raw["topic"],
        subject="endpoints/fraud",
        time=datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        data={"endpointName": "fraud"},
        raw=raw,
    )


def test_a_type_that_nobody_knows_is_an_unknown_event() -> None:
    raw = raw_of("unknown_type")
    assert event_of(raw) == UnknownEvent(
        id=raw["id"],
        type=raw["eventType"],
        time=datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        source=raw["topic"],
    )


@pytest.mark.parametrize("name", ["pascal_case", "integer_version"])
def test_an_integer_version_becomes_a_string(name: str) -> None:
    raw = raw_of(f"model_registered.{name}")
    version = raw["data"].get("modelVersion", raw["data"].get("ModelVersion"))
    assert isinstance(version, int)
    assert event_of(raw).model.version == str(version)


def test_a_run_without_a_type_has_an_empty_one() -> None:
    run = event_of(raw_of("run_completed.null_run_type")).run
    assert (run.type, run.status, run.tags) == ("", "Completed", {})
    pipeline = json.loads(run.properties["pipeline_spec"])
    assert pipeline["objects"][0]["class_name"] == "StandardScaler"


@pytest.mark.parametrize("name", ["lower_case_status", "status_beside_data"])
def test_a_failed_run_is_told_in_the_known_casing(name: str) -> None:
    event = event_of(raw_of(f"run_status_changed.{name}"))
    assert event.run.status == "Failed"
    assert event.about == f"{AUTOML}_5:Failed"


def test_the_breach_of_a_model_monitor_keeps_its_tag_to_the_letter() -> None:
    raw = raw_of("run_status_changed.monitor_breach")
    event = event_of(raw)
    assert event.run.status == "Completed"
    assert event.run.tags == raw["data"]["runTags"]
    assert event.run.tags["azureml_modelmonitor_threshold_breached"].startswith(
        "The signal 'credit_card_fraud_monitor_data_drift' has failed due to"
    )


@pytest.mark.parametrize("schema", SCHEMAS)
def test_event_grids_own_dead_letters_are_the_events_that_they_were(schema: str) -> None:
    first = read_body(body_of(f"dead_letters.{schema}"))[0]
    assert event_of(first) == EXPECTED["model_registered"]


def test_a_body_may_hold_several_events() -> None:
    events = [event_of(raw) for raw in read_body(body_of("dead_letters.event_grid"))]
    assert events == [EXPECTED["model_registered"], EXPECTED["run_status_changed"]]


# Bodies


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda text: text, id="an object"),
        pytest.param(lambda text: f"[{text}]", id="an array of one"),
        pytest.param(lambda text: text.encode(), id="bytes"),
        pytest.param(lambda text: f"\ufeff{text}", id="a byte order mark"),
        pytest.param(lambda text: f"\ufeff{text}".encode(), id="a byte order mark in bytes"),
        pytest.param(lambda text: f"\r\n {text} \n", id="space around it"),
        pytest.param(lambda text: base64.b64encode(text.encode()), id="base64"),
        pytest.param(lambda text: base64.b64encode(text.encode()).decode(), id="base64 text"),
        pytest.param(lambda text: base64.encodebytes(text.encode()), id="base64 in lines"),
        pytest.param(
            lambda text: base64.b64encode(f"\ufeff {text}".encode()), id="base64 of a mark"
        ),
    ],
)
def test_a_body_is_read_however_it_is_wrapped(wrap: Callable[[str], Any]) -> None:
    raw = {"id": "7", "data": {"name": "größe" * 20}}
    assert read_body(wrap(json.dumps(raw, ensure_ascii=False))) == (raw,)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("", "the body is empty", id="nothing"),
        pytest.param(b" \n", "the body is empty", id="space"),
        pytest.param("\ufeff", "the body is empty", id="a byte order mark alone"),
        pytest.param("[]", "the body is an empty array", id="an empty array"),
        pytest.param("<run/>", "neither JSON nor base64", id="XML"),
        pytest.param("{'id': 1}", "not JSON: .*line 1, column 2", id="Python"),
        pytest.param('{"id": 1', "not JSON", id="cut off"),
        pytest.param('{"id": NaN}', "a number that is too large or none", id="NaN"),
        pytest.param('{"id": 1e999}', "a number that is too large or none", id="infinity"),
        pytest.param('{"id": ' + "9" * 5000 + "}", "a number", id="an endless integer"),
        pytest.param('[{"id": 1}, 5]', "item 2 of the body is not an object", id="a number"),
        pytest.param(base64.b64encode(b'"a"'), "item 1 of the body", id="a string"),
        pytest.param(b"{\xff\xfe}", "not UTF-8", id="no UTF-8"),
        pytest.param(base64.b64encode(b"\xff\xfe"), "not UTF-8", id="base64 of no UTF-8"),
        pytest.param('{"id": "\ud800"}', "not UTF-8", id="half a character"),
        pytest.param("[" * 100_000, "deeper than 64", id="an abyss"),
        pytest.param("[" * 65 + "]" * 65, "deeper than 64", id="a level too deep"),
        pytest.param("{" + " " * MAX_BODY + "}", "larger than 1,048,576 bytes", id="large"),
        pytest.param(
            base64.b64encode(b"{" + b" " * MAX_BODY + b"}"), "larger than", id="large in base64"
        ),
    ],
)
def test_what_holds_no_events_is_refused_with_the_reason(body: str | bytes, reason: str) -> None:
    with pytest.raises(EventMalformed, match=reason):
        read_body(body)


def test_a_body_may_be_as_large_as_the_limit() -> None:
    body = '{"id":"7"}'
    assert read_body(body, limit=len(body)) == ({"id": "7"},)
    with pytest.raises(EventMalformed, match="larger than 9 bytes"):
        read_body(body, limit=len(body) - 1)


def test_a_body_may_be_as_deep_as_the_limit() -> None:
    body = '{"b":[],"a":' * (DEPTH_MAX - 1) + '{"a":1}' + "}" * (DEPTH_MAX - 1)
    assert read_body(body) == (json.loads(body),)
    with pytest.raises(EventMalformed, match="deeper than 64"):
        read_body(f'{{"a":{body}}}')


def test_brackets_in_strings_are_not_depth() -> None:
    raw = {"id": "[" * 1000, "data": [{}] * 1000}
    assert read_body(json.dumps(raw)) == (raw,)


# Envelopes


def test_keys_are_found_in_any_casing() -> None:
    for name in ("model_registered.event_grid", "model_registered.cloud_event"):
        raw = raw_of(name)
        for change in (str.upper, str.lower, str.title):
            assert (
                event_of({change(key): value for key, value in raw.items()})
                == (EXPECTED["model_registered"])
            )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2019-10-17T22:23:57.5350054+00:00", "2019-10-17T22:23:57.535005+00:00"),
        ("2020-03-09T23:53:04.4579724Z", "2020-03-09T23:53:04.457972+00:00"),
        ("2020-03-09T23:53:04Z", "2020-03-09T23:53:04+00:00"),
        ("2020-03-09t23:53:04z", "2020-03-09T23:53:04+00:00"),
        ("2020-03-10T01:53:04+02:00", "2020-03-09T23:53:04+00:00"),
        ("2020-03-09T23:53:04", "2020-03-09T23:53:04+00:00"),
    ],
)
def test_a_time_is_aware_and_in_utc(told: str, expected: str) -> None:
    envelope = parse_envelope(with_top("unknown_type", eventTime=told))
    assert envelope.time == datetime.fromisoformat(expected)
    assert envelope.time.tzinfo is UTC


@pytest.mark.parametrize(("told", "expected"), [(7, "7"), (7.0, "7"), ("7", "7")])
def test_an_id_may_be_a_number(told: object, expected: str) -> None:
    assert parse_envelope(with_top("unknown_type", id=told)).id == expected


@pytest.mark.parametrize("data", [None, ..., "text", 5, [], "[1]", '{"a": NaN}', "[" * 99_999])
def test_data_that_is_no_object_is_none(data: object) -> None:
    envelope = parse_envelope(with_top("unknown_type", data=data))
    assert envelope.data == {}
    assert isinstance(parse_events(envelope)[0], UnknownEvent)


def test_data_may_be_an_object_in_a_string() -> None:
    raw = raw_of("model_registered.event_grid")
    raw["data"] = json.dumps(raw["data"])
    assert event_of(raw) == EXPECTED["model_registered"]


def test_half_a_character_is_replaced_by_what_can_be_stored() -> None:
    tags = {"a\ud800": '\udfff"}', "b": "\ud83d\ude00", "ß": "\U0001f600"}
    raw = json.loads(json.dumps(with_data("model_registered", modelTags=tags)))
    expected = {"a\ufffd": '\ufffd"}', "b": "\U0001f600", "ß": "\U0001f600"}
    envelope = parse_envelope(raw)
    assert json.dumps(envelope.raw, ensure_ascii=False).encode()
    (event,) = parse_events(envelope)
    assert isinstance(event, ModelRegistered)
    assert event.model.tags == expected
    raw["data"] = json.dumps(raw["data"])
    assert event_of(raw) == event


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": ...}, "has no id; it has topic, eventType, subject, eventTime"),
        (
            {"id": None, "topic": ...},
            "has no id, topic; it has eventType, subject, eventTime, data",
        ),
        ({"eventType": ...}, "has no eventType"),
        ({"eventTime": ...}, "has no eventTime"),
        ({"id": ""}, "id is empty"),
        ({"id": " "}, "id is empty"),
        ({"id": True}, "id is not a string"),
        ({"id": 1.5}, "id is not a string"),
        ({"id": {}}, "id is not a string"),
        ({"id": "x" * 257}, "id has 257 characters; 256 are allowed"),
        ({"id": "a\nb"}, "id holds a character that can't be printed"),
        ({"id": "a\x00"}, "id holds a character"),
        ({"id": "a\x9b"}, "id holds a character"),
        ({"id": "\u202eid"}, "id holds a character"),
        ({"id": "a\ud800"}, "id holds a character"),
        ({"eventType": 5}, "eventType is not a string"),
        ({"eventType": "x" * 257}, "eventType has 257"),
        ({"eventType": "x\r"}, "eventType holds a character"),
        ({"topic": ["/"]}, "topic is not a string"),
        ({"topic": "/" * 1001}, "topic has 1,001"),
        ({"topic": "/\t"}, "topic holds a character"),
        ({"subject": 5}, "subject is not a string"),
        ({"subject": "/" * 2001}, "subject has 2,001"),
        ({"eventTime": 5}, "eventTime is not a string"),
        ({"eventTime": "yesterday"}, "eventTime is not a time"),
        ({"eventTime": "2020-13-01T00:00:00Z"}, "eventTime is not a time"),
        ({"eventTime": "2020-01-01T00:00:00+25:00"}, "eventTime is not a time"),
        ({"eventTime": "0001-01-01T00:00:00+10:00"}, "eventTime is not a time"),
        ({"eventTime": "9999-12-31T23:59:59-10:00"}, "eventTime is not a time"),
        ({"eventTime": "0001-01-01T00:00:00Z"}, "eventTime is before 1601"),
        ({"data": float("nan")}, "holds what JSON can't"),
        ({"data": {1, 2}}, "holds what JSON can't"),
        ({"data": 10**5000}, "holds what JSON can't"),
        ({"specversion": "0.3"}, "CloudEvents other than 1.0"),
        ({"specversion": 1}, "CloudEvents other than 1.0"),
        ({"specversion": "1.0"}, "has no type, source, time; it has topic, eventType"),
    ],
)
def test_an_unusable_envelope_is_refused_with_the_reason(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(EventMalformed, match=reason):
        parse_envelope(with_top("unknown_type", **changes))


@pytest.mark.parametrize("raw", [None, 5, "text", [], [{}]])
def test_what_is_no_object_is_no_envelope(raw: Any) -> None:
    with pytest.raises(EventMalformed, match="not an object"):
        parse_envelope(raw)


@pytest.mark.parametrize("depth", [DEPTH_MAX + 1, 5_000, 100_000])
def test_an_abyss_is_no_envelope(depth: int) -> None:
    abyss: list[object] = []
    for _ in range(depth):
        abyss = [abyss]
    with pytest.raises(EventMalformed):
        parse_envelope(with_top("unknown_type", data=abyss))


def test_what_was_there_is_listed_printably_and_in_short() -> None:
    raw = {"\x1b[2J" + "k" * 100: 1} | {f"key{number}": 1 for number in range(50)}
    with pytest.raises(EventMalformed, match="and 39 more") as caught:
        parse_envelope(raw)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


# Sources


@pytest.mark.parametrize(
    "change",
    [str, str.lower, str.upper, lambda source: f"{source}/", lambda source: source[1:]],
)
def test_a_workspace_is_one_in_every_spelling(change: Callable[[str], str]) -> None:
    assert parse_workspace(change(CANARY.id)).key == CANARY.key
    spelled = with_top("model_registered.event_grid", topic=change(CANARY.id))
    assert event_of(spelled).key == EXPECTED["model_registered"].key


def test_names_keep_the_casing_in_which_they_arrived() -> None:
    source = (
        "/SUBSCRIPTIONS/aB/resourcegroups/rG.(1)"
        "/PROVIDERS/microsoft.MachineLearningServices/WORKSPACES/mL_1"
    )
    expected = Workspace(subscription="aB", resource_group="rG.(1)", name="mL_1")
    assert parse_workspace(source) == expected


def test_a_resource_group_may_have_letters_of_any_script() -> None:
    assert parse_workspace(CANARY.id.replace("jenns/", "größe/")).resource_group == "größe"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "/",
        "/subscriptions/s",
        CANARY.id.replace("/resourceGroups/jenns", ""),
        CANARY.id.replace("MachineLearningServices", "Storage"),
        CANARY.id.replace("workspaces", "registries"),
        CANARY.id.replace("jenns-canary", ""),
        CANARY.id.replace("jenns-canary", ".."),
        CANARY.id.replace("jenns-canary", "a b"),
        CANARY.id.replace("jenns-canary", "\u212a"),  # a sign that lower() makes a plain k
        CANARY.id.replace("jenns-canary", "ws?x=1"),
        f"{CANARY.id}/onlineEndpoints/fraud",
        f"https://management.azure.com{CANARY.id}",
    ],
)
def test_what_is_no_workspace_is_refused(source: str) -> None:
    with pytest.raises(EventMalformed, match="not the ARM id of a workspace"):
        parse_workspace(source)
    if source:
        with pytest.raises(EventMalformed):
            event_of(with_top("model_registered.event_grid", topic=source))


# Events


@pytest.mark.parametrize("change", [str, str.lower, str.upper, str.swapcase])
@pytest.mark.parametrize("name", EXPECTED)
def test_casing_changes_nothing(name: str, change: Callable[[str], str]) -> None:
    raw = raw_of(f"{name}.event_grid")
    raw["eventType"] = change(raw["eventType"])
    raw["data"] = {change(key): value for key, value in raw["data"].items()}
    event = event_of(raw)
    assert event == EXPECTED[name]
    assert event.key == EXPECTED[name].key


@pytest.mark.parametrize(
    "type_",
    [
        "Microsoft.Storage.BlobCreated",
        "Microsoft.EventGrid.SubscriptionValidationEvent",
        "Microsoft.MachineLearningServices.",
        "Microsoft.MachineLearningServices.ModelRegistered2",
        "Contoso.MachineLearningServices.ModelRegistered",
        "ModelRegistered",
        "DriftDetected",
        "Microsoft.MachineLearningServices.DriftDetected",
        "Signalbox.DatasetDriftDetected",
    ],
)
def test_another_type_or_prefix_is_unknown(type_: str) -> None:
    raw = with_top("model_registered.event_grid", eventType=type_, topic="/anything")
    event = event_of(raw)
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.source) == (type_, "/anything")


def test_one_id_with_two_models_makes_two_events() -> None:
    keys = {
        event_of(with_data("model_registered", modelName=name, modelVersion=version)).key
        for name, version in [("a", "1"), ("a", "2"), ("b", "1"), ("a-1", "1")]
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("told", "expected"),
    [(20, "20"), (20.0, "20"), ("20", "20"), (0, "0"), ("2024.05-rc1", "2024.05-rc1")],
)
def test_a_version_is_a_string(told: object, expected: str) -> None:
    assert event_of(with_data("model_registered", modelVersion=told)).model.version == expected


def test_values_of_tags_are_strings_and_keys_stay_as_they_are() -> None:
    told = {
        "Text": "As Is ",
        "yes": True,
        "no": False,
        "": None,
        "count": 20,
        "share": 0.5,
        "whole": 1.0,
        "ünï\ncode": "line\nbreak",
        "nested": {"a": [1, "ß", None]},
    }
    expected = {
        "Text": "As Is ",
        "yes": "true",
        "no": "false",
        "": "",
        "count": "20",
        "share": "0.5",
        "whole": "1.0",
        "ünï\ncode": "line\nbreak",
        "nested": '{"a":[1,"ß",null]}',
    }
    model = event_of(with_data("model_registered", modelTags=told, modelProperties=told)).model
    assert model.tags == expected
    assert model.properties == expected


@pytest.mark.parametrize("told", [None, ..., {}])
@pytest.mark.parametrize(
    ("name", "part", "prefix"),
    [
        ("model_registered", "model", "model"),
        ("model_deployed", "service", "service"),
        ("run_status_changed", "run", "run"),
    ],
)
def test_absent_tags_are_none(name: str, part: str, prefix: str, told: object) -> None:
    event = event_of(with_data(name, **{f"{prefix}Tags": told, f"{prefix}Properties": told}))
    assert getattr(event, part).tags == {}
    assert getattr(event, part).properties == {}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("a:1,b:2", ("a:1", "b:2")),
        (" a:1 ,, b:2,", ("a:1", "b:2")),
        ("a:1", ("a:1",)),
        ("", ()),
        (None, ()),
        (..., ()),
    ],
)
def test_the_models_of_a_service_are_told_one_by_one(
    told: object, expected: tuple[str, ...]
) -> None:
    assert event_of(with_data("model_deployed", modelIds=told)).service.models == expected


@pytest.mark.parametrize("status", RUN_STATUSES)
def test_a_known_status_is_told_in_one_casing(status: str) -> None:
    for told in (status, status.lower(), status.upper()):
        assert event_of(with_data("run_status_changed", runStatus=told)).run.status == status


def test_an_unknown_status_stays_as_it_arrived() -> None:
    event = event_of(with_data("run_status_changed", runStatus="pAused2"))
    assert event.run.status == "pAused2"


def test_the_status_in_the_data_wins_over_the_one_beside_it() -> None:
    raw = with_data("run_status_changed") | {"runStatus": "failed"}
    assert event_of(raw).run.status == "Running"


@pytest.mark.parametrize(
    ("told", "expected"), [(0.5, 0.5), (1, 1.0), (0, 0.0), ("0.5", 0.5), ("1e-3", 0.001)]
)
def test_a_drift_coefficient_is_a_number(told: object, expected: float) -> None:
    event = event_of(with_data("dataset_drift_detected", driftCoefficient=told))
    assert [metric.value for metric in event.drift.metrics] == [expected]


@pytest.mark.parametrize("told", [None, ..., ""])
def test_the_window_of_a_drift_may_be_absent(told: object) -> None:
    drift = event_of(with_data("dataset_drift_detected", startTime=told, endTime=told)).drift
    assert (drift.window_start, drift.window_end) == (None, None)


def test_unknown_members_are_ignored() -> None:
    raw = with_data("model_registered", modelFlavour="vanilla") | {"region": "westeurope"}
    assert event_of(raw) == EXPECTED["model_registered"]


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("model_registered", {"modelName": ...}, "ModelRegistered has no modelName; it has mo"),
        ("model_registered", {"modelName": None}, "has no modelName"),
        ("model_registered", {"modelName": ""}, "modelName is empty"),
        ("model_registered", {"modelName": 5}, "modelName is not a string"),
        ("model_registered", {"modelName": "../a"}, "modelName holds a '/'"),
        ("model_registered", {"modelName": "a:1"}, "modelName holds a ':'"),
        ("model_registered", {"modelName": "a\nb"}, "modelName holds a character"),
        ("model_registered", {"modelName": "a\ud800"}, "modelName holds a character"),
        ("model_registered", {"modelName": "m" * 256}, "modelName has 256 characters"),
        ("model_registered", {"modelVersion": ...}, "has no modelVersion"),
        ("model_registered", {"modelVersion": True}, "modelVersion is not a string"),
        ("model_registered", {"modelVersion": 1.5}, "modelVersion is not a string"),
        ("model_registered", {"modelVersion": [1]}, "modelVersion is not a string"),
        ("model_registered", {"modelVersion": 1e300}, "modelVersion has 301 characters"),
        ("model_registered", {"modelVersion": "1/2"}, "modelVersion holds a '/'"),
        ("model_registered", {"modelTags": []}, "modelTags is not an object"),
        ("model_registered", {"modelTags": "a=b"}, "modelTags is not an object"),
        ("model_registered", {"modelProperties": 5}, "modelProperties is not an object"),
        ("model_deployed", {"serviceName": ...}, "has no serviceName"),
        ("model_deployed", {"serviceName": "a\tb"}, "serviceName holds a character"),
        ("model_deployed", {"serviceComputeType": 5}, "serviceComputeType is not a string"),
        ("model_deployed", {"modelIds": ["a:1"]}, "modelIds is not a string"),
        ("model_deployed", {"modelIds": "a\x00:1"}, "modelIds holds a character"),
        ("run_completed", {"runId": ...}, "RunCompleted has no runId"),
        ("run_completed", {"runId": "a/b"}, "runId holds a '/'"),
        ("run_completed", {"runType": {}}, "runType is not a string"),
        ("run_completed", {"experimentName": "a\x1b"}, "experimentName holds a character"),
        ("run_status_changed", {"runStatus": ...}, "RunStatusChanged has no runStatus"),
        ("run_status_changed", {"runStatus": 5}, "runStatus is not a string"),
        ("run_status_changed", {"runStatus": ""}, "runStatus is empty"),
        ("run_status_changed", {"runStatus": "a:b"}, "runStatus holds a ':'"),
        (
            "dataset_drift_detected",
            {"dataDriftId": ..., "dataDriftName": ...},
            "has no dataDriftId",
        ),
        ("dataset_drift_detected", {"runId": "a/b"}, "runId holds a '/'"),
        ("dataset_drift_detected", {"driftCoefficient": ...}, "has no driftCoefficient"),
        ("dataset_drift_detected", {"driftCoefficient": True}, "not a finite number"),
        ("dataset_drift_detected", {"driftCoefficient": "nan"}, "not a finite number"),
        ("dataset_drift_detected", {"driftCoefficient": "-inf"}, "not a finite number"),
        ("dataset_drift_detected", {"driftCoefficient": "much"}, "not a finite number"),
        ("dataset_drift_detected", {"driftCoefficient": []}, "not a finite number"),
        ("dataset_drift_detected", {"driftCoefficient": 10**400}, "number that is too large"),
        ("dataset_drift_detected", {"startTime": "soon"}, "startTime is not a time"),
        ("dataset_drift_detected", {"endTime": 5}, "endTime is not a string"),
    ],
)
def test_unusable_data_is_refused_with_the_reason(
    name: str, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(EventMalformed, match=reason):
        event_of(with_data(name, **changes))


@pytest.mark.parametrize("data", [None, ..., {}, [], "text", 5])
def test_an_event_without_data_is_refused(data: object) -> None:
    raw = with_top("model_registered.event_grid", data=data)
    with pytest.raises(EventMalformed, match="ModelRegistered whose data is no object"):
        event_of(raw)


@pytest.mark.parametrize("member", ["modelName", "modelVersion", "modelTags"])
def test_no_reason_repeats_a_value(member: str) -> None:
    secret = ["hunter2" * 50] if member == "modelTags" else "/hunter2" * 50
    with pytest.raises(EventMalformed) as caught:
        event_of(with_data("model_registered", **{member: secret}))
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("half", [{}, {"half": "\ud800"}], ids=["whole", "half-a-character"])
def test_a_number_that_no_float_holds_is_refused_by_each_way(half: dict[str, str]) -> None:
    raw = with_data("model_registered", modelProperties={"rows": 10**400, **half})
    with pytest.raises(EventMalformed, match="a number that is too large"):
        parse_envelope(raw)
    with pytest.raises(EventMalformed, match="a number that is too large"):
        read_body(json.dumps(raw))


def test_a_megabyte_is_read_to_the_last_property() -> None:
    properties = {f"property_{number}": "x" * 40 for number in range(16_000)}
    body = json.dumps(with_data("run_completed", runProperties=properties))
    assert 0.9 * MAX_BODY < len(body) < MAX_BODY
    assert event_of(read_body(body)[0]).run.properties == properties


TEXT = st.text(st.characters() | st.sampled_from("\ud800\udfff\x00\n\x1b\u202e/:[{"), max_size=12)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(2**63)])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text("aB1:/.-_ \u202e\ud800", min_size=1, max_size=9)
BODIES = JSON.map(json.dumps)
MEMBERS = sorted(
    {key for name in PAYLOADS for raw in read_body(body_of(name)) for key in raw}
    | {key for name in PAYLOADS for raw in read_body(body_of(name)) for key in raw.get("data", {})}
)


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """A real payload with something else in one to three of its places."""
    raw: dict[str, Any] = copy.deepcopy(raw_of(draw(st.sampled_from(PAYLOADS))))
    for _ in range(draw(st.integers(1, 3))):
        target = raw
        while draw(st.booleans()) and (
            inner := [value for value in target.values() if isinstance(value, dict) and value]
        ):
            target = draw(st.sampled_from(inner))
        key = draw(st.sampled_from(sorted(target, key=str)) | st.sampled_from(MEMBERS) | TEXT)
        target[key] = draw(JSON)
    return raw


def is_sound(event: Event | UnknownEvent) -> bool:
    """Whether whoever gets the event can name it, write it and store it."""
    if isinstance(event, UnknownEvent):
        return bool(f"{event.id} {event.type} {event.source}".encode())
    written = json.dumps(as_data(event), ensure_ascii=False, allow_nan=False).encode()
    return len(event.key) == 64 and bool(written) and event.about.isprintable()


def unless_malformed[T](read: Callable[[], T]) -> T | None:
    """Return the result of `read`, or None if it finds a reason that can be shown to people."""
    try:
        return read()
    except EventMalformed as error:
        reason = error.message
    assert reason
    assert reason.isprintable()
    return None


# Hostile input


@settings(max_examples=examples(200), deadline=None)
@given(mutants())
def test_a_spoilt_payload_is_an_event_or_malformed(raw: dict[str, Any]) -> None:
    envelope = unless_malformed(lambda: parse_envelope(raw))
    if envelope is not None:
        assert json.dumps(envelope.raw, ensure_ascii=False, allow_nan=False).encode()
        events = unless_malformed(lambda: parse_events(envelope)) or ()
        assert all(is_sound(event) for event in events)
        assert len({type(event) for event in events}) == len(events)


@settings(max_examples=examples(200), deadline=None)
@given(st.dictionaries(st.sampled_from(MEMBERS) | TEXT, JSON, max_size=8) | JSON)
def test_any_json_is_an_event_or_malformed(raw: Any) -> None:
    events = unless_malformed(lambda: parse_events(parse_envelope(raw))) or ()
    assert all(is_sound(event) for event in events)


@settings(max_examples=examples(200), deadline=None)
@given(TEXT | st.binary() | BODIES | BODIES.map(lambda text: base64.b64encode(text.encode())))
def test_any_body_holds_envelopes_or_is_malformed(body: str | bytes) -> None:
    envelopes = unless_malformed(lambda: read_body(body))
    if envelopes is not None:
        assert envelopes
        assert all(isinstance(envelope, dict) for envelope in envelopes)
        assert json.dumps(envelopes, allow_nan=False)


@settings(max_examples=examples(200), deadline=None)
@given(NAMES, NAMES)
def test_what_an_event_is_about_tells_name_and_version_apart(name: str, version: str) -> None:
    raw = with_data("model_registered", modelName=name, modelVersion=version)
    event = unless_malformed(lambda: event_of(raw))
    if event is not None:
        assert (event.model.name, event.model.version) == (name, version)
        assert tuple(event.about.split(":", 1)) == (name, version)
