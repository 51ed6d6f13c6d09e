"""The two event schemas: checks of published events, and their form in deliveries."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

CLOUD_EVENTS_BATCH = "application/cloudevents-batch+json"
CLOUD_EVENT = "application/cloudevents+json"
EVENT_GRID_EVENTS = "application/json"
METADATA_VERSION = "1"

_REQUIRED_EVENT_GRID = ("id", "subject", "eventType", "eventTime")
_REQUIRED_CLOUD_EVENT = ("id", "source", "type", "specversion")


class Schema(StrEnum):
    """How an event is written."""

    EVENT_GRID = "EventGridSchema"
    CLOUD_EVENTS = "CloudEventSchemaV1_0"


class MalformedEvents(ValueError):
    """A published body is not a list of events; the message names the fault's place."""


@dataclass(frozen=True)
class Event:
    """One published event, as it was sent, and the topic it was sent to."""

    schema: Schema
    topic: str
    fields: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Return the publisher's id of the event."""
        return str(self.fields["id"])

    @property
    def type(self) -> str:
        """Return the event type under either of its names."""
        return str(self.fields["eventType" if self.schema is Schema.EVENT_GRID else "type"])

    @property
    def subject(self) -> str:
        """Return the subject, which CloudEvents may lack."""
        return str(self.fields.get("subject") or "")

    @property
    def data_version(self) -> str:
        """Return the data version, which CloudEvents do not have."""
        if self.schema is Schema.CLOUD_EVENTS:
            return ""
        return str(self.fields.get("dataVersion") or "")

    def written_as(self, schema: Schema) -> dict[str, Any]:
        """Return the event in the asked schema."""
        if schema is Schema.EVENT_GRID:
            return self._as_event_grid()
        return self._as_cloud_event()

    def _as_event_grid(self) -> dict[str, Any]:
        if self.schema is Schema.EVENT_GRID:
            return {
                **self.fields,
                "topic": self.topic,
                "dataVersion": self.data_version,
                "metadataVersion": METADATA_VERSION,
            }
        return {
            "topic": self.topic,
            "id": self.fields["id"],
            "eventType": self.fields["type"],
            "subject": self.subject,
            "eventTime": self.fields.get("time"),
            "data": self.fields.get("data", self.fields.get("data_base64")),
            "dataVersion": "",
            "metadataVersion": METADATA_VERSION,
        }

    def _as_cloud_event(self) -> dict[str, Any]:
        if self.schema is Schema.CLOUD_EVENTS:
            return dict(self.fields)
        return {
            "specversion": "1.0",
            "id": self.fields["id"],
            "source": self.topic,
            "type": self.fields["eventType"],
            "subject": self.subject,
            "time": self.fields["eventTime"],
            "data": self.fields.get("data"),
        }


def parse_events(body: bytes, content_type: str) -> tuple[Schema, list[dict[str, Any]]]:
    """Return the events in a publisher's request and their schema, or raise MalformedEvents."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        content = json.loads(body)
    except ValueError as error:
        raise MalformedEvents(f"the body is not JSON: {error}") from error
    if kind == CLOUD_EVENT:
        content = [content]
    if kind in {CLOUD_EVENT, CLOUD_EVENTS_BATCH}:
        return Schema.CLOUD_EVENTS, check_events(content, Schema.CLOUD_EVENTS)
    if kind == EVENT_GRID_EVENTS:
        return Schema.EVENT_GRID, check_events(content, Schema.EVENT_GRID)
    raise MalformedEvents(f"the content type is not one of events: {content_type!r}")


def check_events(content: object, schema: Schema) -> list[dict[str, Any]]:
    """Return the content when it is a list of events of the schema, or raise MalformedEvents."""
    if not isinstance(content, list):
        raise MalformedEvents("events are published as an array")
    required = _REQUIRED_EVENT_GRID if schema is Schema.EVENT_GRID else _REQUIRED_CLOUD_EVENT
    for place, fields in enumerate(content):
        if not isinstance(fields, dict):
            raise MalformedEvents(f"event {place} is not an object")
        for name in required:
            if not isinstance(fields.get(name), str) or not fields[name]:
                raise MalformedEvents(f"event {place} lacks {name!r}, or it is not a text")
        if schema is Schema.CLOUD_EVENTS and fields["specversion"] != "1.0":
            raise MalformedEvents(f"event {place} is of specversion {fields['specversion']!r}")
        if schema is Schema.EVENT_GRID and fields.get("metadataVersion") not in {
            None,
            METADATA_VERSION,
        }:
            raise MalformedEvents(f"event {place} sets a metadataVersion of its own")
    return content
