"""Event subscriptions: which events of a topic go where, and what happens to those that cannot."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sandbox.event_grid.schemas import Event, Schema


@dataclass(frozen=True)
class Webhook:
    """An address that events are posted to."""

    url: str


@dataclass(frozen=True)
class StorageQueue:
    """A storage queue that events are put into."""

    connection_string: str
    queue: str


@dataclass(frozen=True)
class BlobContainer:
    """A container that undeliverable events are written to."""

    connection_string: str
    container: str


@dataclass(frozen=True)
class StringIn:
    """An advanced filter: the value at the key is one of these, in any case."""

    key: str
    values: tuple[str, ...]

    def accepts(self, value: str) -> bool:
        """Return whether the value passes."""
        return value.casefold() in {each.casefold() for each in self.values}


@dataclass(frozen=True)
class StringContains:
    """An advanced filter: the value at the key contains one of these, in any case."""

    key: str
    values: tuple[str, ...]

    def accepts(self, value: str) -> bool:
        """Return whether the value passes."""
        return any(each.casefold() in value.casefold() for each in self.values)


@dataclass(frozen=True)
class Subscription:
    """One event subscription; every filter that is given has to pass."""

    name: str
    topic: str  # the name of the topic
    destination: Webhook | StorageQueue
    schema: Schema = Schema.EVENT_GRID
    included_event_types: tuple[str, ...] = ()
    subject_begins_with: str = ""
    subject_ends_with: str = ""
    is_subject_case_sensitive: bool = False
    advanced_filters: tuple[StringIn | StringContains, ...] = ()
    max_delivery_attempts: int = 30
    event_time_to_live: timedelta = timedelta(minutes=1440)
    dead_letter: BlobContainer | None = None

    def __post_init__(self) -> None:
        """Refuse a retry policy outside the documented limits."""
        if not 1 <= self.max_delivery_attempts <= 30:
            raise ValueError("max_delivery_attempts is from 1 to 30")
        if not timedelta(minutes=1) <= self.event_time_to_live <= timedelta(minutes=1440):
            raise ValueError("event_time_to_live is from 1 to 1440 minutes")

    def wants(self, event: Event) -> bool:
        """Return whether the event passes every filter."""
        return (
            self._wants_type(event.type)
            and self._wants_subject(event.subject)
            and all(_passes(each, event) for each in self.advanced_filters)
        )

    def _wants_type(self, event_type: str) -> bool:
        included = {each.casefold() for each in self.included_event_types}
        return not included or event_type.casefold() in included

    def _wants_subject(self, subject: str) -> bool:
        begins, ends = self.subject_begins_with, self.subject_ends_with
        if not self.is_subject_case_sensitive:
            subject, begins, ends = subject.casefold(), begins.casefold(), ends.casefold()
        return subject.startswith(begins) and subject.endswith(ends)


def _passes(advanced: StringIn | StringContains, event: Event) -> bool:
    value: Any = event.written_as(event.schema)
    # Keys are looked up in any case: the service's own pages filter on `data.RunTags` while its
    # events say `runTags`.
    for name in advanced.key.split("."):
        value = _look_up(value, name)
    return isinstance(value, str) and advanced.accepts(value)


def _look_up(value: object, name: str) -> object:
    if not isinstance(value, Mapping):
        return None
    if name in value:
        return value[name]
    return next((held for key, held in value.items() if key.casefold() == name.casefold()), None)
