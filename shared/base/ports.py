"""The protocols of storage, channels and topics. Adapters implement them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

#: The type of a row's property. A string holds at most 32,000 characters.
Value = str | int | float | bool | datetime
#: Rows of one partition that can be deleted together.
BATCH_MAX = 100


class RowExists(Exception):
    """An insert found a row with this partition and key."""


class RowChanged(Exception):
    """A conditional write found another ETag, or no row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A table row as it was read: `etag` is what a conditional write must present."""

    partition: str
    key: str
    values: Mapping[str, Value]
    etag: str


class Tables(Protocol):
    """Tables of rows with conditional writes. Each call is one request, but for long queries."""

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> str:
        """Add a row and return its ETag; raise RowExists where there is one."""
        ...

    def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row, or None."""
        ...

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Value], *, etag: str
    ) -> str:
        """Replace the row if its ETag is still `etag` and return the new one, else RowChanged."""
        ...

    def delete(self, table: str, partition: str, key: str, *, etag: str | None = None) -> None:
        """Delete the row, absent or not; with `etag`, raise RowChanged unless it is unchanged."""
        ...

    def delete_all(self, table: str, rows: Sequence[Row]) -> None:
        """Delete up to 100 rows of one partition; what has changed since it was read stays."""
        ...

    def query(
        self,
        table: str,
        *,
        partition: str | None = None,
        partition_to: str | None = None,
        partition_from: str | None = None,
        equals: Mapping[str, Value] | None = None,
        before: tuple[str, datetime] | None = None,
        key_from: str | None = None,
        key_to: str | None = None,
        begins: tuple[str, str] | None = None,
        columns: Collection[str] = (),
    ) -> Iterator[Row]:
        """Yield the rows whose properties equal all of `equals` and are earlier than `before`.

        They are of one partition, of those up to `partition_to` or from `partition_from` on, or of
        all, for which the whole table is read. Their keys are from `key_from` to `key_to`. The text
        in a property begins as `begins` says. With `columns` the rows have only these properties.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A queue message as it was received: `receipt` is what deleting it takes."""

    id: str
    text: str
    receipt: str


class Queues(Protocol):
    """Storage queues. A message lives until it is deleted."""

    def send(self, queue: str, text: str, *, delay: timedelta = timedelta(0)) -> None:
        """Add a message, invisible for `delay` (at most 7 days; a longer one is cut to that)."""
        ...

    def receive(self, queue: str, *, most: int = 32) -> tuple[Message, ...]:
        """Take up to `most` messages, hidden from others for five minutes; () without a queue."""
        ...

    def peek(self, queue: str) -> str | None:
        """Return the text of the next message, and leave it; None where none is visible."""
        ...

    def delete(self, queue: str, message: Message) -> None:
        """Delete a message that was received, gone or not."""
        ...


class Blobs(Protocol):
    """Blobs in containers."""

    def put(self, container: str, name: str, body: bytes) -> None:
        """Write the blob, whether or not there is one."""
        ...

    def get(self, container: str, name: str) -> bytes | None:
        """Return the blob's bytes, or None."""
        ...

    def delete(self, container: str, name: str) -> None:
        """Delete the blob, absent or not."""
        ...

    def names(self, container: str, *, prefix: str = "", most: int = 100) -> tuple[str, ...]:
        """Return up to `most` names in order; () without a container."""
        ...


class Channels(Protocol):
    """The channels that messages to people go to, by name."""

    def send(self, channel: str, *, title: str, text: str, good: bool | None) -> None:
        """Send one message, good news or bad or neither; raise ChannelDown or ChannelUnknown."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """An event that the app publishes. Subscribers know a repeat by its `id`.

    `source` is the ARM id of the workspace that it is about; `data` are values for JSON.
    """

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    data: Mapping[str, Any]


class Topics(Protocol):
    """The Event Grid topics that the app publishes on, by name."""

    def publish(self, topic: str, events: Sequence[Publication]) -> None:
        """Publish the events, in batches; after an error some may have arrived.

        Raises: SettingInvalid, and any TopicError.
        """
        ...
