"""Reads what Event Grid delivers: a body into envelopes, an envelope into an event.

What arrives disagrees with the documentation and with itself: two schemas, three casings, versions
as numbers, an object as a string. All of it is read; what can't be is EventMalformed, whatever it
holds, and never another exception. No message repeats a value, because any of them may be hostile.
"""

import base64
import binascii
import codecs
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn, assert_never

from shared.errors import EventMalformed
from shared.events import (
    RUN_STATUSES,
    DatasetDriftDetected,
    Drift,
    Event,
    EventType,
    Model,
    ModelDeployed,
    ModelRegistered,
    Run,
    RunCompleted,
    RunStatusChanged,
    Service,
    UnknownEvent,
    Workspace,
)

#: Event Grid's limit for one event, in bytes.
MAX_BODY = 1024 * 1024
#: Real events are four objects deep. What is much deeper is built to break whatever walks it.
MAX_DEPTH = 64
NAME_MAX = 255
#: The earliest time that a table holds. What was never set is earlier, where .NET wrote it.
TIME_MIN = datetime(1601, 1, 1, tzinfo=UTC)

_STATUSES = {status.lower(): status for status in RUN_STATUSES}
_KINDS = {f"Microsoft.MachineLearningServices.{kind}".lower(): kind for kind in EventType}

# Only the words are matched in any case: for a whole range that costs 8 ms of every cold start.
_WORKSPACE = re.compile(
    r"/?(?i:subscriptions)/(?P<subscription>[\w-]{1,64})"
    r"/(?i:resourceGroups)/(?P<resource_group>[\w.()\u0080-\uffff-]{1,90})"
    r"/(?i:providers/Microsoft\.MachineLearningServices)"
    r"/(?i:workspaces)/(?P<name>[\w-]{1,255})/?",
    re.ASCII,
)
_SURROGATE = re.compile("[\ud800-\udfff]")

Schema = Literal["EventGridSchema", "CloudEventSchemaV1_0"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What both schemas say about an event. `time` is aware, in UTC.

    `raw` is the whole envelope as it arrived and can be written as JSON; `data` is empty where the
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


def read_body(body: str | bytes, *, limit: int = MAX_BODY) -> tuple[dict[str, Any], ...]:
    """Return the envelopes of a body: JSON or its base64, one object or an array of them.

    Raises EventMalformed for anything else, and for a body of more than `limit` bytes.
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


def parse_envelope(raw: Mapping[str, Any]) -> Envelope:
    """Read an envelope of either schema; `specversion` tells which.

    Raises EventMalformed if it lacks an id, a type, a source or a time, or holds an unusable one.
    """
    ready = _require_json(raw)
    top = _Fields("the envelope", ready)
    schema: Schema = "EventGridSchema"
    type_, source, time = "eventType", "topic", "eventTime"
    if top.get("specversion") is not None:
        if top.get("specversion") != "1.0":
            raise EventMalformed("the envelope is of a version of CloudEvents other than 1.0")
        schema = "CloudEventSchemaV1_0"
        type_, source, time = "type", "source", "time"
    top.require("id", type_, source, time)
    happened = top.time(time)
    if happened < TIME_MIN:
        _refuse(time, f"is before {TIME_MIN.year}")
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


def parse_event(envelope: Envelope) -> Event | UnknownEvent:
    """Read the event in an envelope; UnknownEvent for a type that no reaction can be written for.

    Raises EventMalformed if its source is no workspace or its data isn't what its type promises.
    """
    kind = _KINDS.get(envelope.type.lower())
    id_, time = envelope.id, envelope.time
    if kind is None:
        return UnknownEvent(id=id_, type=envelope.type, time=time, source=envelope.source)
    workspace = parse_workspace(envelope.source)
    if not envelope.data:
        raise EventMalformed(f"{kind} whose data is no object, or an empty one")
    data = _Fields(f"the data of {kind}", envelope.data)
    match kind:
        case EventType.MODEL_REGISTERED:
            model = _parse_model(data)
            return ModelRegistered(id=id_, time=time, workspace=workspace, model=model)
        case EventType.MODEL_DEPLOYED:
            service = _parse_service(data)
            return ModelDeployed(id=id_, time=time, workspace=workspace, service=service)
        case EventType.RUN_COMPLETED:
            run = _parse_run(data, status=data.get("runStatus"))
            return RunCompleted(id=id_, time=time, workspace=workspace, run=run)
        case EventType.RUN_STATUS_CHANGED:
            run = _parse_run(data, status=_changed_status(data, envelope))
            return RunStatusChanged(id=id_, time=time, workspace=workspace, run=run)
        case EventType.DATASET_DRIFT_DETECTED:
            drift = _parse_drift(data)
            return DatasetDriftDetected(id=id_, time=time, workspace=workspace, drift=drift)
        case _:
            assert_never(kind)


def parse_workspace(source: str) -> Workspace:
    """Read the ARM id of a workspace, whatever the casing of its segments.

    Raises EventMalformed if it is the id of anything else.
    """
    found = _WORKSPACE.fullmatch(source)
    if found is None:
        raise EventMalformed("the source is not the ARM id of a workspace")
    return Workspace(**found.groupdict())


class _Fields:
    """The members of an object, found by name in whatever casing they arrived."""

    def __init__(self, where: str, members: Mapping[str, Any]) -> None:
        self._where = where
        self._members = {str(key).lower(): value for key, value in members.items()}
        self._present = [key for key, value in members.items() if value is not None]

    def get(self, key: str) -> Any:
        return self._members.get(key.lower())

    def require(self, *keys: str) -> None:
        missing = [key for key in keys if self.get(key) is None]
        if missing:
            raise EventMalformed(
                f"{self._where} has no {', '.join(missing)}; it has {_listed(self._present)}"
            )

    def name(self, key: str, *, limit: int = NAME_MAX, forbidden: str = "") -> str:
        self.require(key)
        return _name(self.get(key), key, limit=limit, forbidden=forbidden)

    def name_or_empty(self, key: str, *, limit: int = NAME_MAX) -> str:
        return "" if self.get(key) in (None, "") else self.name(key, limit=limit)

    def label(self, key: str, *, limit: int = NAME_MAX, forbidden: str = "") -> str:
        """Return a name that may also have arrived as a whole number."""
        self.require(key)
        value = self.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            value = _json_text(value)
        return _name(value, key, limit=limit, forbidden=forbidden)

    def texts(self, key: str) -> dict[str, str]:
        value = self.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            _refuse(key, "is not an object")
        return {
            str(name): item if isinstance(item, str) else _json_text(item)
            for name, item in value.items()
        }

    def number(self, key: str) -> float:
        self.require(key)
        value = self.get(key)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            _refuse(key, "is not a finite number")
        return number

    def time(self, key: str) -> datetime:
        text = self.name(key, limit=64)
        try:
            time = datetime.fromisoformat(text.upper())
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            _refuse(key, "is not a time in ISO 8601")

    def time_or_none(self, key: str) -> datetime | None:
        return None if self.get(key) in (None, "") else self.time(key)


def _name(value: object, key: str, *, limit: int = NAME_MAX, forbidden: str = "") -> str:
    if not isinstance(value, str):
        _refuse(key, "is not a string")
    if not value.strip():
        _refuse(key, "is empty")
    if len(value) > limit:
        _refuse(key, f"has {len(value):,} characters; {limit:,} are allowed")
    # Names end up in logs, pages and messages: nothing in them may move a cursor or hide text.
    # U+FFFD stands for what was no text, and so for any number of different names.
    if not value.isprintable() or "\ufffd" in value:
        _refuse(key, "holds a character that can't be printed")
    for character in forbidden:
        if character in value:
            _refuse(key, f"holds a {character!r}")
    return value


def _refuse(key: str, why: str) -> NoReturn:
    raise EventMalformed(f"{key} {why}") from None


def _parse_model(data: _Fields) -> Model:
    # A colon would make `name:version` tell two models as one, and AML allows none.
    return Model(
        name=data.name("modelName", forbidden="/:"),
        version=data.label("modelVersion", forbidden="/"),
        tags=data.texts("modelTags"),
        properties=data.texts("modelProperties"),
    )


def _parse_service(data: _Fields) -> Service:
    models = data.name_or_empty("modelIds", limit=MAX_BODY)
    return Service(
        name=data.name("serviceName"),
        compute_type=data.name_or_empty("serviceComputeType"),
        models=tuple(model.strip() for model in models.split(",") if model.strip()),
        tags=data.texts("serviceTags"),
        properties=data.texts("serviceProperties"),
    )


def _parse_run(data: _Fields, *, status: object) -> Run:
    arrived = "" if status is None else _name(status, "runStatus", forbidden="/:")
    return Run(
        id=data.name("runId", forbidden="/"),
        type=data.name_or_empty("runType"),
        status=_STATUSES.get(arrived.lower(), arrived),
        experiment_id=data.name_or_empty("experimentId"),
        experiment_name=data.name_or_empty("experimentName"),
        tags=data.texts("runTags"),
        properties=data.texts("runProperties"),
    )


def _changed_status(data: _Fields, envelope: Envelope) -> object:
    status = data.get("runStatus")
    if status is None:  # the documentation's own sample has it beside the data
        status = _Fields("the envelope", envelope.raw).get("runStatus")
    if status is None:
        data.require("runStatus")
    return status


def _parse_drift(data: _Fields) -> Drift:
    return Drift(
        monitor_id=data.name("dataDriftId"),
        monitor_name=data.name_or_empty("dataDriftName"),
        run_id=data.name("runId", forbidden="/"),
        base_dataset_id=data.name_or_empty("baseDatasetId"),
        target_dataset_id=data.name_or_empty("targetDatasetId"),
        coefficient=data.number("driftCoefficient"),
        window_start=data.time_or_none("startTime"),
        window_end=data.time_or_none("endTime"),
    )


def _decode(body: str | bytes, *, limit: int) -> str:
    try:
        content = body.encode() if isinstance(body, str) else body
        content = content.removeprefix(codecs.BOM_UTF8).strip()
        if content[:1] not in (b"{", b"["):  # neither of them is in the alphabet of base64
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
    """Read JSON proper: without NaN, infinities, and nesting beyond MAX_DEPTH."""
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise EventMalformed(f"{what} is nested deeper than {MAX_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise EventMalformed(f"{what} is not JSON: {error.msg} ({where})") from error
    except ValueError as error:
        raise EventMalformed(f"{what} holds a number that is too large or none") from error
    _require_shallow(text, value, what)
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _require_json(value: object) -> dict[str, Any]:
    """Return the object as one that can be written as JSON, and as UTF-8, by whoever keeps it."""
    if not isinstance(value, Mapping):
        raise EventMalformed("the envelope is not an object")
    ready = dict(value)
    try:
        text = json.dumps(ready, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EventMalformed("the envelope holds what JSON can't") from error
    _require_shallow(text, ready, "the envelope")
    if not text.isascii() and _SURROGATE.search(text):
        # Half a character, cut off by whoever wrote it, is legal JSON but nothing can store it.
        ready = json.loads(_SURROGATE.sub("\ufffd", text))
    return ready


def _require_shallow(text: str, value: object, what: str) -> None:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return  # too few brackets to be deep: spares nearly every event the walk
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list | tuple)
        ]
        if not level:
            return
    raise EventMalformed(f"{what} is nested deeper than {MAX_DEPTH} levels")


def _object_of(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = _require_json(_load(value, "the data"))
        except EventMalformed:
            return {}  # plain text is legal data, but never of an event that is read further
    return value if isinstance(value, Mapping) else {}


def _json_text(value: object) -> str:
    """Write a value as the string that it would have been, had it been written as one."""
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _listed(keys: Sequence[object]) -> str:
    """Name keys for a message: printable, cut short, and not too many."""
    shown = ", ".join(ascii(str(key)[:40])[1:-1] for key in keys[:12]) or "nothing"
    return f"{shown} and {len(keys) - 12} more" if len(keys) > 12 else shown
