"""Reads deliveries: a body into envelopes, an envelope into events.

Event Grid's deliveries disagree with its documentation and with one another: two schemas, three
casings, versions as numbers, an object as a string. Azure Monitor has a schema of its own. All of
these are read. An unreadable body is EventMalformed, never another exception. No message repeats a
value, because any value may be hostile.
"""

import base64
import binascii
import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, assert_never, get_args

from shared.base.errors import EventMalformed
from shared.base.incoming import DEPTH_MAX, TIME_MIN, TooDeep, read_json
from shared.events.alerts import happened_at, parse_alert
from shared.events.fields import Fields, refuse
from shared.events.model import (
    Alert,
    AlertFired,
    DriftDetected,
    Event,
    EventType,
    Model,
    ModelDeployed,
    ModelRegistered,
    PlannedTime,
    RunCompleted,
    RunStatusChanged,
    ScheduleDue,
    Service,
    UnknownEvent,
    Workspace,
    read_workspace,
)
from shared.events.monitors import find_drift, parse_dataset_drift, parse_own_drift
from shared.events.runs import parse_run

#: Event Grid's limit for one event, in bytes.
MAX_BODY = 1024 * 1024

_AML = "Microsoft.MachineLearningServices."
#: The types of Event Grid's events that are read; they arrive in any casing.
Kind = Literal[
    "ModelRegistered",
    "ModelDeployed",
    "RunCompleted",
    "RunStatusChanged",
    "DatasetDriftDetected",
    "Signalbox.DriftDetected",
    "Signalbox.Schedule",
]
_KINDS: Mapping[str, Kind] = {
    (kind if "." in kind else f"{_AML}{kind}").lower(): kind for kind in get_args(Kind)
}

#: A type of event that is read. Alerts arrive by another way than Event Grid's types.
Taken = Kind | Literal["AlertFired"]
#: The types that a workspace publishes, and alerts about it.
OF_WORKSPACES: frozenset[Taken] = frozenset(
    {
        "ModelRegistered",
        "ModelDeployed",
        "RunCompleted",
        "RunStatusChanged",
        "DatasetDriftDetected",
        "AlertFired",
    }
)
#: The types that others may publish on a topic of their own, where the publisher sets the source.
OF_CHECKS: frozenset[Taken] = frozenset({"DatasetDriftDetected", "Signalbox.DriftDetected"})

#: The type that only the app's own sweep raises.
OF_SCHEDULES: frozenset[Taken] = frozenset({"Signalbox.Schedule"})

Schema = Literal["EventGridSchema", "CloudEventSchemaV1_0", "azureMonitorCommonAlertSchema"]
_ALERT: Schema = "azureMonitorCommonAlertSchema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The part of an event that all schemas have. `time` is aware, in UTC.

    `raw` is the whole envelope as it arrived, and can be written as JSON; `data` is empty if the
    envelope has no object for it.
    """

    schema: Schema
    id: str
    type: str
    source: str
    subject: str
    time: datetime
    data: Mapping[str, Any]
    raw: dict[str, Any]
    alert: Alert | None = None

    @property
    def body(self) -> str:
        """The whole envelope as JSON, as it is kept."""
        return json.dumps(self.raw, ensure_ascii=False)

    @property
    def kind(self) -> Taken | None:
        """The type that it is read as; None for a type that no reaction can be written for."""
        return "AlertFired" if self.schema == _ALERT else _KINDS.get(self.type.lower())


def read_body(body: str | bytes, *, limit: int = MAX_BODY) -> tuple[dict[str, Any], ...]:
    """Return the envelopes of a body: JSON or its base64, one object or an array of them.

    Raises: EventMalformed for anything else, and for a body of more than `limit` bytes.
    """
    text = _decode(body, limit=limit)
    value = _load(text, "the body")
    envelopes = value if isinstance(value, list) else [value]
    if not envelopes:
        raise EventMalformed("the body is an empty array")
    for position, envelope in enumerate(envelopes, start=1):
        if not isinstance(envelope, dict):
            raise EventMalformed(f"item {position} of the body is not an object")
    return tuple(envelopes)


def as_readable(body: str | bytes) -> str:
    """Return a body decoded from base64 if the result may be JSON, else as it is.

    It is kept in this form, because no secret can be found in base64, and all of it looks like one.
    """
    try:
        text = _decode(body, limit=max(len(body), MAX_BODY))
    except EventMalformed:
        text = ""
    if text.startswith(("{", "[")):
        return text
    return body if isinstance(body, str) else body.decode(errors="replace")


def read_alerts(body: bytes) -> tuple[dict[str, Any], ...]:
    """Return the envelopes of a body that holds nothing but alerts of the common alert schema.

    Raises: EventMalformed for anything else. The content of an alert is not checked.
    """
    envelopes = read_body(body)
    for envelope in envelopes:
        _require_common(Fields("the body", envelope))
    return envelopes


def parse_envelope(raw: Mapping[str, Any]) -> Envelope:
    """Read an envelope of any schema; `specversion` or `schemaId` says which.

    Raises: EventMalformed if it lacks an id, a type, a source or a time, or holds an unusable one.
    """
    ready = _require_json(raw)
    top = Fields("the envelope", ready)
    if top.get("schemaId") is not None:
        return _alert_envelope(top, ready)
    schema: Schema = "EventGridSchema"
    type_, source, time = "eventType", "topic", "eventTime"
    if top.get("specversion") is not None:
        if top.get("specversion") != "1.0":
            raise EventMalformed("the envelope is of a version of CloudEvents other than 1.0")
        schema = "CloudEventSchemaV1_0"
        type_, source, time = "type", "source", "time"
    top.require("id", type_, source, time)
    happened = top.time(time)
    _require_storable(time, happened)
    return Envelope(
        schema=schema,
        id=top.label("id", limit=256),
        type=top.name(type_, limit=256),
        source=top.name(source, limit=1000),
        subject=top.name_or_empty("subject", limit=2000),
        time=happened,
        data=_object_of(top.get("data")),
        raw=ready,
    )


def _alert_envelope(top: Fields, ready: dict[str, Any]) -> Envelope:
    _require_common(top)
    data = _object_of(top.get("data"))
    workspace, alert = parse_alert(data)
    _require_storable("firedDateTime", alert.fired_at)
    return Envelope(
        schema=_ALERT,
        id=alert.id,
        type=str(EventType.ALERT_FIRED),
        source=workspace,
        subject=alert.rule,
        time=happened_at(alert),
        data=data,
        raw=ready,
        alert=alert,
    )


def _require_storable(key: str, time: datetime) -> None:
    if time < TIME_MIN:
        refuse(key, f"is before {TIME_MIN.year}")


def _require_common(top: Fields) -> None:
    if top.name("schemaId").lower() != _ALERT.lower():
        raise EventMalformed(
            "the alert is not of the common alert schema",
            hint="Enable the common alert schema in the action of the action group.",
        )


def parse_events(envelope: Envelope) -> tuple[Event | UnknownEvent, ...]:
    """Read the events in an envelope: one, or two if a run's event reports drift as well.

    The event that arrived comes first. An UnknownEvent has a type that no reaction can be written
    for.

    Raises: EventMalformed if its source is no workspace, or its data does not fit its type.
    """
    id_, time = envelope.id, envelope.time
    if envelope.alert is not None:
        workspace = parse_workspace(envelope.source, what="the alert's target")
        return (AlertFired(id=id_, time=time, workspace=workspace, alert=envelope.alert),)
    kind = _KINDS.get(envelope.type.lower())
    if kind is None:
        return (UnknownEvent(id=id_, type=envelope.type, time=time, source=envelope.source),)
    data = Fields(f"the data of {kind}", envelope.data)
    if kind == "DatasetDriftDetected" or kind == "Signalbox.DriftDetected":
        return (_parse_drift(kind, envelope, data),)
    workspace = parse_workspace(envelope.source)
    _require_data(kind, envelope)
    match kind:
        case "ModelRegistered":
            model = _parse_model(data)
            event: Event = ModelRegistered(id=id_, time=time, workspace=workspace, model=model)
        case "ModelDeployed":
            service = _parse_service(data)
            event = ModelDeployed(id=id_, time=time, workspace=workspace, service=service)
        case "RunCompleted":
            run = parse_run(data, status="Completed")  # the event's type says it
            return _with_drift(RunCompleted(id=id_, time=time, workspace=workspace, run=run))
        case "RunStatusChanged":
            run = parse_run(data, status=_changed_status(data, envelope))
            return _with_drift(RunStatusChanged(id=id_, time=time, workspace=workspace, run=run))
        case "Signalbox.Schedule":
            planned = _parse_planned(data)
            event = ScheduleDue(id=id_, time=time, workspace=workspace, schedule=planned)
        case _:
            assert_never(kind)
    return (event,)


def parse_workspace(source: str, *, what: str = "the source") -> Workspace:
    """Read the ARM id of a workspace; its segments may have any casing.

    Raises: EventMalformed if it is the id of anything else; `what` is its name in the message.
    """
    found = read_workspace(source)
    if found is None:
        raise EventMalformed(f"{what} is not the ARM id of a workspace")
    return found


def _with_drift(event: RunCompleted | RunStatusChanged) -> tuple[Event, ...]:
    drift = find_drift(event)
    return (event,) if drift is None else (event, drift)


def _parse_drift(
    kind: Literal["DatasetDriftDetected", "Signalbox.DriftDetected"],
    envelope: Envelope,
    data: Fields,
) -> DriftDetected:
    workspace = _workspace_of(envelope, data)
    _require_data(kind, envelope)
    if kind == "DatasetDriftDetected":
        id_, drift = parse_dataset_drift(data, envelope.id)
    else:
        id_, drift = envelope.id, parse_own_drift(data, envelope.id)
    return DriftDetected(id=id_, time=envelope.time, workspace=workspace, drift=drift)


def _workspace_of(envelope: Envelope, data: Fields) -> Workspace:
    """Return the workspace that an event is about: its source, or the one that its data names."""
    if read_workspace(envelope.source) is None:
        for key in ("workspace", "workspaceId"):
            if data.get(key) is not None:
                return parse_workspace(data.name(key, limit=1000), what=f"{key} in the data")
        raise EventMalformed(
            "the source is not the ARM id of a workspace, and the data has no workspace"
        )
    return parse_workspace(envelope.source)


def _require_data(kind: str, envelope: Envelope) -> None:
    if not envelope.data:
        raise EventMalformed(f"{kind} whose data is no object, or an empty one")


def _parse_model(data: Fields) -> Model:
    # With a colon in it, `name:version` could mean two models. AML allows none.
    return Model(
        name=data.name("modelName", forbidden="/:"),
        version=data.label("modelVersion", forbidden="/"),
        tags=data.texts("modelTags"),
        properties=data.texts("modelProperties"),
    )


def _parse_planned(data: Fields) -> PlannedTime:
    return PlannedTime(
        reaction=data.name("reaction"),
        cron=data.name("cron"),
        time_zone=data.name("timeZone"),
        planned_at=data.time("plannedAt"),
        local_time=data.name("localTime", limit=64),
    )


def _parse_service(data: Fields) -> Service:
    models = data.name_or_empty("modelIds", limit=MAX_BODY)
    return Service(
        name=data.name("serviceName"),
        compute_type=data.name_or_empty("serviceComputeType"),
        models=tuple(model.strip() for model in models.split(",") if model.strip()),
        tags=data.texts("serviceTags"),
        properties=data.texts("serviceProperties"),
    )


def _changed_status(data: Fields, envelope: Envelope) -> object:
    status = data.get("runStatus")
    if status is None:  # the sample in the documentation has it beside the data
        status = Fields("the envelope", envelope.raw).get("runStatus")
    if status is None:
        data.require("runStatus")
    return status


def _decode(body: str | bytes, *, limit: int) -> str:
    try:
        content = body.encode() if isinstance(body, str) else body
        content = content.removeprefix(codecs.BOM_UTF8).strip()
        if content[:1] not in (b"{", b"["):  # neither is in the alphabet of base64
            content = base64.b64decode(b"".join(content.split()), validate=True)
        text = content.decode("utf-8-sig")
    except UnicodeError as error:
        raise EventMalformed("the body is not UTF-8") from error
    except binascii.Error as error:
        raise EventMalformed("the body is neither JSON nor base64 of it") from error
    if not text.strip():
        raise EventMalformed("the body is empty")
    if len(content) > limit:
        raise EventMalformed(f"the body is larger than {limit:,} bytes")
    return text


def _load(text: str, what: str) -> Any:
    """Read strict JSON: without NaN, infinities, and nesting beyond DEPTH_MAX."""
    try:
        return read_json(text, is_strict=True)
    except TooDeep as error:
        raise EventMalformed(f"{what} is nested deeper than {DEPTH_MAX} levels") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise EventMalformed(f"{what} is not JSON: {error.msg} ({where})") from error
    except ValueError as error:
        raise EventMalformed(f"{what} holds a number that is too large or none") from error


def _require_json(value: object) -> dict[str, Any]:
    """Return the object as it would be read from its JSON, so that it can be written again."""
    if not isinstance(value, Mapping):
        raise EventMalformed("the envelope is not an object")
    try:
        text = json.dumps(dict(value), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EventMalformed("the envelope holds what JSON can't") from error
    return dict(_load(text, "the envelope"))


def _object_of(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = _require_json(_load(value, "the data"))
        except EventMalformed:
            return {}  # plain text is legal data, but no type of event that is read has it
    return value if isinstance(value, Mapping) else {}
