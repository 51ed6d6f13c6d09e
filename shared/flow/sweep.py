"""The sweep: a timer finds lost messages, and deletes data after its retention."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.ports import Blobs, Message, Queues, Tables
from shared.events.envelopes import OF_CHECKS, OF_WORKSPACES, Taken
from shared.flow.react import React
from shared.flow.schedules import Schedules
from shared.flow.unreported import Unreported
from shared.journal import ledger, letters
from shared.journal.dead_letters import DeadLetters
from shared.journal.letter_notices import LetterNotices
from shared.journal.letters import LetterStatus, letter_id_of
from shared.journal.records import AHEAD_MAX, Records, batches, day_of
from shared.journal.starts import Starts
from shared.launches.launches import Launches
from shared.messages.repeats import Folds
from shared.orphans.watch import OrphanWatch
from shared.retraining.approvals import Approvals
from shared.retraining.loops import Loops
from shared.rollouts.engine import advance
from shared.rollouts.engine.advance import Rollouts

if TYPE_CHECKING:
    from shared.journal.announcements import Announcer

log = logging.getLogger(__name__)

EVENTS_QUEUE = "workspace-events"
DRIFT_QUEUE = "drift-events"
#: The container where Event Grid puts events that it could not deliver.
EVENT_GRID_CONTAINER = "event-grid-dead-letters"
#: The same for a custom topic.
DRIFT_CONTAINER = "drift-event-dead-letters"
#: The types that each queue accepts.
_QUEUES: Mapping[str, frozenset[Taken]] = {EVENTS_QUEUE: OF_WORKSPACES, DRIFT_QUEUE: OF_CHECKS}
_CONTAINERS: Mapping[str, frozenset[Taken]] = {
    EVENT_GRID_CONTAINER: OF_WORKSPACES,
    DRIFT_CONTAINER: OF_CHECKS,
}
POISON = "-poison"

#: Retention runs in this hour (UTC) only, because it reads some tables as a whole.
_RETENTION_HOUR = 3
#: The most lost messages that one sweep sends again; the next one goes on.
_RESENT_MAX = 500
#: The most blobs that one sweep lists; the next one goes on.
_MOST = 1_000
#: The longest time of a sweep. A trigger has five minutes, and the chore under way has to end.
BUDGET = timedelta(minutes=3)
#: Sweeps so far apart begin with different parts.
_TURN = timedelta(minutes=1)

type _Chore = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Finds lost messages, and deletes rows that are older than the retention.

    `orphans` is None if the reactions file has no `orphans:`.
    """

    tables: Tables
    queues: Queues
    blobs: Blobs
    records: Records
    dead_letters: DeadLetters
    rollouts: Rollouts
    folds: Folds
    starts: Starts
    letter_notices: LetterNotices
    loops: Loops
    launches: Launches
    schedules: Schedules
    unreported: Unreported
    approvals: Approvals
    react: React
    clock: Clock
    retention: timedelta
    orphans: OrphanWatch | None = None
    announcer: "Announcer | None" = None

    def run(self) -> None:
        """Do one sweep: a chore that fails does not stop the others.

        It ends in time for the next one, which begins with another part, so each part has its turn
        even if one takes long.

        Raises: the first Exception of a chore, at the end; the next sweep does the rest.
        """
        begun = self.clock.now()
        turn = int(begun.timestamp() // _TURN.total_seconds())
        with telemetry.span(telemetry.SPAN_SWEEP):
            parts: tuple[Callable[[], Iterable[_Chore]], ...] = (
                self._wake_rollouts,
                self._wake_letters,
                *(partial(self._take_poison, queue) for queue in _QUEUES),
                self._drop_own_poison,
                self._take_announcements_back,
                *(partial(self._take_undelivered, box, turn) for box in _CONTAINERS),
                self.letter_notices.chores,
                self.folds.summaries,
                self._tend_loops,
                self.launches.chores,
                self._raise_events,
                lambda: self.orphans.chores() if self.orphans is not None else (),
                self._forget,
            )
            first = turn % len(parts)
            self._do_all((*parts[first:], *parts[:first]), begun + BUDGET)

    def _do_all(self, parts: Iterable[Callable[[], Iterable[_Chore]]], deadline: datetime) -> None:
        """Do the chores of each part until the deadline, even if some fail.

        Raises: the first Exception of a chore, at the end.
        """
        failures: list[Exception] = []
        for part in parts:
            try:
                chores = iter(part())
                while (chore := next(chores, None)) is not None:
                    if self.clock.now() >= deadline:
                        log.warning("the sweep has no time left; the next one goes on")
                        break
                    try:
                        chore()
                    except Exception as error:
                        log.exception("the sweep could not do everything")
                        failures.append(error)
            except Exception as error:
                log.exception("the sweep could not do everything")
                failures.append(error)
        for failure in failures[:1]:
            raise failure

    def _raise_events(self) -> Iterator[_Chore]:
        """Raise the events that nobody else sends."""
        yield from chain(self.schedules.chores(), self.unreported.chores())

    def _wake_rollouts(self) -> Iterator[_Chore]:
        """Send the messages of ticks that must have been lost again."""
        for kept in islice(self.rollouts.overdue(), _RESENT_MAX):
            log.warning("tick was lost", extra={"rollout": kept.value.id})
            yield partial(self.rollouts.resend, kept)

    def _wake_letters(self) -> Iterator[_Chore]:
        """Send the messages of letters that must have been lost again."""
        for letter in islice(self.dead_letters.overdue(), _RESENT_MAX):
            log.warning("letter was lost", extra={"letter": letter.id})
            yield partial(self.dead_letters.resend, letter)

    def _take_poison(self, queue: str) -> Iterator[_Chore]:
        """Make letters of events whose messages the host gave up on."""
        while messages := self.queues.receive(queue + POISON):
            yield from (partial(self._take_message, queue, message) for message in messages)

    def _drop_own_poison(self) -> Iterator[_Chore]:
        """Delete own messages that the host gave up on: the rows have all that is needed."""
        for queue in (advance.QUEUE + POISON, letters.QUEUE + POISON):
            while messages := self.queues.receive(queue):
                yield from (partial(self.queues.delete, queue, message) for message in messages)

    def _take_announcements_back(self) -> Iterator[_Chore]:
        """Put announcements that the host gave up on into their queue again."""
        if self.announcer is None:
            return
        while messages := self.announcer.poison():
            yield from (partial(self.announcer.take_back, message) for message in messages)

    def _take_undelivered(self, container: str, turn: int) -> Iterator[_Chore]:
        """Make letters of the events that Event Grid dead-lettered; delete a blob after that.

        Each sweep begins with another blob, so that failing ones do not block the others.
        """
        names = self.blobs.names(container, most=_MOST)
        first = turn % len(names) if names else 0
        for name in (*names[first:], *names[:first]):
            yield partial(self._take_blob, container, name)

    def _take_message(self, queue: str, message: Message) -> None:
        self.react.put_off(message.text, takes=_QUEUES[queue])
        self.queues.delete(queue + POISON, message)

    def _take_blob(self, container: str, name: str) -> None:
        body = self.blobs.get(container, name)
        if body is not None:
            self.react.put_off(body, takes=_CONTAINERS[container])
        self.blobs.delete(container, name)

    def _tend_loops(self) -> Iterator[_Chore]:
        """Follow the runs of retrainings, send messages that are left, and start approved ones."""
        running = tuple(self.loops.store.running())
        yield from chain(self.approvals.chores(running), self.loops.chores(running))

    def _forget(self) -> Iterator[_Chore]:
        """Delete rows older than the retention, but no claim of a letter that may be replayed."""
        now = self.clock.now()
        if now.hour != _RETENTION_HOUR:
            return
        before = now - self.retention
        yield from self.records.old(before)
        for letter in self.dead_letters.closed(before):
            yield partial(self.dead_letters.remove, letter)
        for kept in self.rollouts.store.ended(before):
            yield partial(self.rollouts.store.remove, kept)
        yield from self.folds.old(before)
        yield from self.starts.old(before)
        for idle in self.loops.store.idle(before):
            yield partial(self.loops.store.remove, idle)
        yield from self.launches.old(before)
        if self.orphans is not None:
            yield partial(self.orphans.forget, before)
        # The claims last, because they are the most.
        waiting = self._open_letters()
        query = partial(self.tables.query, ledger.TABLE, before=("until", before))
        ahead = day_of(now + AHEAD_MAX)
        rows = chain(query(partition_to=day_of(before)), query(partition_from=ahead))
        old = (row for row in rows if letter_id_of(*ledger.claimed_by(row)) not in waiting)
        for batch in batches(old):
            yield partial(self.tables.delete_all, ledger.TABLE, batch)

    def _open_letters(self) -> frozenset[str]:
        """Return the ids of the letters that may still be replayed."""
        found = (LetterStatus.WAITING, LetterStatus.PARKED)
        return frozenset(letter.id for status in found for letter in self.dead_letters.all(status))
