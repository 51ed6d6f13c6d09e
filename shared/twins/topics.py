"""The topics in memory. They pass the same contract suite as the adapter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from shared.adapters.topics import TopicSchema, in_batches, topic_setting
from shared.base.errors import TopicError, TopicUnknown
from shared.base.ports import Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An event that was published on a topic, as subscribers get it."""

    topic: str
    event: Mapping[str, Any]


class MemoryTopics:
    """Topics that keep their events for tests; each can be made to fail."""

    def __init__(self, *known: str, schema: TopicSchema = TopicSchema.CLOUD_EVENTS) -> None:
        """Know these topics, or, with none named, every topic."""
        self._known: Final = frozenset(known)
        self._schema: Final = schema
        self._lock: Final = Lock()
        self._failures: list[TopicError] = []
        self._published: list[Published] = []

    @property
    def published(self) -> tuple[Published, ...]:
        """The events that were published so far, in order."""
        with self._lock:
            return tuple(self._published)

    def fail(self, *failures: TopicError) -> None:
        """Answer the next publishers with these errors, one each."""
        with self._lock:
            self._failures += failures

    def publish(self, topic: str, events: Sequence[Publication]) -> None:
        """Publish the events.

        Raises: TopicUnknown, TopicRefused for an event that is too long, and what `fail` was given.
        """
        with self._lock:
            if self._known and topic not in self._known:
                raise TopicUnknown(f"no topic {topic!r}: {topic_setting(topic)} is not set")
            if self._failures:
                raise self._failures.pop(0)
            for batch in in_batches(events, self._schema, f"publish on topic {topic!r}"):
                self._published += [Published(topic=topic, event=event) for event in batch]
