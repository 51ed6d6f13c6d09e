"""Searches for the events about a model, a run or an endpoint, and for signs of a missing one."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from shared.base.errors import EventMalformed
from shared.base.ids import folded
from shared.base.ports import Blobs, Queues
from shared.events.model import Event, EventType
from shared.flow.sweep import DRIFT_QUEUE, EVENT_GRID_CONTAINER, EVENTS_QUEUE, POISON
from shared.journal.dead_letters import DeadLetters
from shared.journal.letters import Letter, LetterStatus
from shared.journal.records import EventRecord, Records
from shared.reactions.model import Reactions
from shared.rollouts.engine.store import RolloutStore
from shared.schema.wording import nearest

#: The most events about one thing that are returned.
_FOUND_MAX = 10
#: The newest events that are looked through for signs of a missing one.
_LOOKED_MAX = 2_000
#: Of these, the most that are read because they are of no type that a reaction can be on.
_READ_MAX = 50
_LISTED_MAX = 100
_TYPES = frozenset(map(str, EventType))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenWorkspace:
    """The newest events of a workspace, by their type. `is_listed` is by the rules as they are."""

    name: str
    id: str
    is_listed: bool
    newest: Mapping[str, EventRecord]

    @property
    def last(self) -> EventRecord | None:
        """The newest event of any type."""
        return max(self.newest.values(), key=lambda record: record.time, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """The signs of an event that is missing.

    `near` is what else events were about that is spelled much the same. `unread` are events about
    it that were refused or can't be read, and `letters` whole events that wait for their replay.
    `waiting` names queues with messages that nobody takes, and `undelivered` counts blobs of events
    that Event Grid could not deliver.
    """

    subject: str
    since: datetime
    workspaces: tuple[SeenWorkspace, ...]
    near: str = ""
    unread: tuple[EventRecord, ...] = ()
    letters: tuple[Letter, ...] = ()
    waiting: tuple[str, ...] = ()
    undelivered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Searches:
    """Looks for events. `since` is the beginning of what is on record."""

    records: Records
    reactions: Reactions
    rollouts: RolloutStore
    dead_letters: DeadLetters
    queues: Queues
    blobs: Blobs
    since: datetime

    def find(self, subject: str, *, workspace: str = "") -> tuple[EventRecord, ...]:
        """Return the newest events about a model version, a run or an endpoint, or with an id.

        Raises: StorageUnavailable.
        """
        is_version = ":" in subject
        found = () if is_version else self._first(self._by_id(subject, workspace))
        exact = tuple(record for record in found if subject in (record.id, record.event))
        return (
            exact
            or self._first(self._about(subject, workspace))
            or self._first(self._on_endpoint(subject, workspace))
            # The name of an endpoint may be the beginning of somebody's ids.
            or (self._first(self._by_id(subject, workspace)) if is_version else found)
        )

    @staticmethod
    def _first(found: Iterator[EventRecord]) -> tuple[EventRecord, ...]:
        return tuple(islice(found, _FOUND_MAX))

    def _about(self, subject: str, workspace: str) -> Iterator[EventRecord]:
        return self.records.find(since=self.since, about=subject, workspace=workspace)

    def _by_id(self, subject: str, workspace: str) -> Iterator[EventRecord]:
        for record in self.records.by_id(subject, since=self.since):
            if folded(workspace) in ("", folded(record.workspace)):
                yield record

    def _on_endpoint(self, subject: str, workspace: str) -> Iterator[EventRecord]:
        """Yield the events whose rollouts are on an endpoint, the newest rollout first."""
        rollouts = (kept.value for kept in self.rollouts.all())
        found = [one for one in rollouts if one.endpoint.lower() == subject.lower()]
        for rollout in sorted(found, key=lambda one: one.created_at, reverse=True):
            record = self.records.get(rollout.ref)
            if record is not None and folded(workspace) in ("", folded(record.workspace)):
                yield record

    def missing(self, subject: str, *, workspace: str = "") -> Absence:
        """Return the signs of an event that is not on record.

        Raises: StorageUnavailable.
        """
        newest: dict[str, dict[str, EventRecord]] = {}
        names: dict[str, str] = {}
        abouts: Counter[str] = Counter()
        odd: list[EventRecord] = []
        for record in islice(self.records.find(since=self.since), _LOOKED_MAX):
            if record.workspace:
                names.setdefault(folded(record.source), record.source)
                newest.setdefault(folded(record.source), {}).setdefault(record.type, record)
            if record.about:
                abouts[record.about] += 1
            if record.type not in _TYPES and len(odd) < _READ_MAX:
                odd.append(record)
        return Absence(
            subject=subject,
            since=self.since,
            workspaces=tuple(self._seen(newest, names, workspace)),
            near=nearest(subject, abouts) or "",
            unread=tuple(record for record in odd if self._is_about(record, subject)),
            letters=tuple(islice(self._letters(subject), _LISTED_MAX)),
            waiting=tuple(self._waiting()),
            undelivered=len(self.blobs.names(EVENT_GRID_CONTAINER, most=_LISTED_MAX)),
        )

    def _seen(
        self, newest: Mapping[str, dict[str, EventRecord]], names: Mapping[str, str], only: str
    ) -> Iterator[SeenWorkspace]:
        listed = {item.key: item for item in self.reactions.workspaces}
        for key in (*listed, *(key for key in newest if key not in listed)):
            arm_id = listed[key].id if key in listed else names[key]
            name = arm_id.rstrip("/").rpartition("/")[2]
            if folded(only) in ("", folded(name)):
                yield SeenWorkspace(
                    name=name, id=arm_id, is_listed=key in listed, newest=newest.get(key, {})
                )

    def _is_about(self, record: EventRecord, subject: str) -> bool:
        """Return whether an event that was refused or can't be read is about this."""
        try:
            event = self.records.event_of(record)
        except EventMalformed:
            return subject in self.records.body_of(record)
        if not isinstance(event, Event):
            return False
        return event.about == subject or event.about.startswith(f"{subject}:")

    def _letters(self, subject: str) -> Iterator[Letter]:
        """Yield the open letters of whole events in which each part of the subject is found."""
        for letter in self.dead_letters.all():
            is_open = letter.status is not LetterStatus.CLOSED and not letter.reaction
            if is_open and all(part in letter.body for part in subject.split(":")):
                yield letter

    def _waiting(self) -> Iterator[str]:
        for queue in (EVENTS_QUEUE, DRIFT_QUEUE):
            for name in (queue, queue + POISON):
                if self.queues.peek(name) is not None:
                    yield name
