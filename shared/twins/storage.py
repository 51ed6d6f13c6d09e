"""The storage ports in memory. They pass the same contract suite as the adapters."""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from shared.adapters.channels import TEXT_MAX, TITLE_MAX
from shared.adapters.storage.limits import (
    VISIBILITY,
    check_batch,
    check_keys,
    check_storage_name,
    delay_seconds,
    plain_body,
    plain_message,
    plain_value,
    plain_values,
)
from shared.base.clock import Clock, SystemClock
from shared.base.errors import ChannelDown, ChannelUnknown
from shared.base.outgoing import for_message
from shared.base.ports import Message, Row, RowChanged, RowExists, Value


class MemoryTables:
    """Tables in memory, safe to share between threads.

    >>> tables = MemoryTables()
    >>> etag = tables.insert("Loops", "churn", "1", {"stage": "running"})
    >>> etag = tables.replace("Loops", "churn", "1", {"stage": "trained"}, etag=etag)
    >>> tables.get("Loops", "churn", "1").values
    {'stage': 'trained'}
    """

    def __init__(self) -> None:
        self._lock: Final = Lock()
        self._tables: dict[str, dict[tuple[str, str], Row]] = {}

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> str:
        """Add a row and return its ETag; raise RowExists where there is one."""
        row = _make_row(partition, key, values)
        with self._lock:
            rows = self._tables.setdefault(table, {})
            if (partition, key) in rows:
                raise RowExists(f"{table}: {partition}/{key}")
            rows[partition, key] = row
        return row.etag

    def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row, or None."""
        check_keys(partition, key)
        with self._lock:
            row = self._tables.get(table, {}).get((partition, key))
        return None if row is None else replace(row, values=dict(row.values))

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Value], *, etag: str
    ) -> str:
        """Replace the row if its ETag is still `etag` and return the new one, else RowChanged."""
        row = _make_row(partition, key, values)
        with self._lock:
            self._check_unchanged(table, partition, key, etag)
            self._tables[table][partition, key] = row
        return row.etag

    def delete(self, table: str, partition: str, key: str, *, etag: str | None = None) -> None:
        """Delete the row, absent or not; with `etag`, raise RowChanged unless it is unchanged."""
        check_keys(partition, key)
        with self._lock:
            if etag is not None:
                self._check_unchanged(table, partition, key, etag)
            self._tables.get(table, {}).pop((partition, key), None)

    def delete_all(self, table: str, rows: Sequence[Row]) -> None:
        """Delete up to 100 rows of one partition, except those changed since they were read."""
        check_batch(rows)
        with self._lock:
            found = self._tables.get(table, {})
            for row in rows:
                known = found.get((row.partition, row.key))
                if known is not None and known.etag == row.etag:
                    del found[row.partition, row.key]

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
        all, which reads the whole table. Their keys are from `key_from` to `key_to`. The text in a
        property begins as `begins` says. With `columns` the rows have only these properties.
        """
        wanted = plain_values(equals or {})
        if before is not None:
            check_storage_name(before[0])
            plain_value(*before)
        for name in (*columns, *(begins or ())[:1]):
            check_storage_name(name)
        with self._lock:
            rows = sorted(self._tables.get(table, {}).items())
        for (row_partition, key), row in rows:
            if partition is not None and row_partition != partition:
                continue
            if partition_to is not None and row_partition > partition_to:
                continue
            if partition_from is not None and row_partition < partition_from:
                continue
            if key < (key_from or "") or (key_to is not None and key > key_to):
                continue
            if begins is not None and not _begins(row.values.get(begins[0]), begins[1]):
                continue
            if all(_is_equal(row.values.get(name), value) for name, value in wanted.items()):
                found = None if before is None else row.values.get(before[0])
                if before is None or (isinstance(found, datetime) and found < before[1]):
                    names = columns or row.values
                    values = {name: row.values[name] for name in names if name in row.values}
                    yield replace(row, values=values)

    def _check_unchanged(self, table: str, partition: str, key: str, etag: str) -> None:
        row = self._tables.get(table, {}).get((partition, key))
        if row is None or row.etag != etag:
            raise RowChanged(f"{table}: {partition}/{key}")


def _make_row(partition: str, key: str, values: Mapping[str, Value]) -> Row:
    check_keys(partition, key)
    return Row(partition=partition, key=key, values=plain_values(values), etag=uuid.uuid4().hex)


def _is_equal(found: Value | None, wanted: Value) -> bool:
    # True equals 1 in Python, but not in tables.
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def _begins(found: Value | None, prefix: str) -> bool:
    return isinstance(found, str) and found.startswith(prefix)


@dataclass(slots=True)
class _Queued:
    message: Message
    visible_at: datetime


class MemoryQueues:
    """Queues in memory whose delays elapse with the clock, safe to share between threads."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Final = clock or SystemClock()
        self._lock: Final = Lock()
        self._queues: dict[str, list[_Queued]] = {}

    def send(self, queue: str, text: str, *, delay: timedelta = timedelta(0)) -> None:
        """Add a message, invisible for `delay` (at most 7 days; a longer one is cut to that)."""
        text = plain_message(text)
        message = Message(id=str(uuid.uuid4()), text=text, receipt=uuid.uuid4().hex)
        visible_at = self._clock.now() + timedelta(seconds=delay_seconds(delay))
        with self._lock:
            self._queues.setdefault(queue, []).append(_Queued(message, visible_at))

    def receive(self, queue: str, *, most: int = 32) -> tuple[Message, ...]:
        """Take up to `most` messages, hidden from others for five minutes; () without a queue."""
        with self._lock:
            taken = self._visible(queue)[:most]
            for queued in taken:
                queued.message = replace(queued.message, receipt=uuid.uuid4().hex)
                queued.visible_at = self._clock.now() + VISIBILITY
            return tuple(queued.message for queued in taken)

    def peek(self, queue: str) -> str | None:
        """Return the text of the next message, and leave it; None if none is visible."""
        with self._lock:
            visible = self._visible(queue)
            return visible[0].message.text if visible else None

    def delete(self, queue: str, message: Message) -> None:
        """Delete a message that was received, gone or not; another's receipt deletes nothing."""
        with self._lock:
            kept = [q for q in self._queues.get(queue, []) if q.message != message]
            if queue in self._queues:
                self._queues[queue] = kept

    def take(self, queue: str, *, most: int = 1_000) -> tuple[str, ...]:
        """Remove up to `most` messages that are visible now and return their texts; for tests."""
        with self._lock:
            taken = self._visible(queue)[:most]
            if taken:
                self._queues[queue] = [q for q in self._queues[queue] if q not in taken]
            return tuple(queued.message.text for queued in taken)

    def waiting(self, queue: str) -> tuple[tuple[datetime, str], ...]:
        """Return when each message becomes visible, and its text, soonest first; for tests."""
        with self._lock:
            queued = sorted(self._queues.get(queue, []), key=lambda q: q.visible_at)
            return tuple((q.visible_at, q.message.text) for q in queued)

    def _visible(self, queue: str) -> list[_Queued]:
        now = self._clock.now()
        visible = (queued for queued in self._queues.get(queue, []) if queued.visible_at <= now)
        return sorted(visible, key=lambda queued: queued.visible_at)


class MemoryBlobs:
    """Blobs in memory, safe to share between threads."""

    def __init__(self) -> None:
        self._lock: Final = Lock()
        self._containers: dict[str, dict[str, bytes]] = {}

    def put(self, container: str, name: str, body: bytes) -> None:
        """Write the blob, whether or not there is one."""
        with self._lock:
            self._containers.setdefault(container, {})[name] = plain_body(bytes(body))

    def get(self, container: str, name: str) -> bytes | None:
        """Return the blob's bytes, or None."""
        with self._lock:
            return self._containers.get(container, {}).get(name)

    def delete(self, container: str, name: str) -> None:
        """Delete the blob, absent or not."""
        with self._lock:
            self._containers.get(container, {}).pop(name, None)

    def names(self, container: str, *, prefix: str = "", most: int = 100) -> tuple[str, ...]:
        """Return up to `most` names in order; () without a container."""
        with self._lock:
            names = sorted(self._containers.get(container, {}))
        return tuple(name for name in names if name.startswith(prefix))[:most]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message that a channel took."""

    channel: str
    title: str
    text: str
    good: bool | None


class MemoryChannels:
    """Channels that keep their messages for tests; each can be made to fail."""

    def __init__(self, *known: str) -> None:
        """Know these channels, or, with none named, every channel."""
        self._known: Final = frozenset(known)
        self._lock: Final = Lock()
        self._down: set[str] = set()
        self._sent: list[Sent] = []

    @property
    def sent(self) -> tuple[Sent, ...]:
        """The messages that were sent so far, in order."""
        with self._lock:
            return tuple(self._sent)

    def make_down(self, channel: str) -> None:
        """Make the channel fail until `make_well`."""
        with self._lock:
            self._down.add(channel)

    def make_well(self, channel: str) -> None:
        """Let the channel take messages again."""
        with self._lock:
            self._down.discard(channel)

    def send(self, channel: str, *, title: str, text: str, good: bool | None) -> None:
        """Send one message; raise ChannelDown or ChannelUnknown."""
        with self._lock:
            if self._known and channel not in self._known:
                raise ChannelUnknown(f"no channel {channel!r}")
            if channel in self._down:
                raise ChannelDown(f"channel {channel!r} did not take the message")
            title, text = for_message(title, most=TITLE_MAX), for_message(text, most=TEXT_MAX)
            self._sent.append(Sent(channel=channel, title=title, text=text, good=good))
