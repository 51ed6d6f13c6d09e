"""Ports over the real ones, for rehearsals: reads go through, and no write or message leaves.

A row, blob or message that is written stays in memory, where later reads find it, so that the app's
own code runs as it would. Everything else that would have left is noted in a `Withheld` list.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from shared.base.errors import ChannelUnknown, TopicUnknown
from shared.base.ports import (
    Blobs,
    Message,
    Publication,
    Queues,
    Row,
    RowChanged,
    RowExists,
    Tables,
    Value,
)
from shared.retraining.targets import Submission, Submitted, TargetRun, TargetStatus
from shared.twins.storage import MemoryBlobs, MemoryTables
from shared.workspaces.model import ModelVersion, NewModel, Operation
from shared.workspaces.ports import Workspaces


class BeyondRehearsal(BaseException):
    """The app has come to a point from which only a real request leads on.

    It is no Exception, so that the app does not take it for a failure of the service.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """One thing that would have left: the port, its method, and what it was given."""

    port: str
    method: str
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that a workspace was asked, and its answer or its error."""

    method: str
    asked: tuple[Any, ...]
    answer: Any


class OverlayTables:
    """Tables whose rows are read from the real ones, and written in memory."""

    def __init__(self, real: Tables) -> None:
        self._real: Final = real
        self._mine: Final = MemoryTables()
        #: The rows that were written or deleted here; of these the real ones count no more.
        self._touched: Final[set[tuple[str, str, str]]] = set()

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> str:
        """Add a row and return its ETag; raise RowExists where there is one."""
        at = (table, partition, key)
        if at not in self._touched and self._real.get(*at) is not None:
            raise RowExists(f"{table}: {partition}/{key}")
        etag = self._mine.insert(*at, values)
        self._touched.add(at)
        return etag

    def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row, or None."""
        at = (table, partition, key)
        return self._mine.get(*at) if at in self._touched else self._real.get(*at)

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Value], *, etag: str
    ) -> str:
        """Replace the row if its ETag is still `etag` and return the new one, else RowChanged."""
        at = (table, partition, key)
        if at in self._touched:
            return self._mine.replace(*at, values, etag=etag)
        self._require_unchanged(at, etag)
        self._touched.add(at)
        return self._mine.insert(*at, values)

    def delete(self, table: str, partition: str, key: str, *, etag: str | None = None) -> None:
        """Delete the row, absent or not; with `etag`, raise RowChanged unless it is unchanged."""
        at = (table, partition, key)
        if at in self._touched:
            self._mine.delete(*at, etag=etag)
            return
        if etag is not None:
            self._require_unchanged(at, etag)
        self._touched.add(at)

    def delete_all(self, table: str, rows: Sequence[Row]) -> None:
        """Delete rows of one partition; what has changed since it was read stays."""
        for row in rows:
            with suppress(RowChanged):
                self.delete(table, row.partition, row.key, etag=row.etag)

    def query(self, table: str, **conditions: Any) -> Iterator[Row]:
        """Yield the rows, those in memory in the place of the real ones."""
        real = (
            row
            for row in self._real.query(table, **conditions)
            if (table, row.partition, row.key) not in self._touched
        )
        mine = self._mine.query(table, **conditions)
        return heapq.merge(real, mine, key=lambda row: (row.partition, row.key))

    def _require_unchanged(self, at: tuple[str, str, str], etag: str) -> None:
        row = self._real.get(*at)
        if row is None or row.etag != etag:
            raise RowChanged(f"{at[0]}: {at[1]}/{at[2]}")


class OverlayQueues:
    """Queues that take messages and keep them; nobody gets one."""

    def __init__(self, real: Queues) -> None:
        self._real: Final = real
        #: The messages that were sent, each with its queue.
        self.sent: Final[list[tuple[str, str]]] = []

    def send(self, queue: str, text: str, *, delay: timedelta = timedelta(0)) -> None:
        """Keep a message."""
        self.sent.append((queue, text))

    def receive(self, queue: str, *, most: int = 32) -> tuple[Message, ...]:
        """Return nothing: to receive a message is to hide it from the app."""
        return ()

    def peek(self, queue: str) -> str | None:
        """Return the text of the real queue's next message, and leave it."""
        return self._real.peek(queue)

    def delete(self, queue: str, message: Message) -> None:
        """Do nothing, since nobody got a message."""


class OverlayBlobs:
    """Blobs that are read from the real ones, and written in memory."""

    def __init__(self, real: Blobs) -> None:
        self._real: Final = real
        self._mine: Final = MemoryBlobs()
        self._touched: Final[set[tuple[str, str]]] = set()

    def put(self, container: str, name: str, body: bytes) -> None:
        """Write the blob, whether or not there is one."""
        self._touched.add((container, name))
        self._mine.put(container, name, body)

    def get(self, container: str, name: str) -> bytes | None:
        """Return the blob's bytes, or None."""
        found: Blobs = self._mine if (container, name) in self._touched else self._real
        return found.get(container, name)

    def delete(self, container: str, name: str) -> None:
        """Delete the blob, absent or not."""
        self._touched.add((container, name))
        self._mine.delete(container, name)

    def names(self, container: str, *, prefix: str = "", most: int = 100) -> tuple[str, ...]:
        """Return up to `most` names in order; () without a container."""
        real = self._real.names(container, prefix=prefix, most=most + len(self._touched))
        mine = self._mine.names(container, prefix=prefix, most=most)
        kept = {name for name in real if (container, name) not in self._touched}
        return tuple(sorted(kept | set(mine)))[:most]


class OverlayChannels:
    """Channels that send nothing; `find_fault` says why the real one would not."""

    def __init__(
        self,
        withheld: Callable[[Withheld], None],
        find_fault: Callable[[str], tuple[str, str] | None],
    ) -> None:
        self._withheld: Final = withheld
        self._find_fault: Final = find_fault

    def send(self, channel: str, *, title: str, text: str, good: bool | None) -> None:
        """Note one message; raise ChannelUnknown as the real channel would."""
        if fault := self._find_fault(channel):
            raise ChannelUnknown(f"no channel {channel!r}: {fault[0]}", hint=fault[1])
        given = {"channel": channel, "title": title, "text": text}
        self._withheld(Withheld(port="channels", method="send", given=given))


class OverlayTopics:
    """Topics that publish nothing; `find_fault` says why the real one would not."""

    def __init__(
        self,
        withheld: Callable[[Withheld], None],
        find_fault: Callable[[str], tuple[str, str] | None],
    ) -> None:
        self._withheld: Final = withheld
        self._find_fault: Final = find_fault

    def publish(self, topic: str, events: Sequence[Publication]) -> None:
        """Note the events; raise TopicUnknown as the real topic would."""
        if fault := self._find_fault(topic):
            raise TopicUnknown(f"topic {topic!r}: {fault[0]}", hint=fault[1])
        for event in events:
            given = {"topic": topic, "type": event.type, "subject": event.subject}
            self._withheld(Withheld(port="topics", method="publish", given=given))


class OverlayTarget:
    """A target that starts nothing."""

    def __init__(self, name: str, withheld: Callable[[Withheld], None]) -> None:
        self._name: Final = name
        self._withheld: Final = withheld

    def submit(self, params: Any, submission: Submission) -> Submitted:
        """Note the start. Whether the real target would take it is not known."""
        given = {"target": self._name, "params": params, "inputs": dict(submission.inputs)}
        self._withheld(Withheld(port="target", method="submit", given=given))
        return Submitted()

    def look(self, params: Any, submission: Submission, run_id: str) -> TargetRun:
        """Know nothing of a run."""
        return TargetRun(status=TargetStatus.UNKNOWN)


#: The methods of the port that change nothing. Any other is noted, and not called.
READS: Final = frozenset(
    {
        "get_model",
        "find_models",
        "list_models",
        "newest_models",
        "read_model_file",
        "find_asset",
        "has_resource",
        "get_run",
        "list_children",
        "get_metrics",
        "get_endpoint",
        "list_endpoints",
        "list_deployments",
        "find_capacity",
        "get_operation",
        "get_logs",
    }
)


class OverlayWorkspaces:
    """Workspaces whose reads are real, and whose writes only seem to begin.

    It has every method of the port, by `__getattr__`: a method that is not one of READS never
    reaches the workspace, so that a new one is safe before anybody thinks of it.
    """

    def __init__(
        self,
        real: Callable[[], Workspaces],
        withheld: Callable[[Withheld], None],
        fact: Callable[[Fact], None],
    ) -> None:
        self._real: Final = real
        self._withheld: Final = withheld
        self._fact: Final = fact

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_") or not hasattr(Workspaces, method):
            raise AttributeError(method)
        return self._reading(method) if method in READS else self._writing(method)

    def _reading(self, method: str) -> Callable[..., Any]:
        def read(*asked: Any, **options: Any) -> Any:
            try:
                answer = getattr(self._real(), method)(*asked, **options)
            except Exception as error:
                self._fact(Fact(method=method, asked=asked, answer=error))
                raise
            self._fact(Fact(method=method, asked=asked, answer=answer))
            return answer

        return read

    def _writing(self, method: str) -> Callable[..., Any]:
        def write(*given: Any, **options: Any) -> Any:
            positional = {str(number): value for number, value in enumerate(given)}
            self._withheld(
                Withheld(port="workspaces", method=method, given={**positional, **options})
            )
            if method == "score":
                raise BeyondRehearsal("a scoring request would be sent")
            return _registered(given[1]) if method == "register_model" else Operation()

        return write


def _registered(model: NewModel) -> ModelVersion:
    """Return a model as it would be registered; only the workspace knows its next version."""
    return ModelVersion(
        id="",
        name=model.name,
        version="(the next)",
        kind=model.kind,
        tags=model.tags,
        properties=model.properties,
        job_name=model.job_name,
        path=model.path,
    )
