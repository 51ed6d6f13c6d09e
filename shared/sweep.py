"""The sweep: what a timer does so that nothing is lost for good, and nothing is kept for ever."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import chain

from shared import dead_letters, ledger, records, telemetry
from shared.clock import Clock
from shared.dead_letters import GRACE, DeadLetters, LetterStatus
from shared.envelopes import OF_CHECKS, OF_WORKSPACES, Taken
from shared.folds import Folds
from shared.letter_notices import LetterNotices
from shared.loops.approvals import Approvals
from shared.loops.follow import Loops
from shared.orphan_watch import OrphanWatch
from shared.ports import Blobs, Message, Queues, Tables
from shared.react import MAX_KEPT, React
from shared.rollouts import advance
from shared.rollouts.advance import Rollouts

log = logging.getLogger(__name__)

EVENTS_QUEUE = "workspace-events"
DRIFT_QUEUE = "drift-events"
#: Where Event Grid puts the events that it could not deliver.
EVENT_GRID_CONTAINER = "event-grid-dead-letters"
#: The same, of a topic of one's own.
DRIFT_CONTAINER = "drift-event-dead-letters"
#: What may come by each of these ways.
_QUEUES: Mapping[str, frozenset[Taken]] = {EVENTS_QUEUE: OF_WORKSPACES, DRIFT_QUEUE: OF_CHECKS}
_CONTAINERS: Mapping[str, frozenset[Taken]] = {
    EVENT_GRID_CONTAINER: OF_WORKSPACES,
    DRIFT_CONTAINER: OF_CHECKS,
}
POISON = "-poison"

#: Retention runs in this hour (UTC): it reads whole tables.
_RETENTION_HOUR = 3
#: Of each kind of thing, at most this many in one sweep; the next one goes on.
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Finds what was lost on the way, and deletes what is older than the retention.

    `orphans` is None where the reactions file has no `orphans:`.
    """

    tables: Tables
    queues: Queues
    blobs: Blobs
    dead_letters: DeadLetters
    rollouts: Rollouts
    folds: Folds
    letter_notices: LetterNotices
    loops: Loops
    approvals: Approvals
    react: React
    clock: Clock
    retention: timedelta
    orphans: OrphanWatch | None = None

    def run(self) -> None:
        """Do one sweep: what can't be done keeps nothing else from being done.

        Raises: the first thing that was raised, at the end; the next sweep does the rest.
        """
        with telemetry.span(telemetry.SPAN_SWEEP):
            parts: tuple[Callable[[], None], ...] = (
                self._wake_rollouts,
                self._wake_letters,
                *(partial(self._take_poison, queue) for queue in _QUEUES),
                self._drop_own_poison,
                *(partial(self._take_undelivered, container) for container in _CONTAINERS),
                self.letter_notices.tell_untold,
                self.folds.tell_due,
                self._tend_loops,
                self._tend_orphans,
                self._forget,
            )
            _do_all(parts)

    def _wake_rollouts(self) -> None:
        """Send the messages of ticks again that must have been lost."""
        for kept in self.rollouts.store.overdue(self.clock.now() - GRACE):
            log.warning("tick was lost", extra={"rollout": kept.rollout.id})
            self.rollouts.wake(kept.rollout)

    def _wake_letters(self) -> None:
        """Send the messages of letters again that must have been lost."""
        for letter in self.dead_letters.overdue():
            log.warning("letter was lost", extra={"letter": letter.id})
            self.dead_letters.wake(letter)

    def _take_poison(self, queue: str) -> None:
        """React to events whose messages the host gave up on."""
        messages = self.queues.receive(queue + POISON)
        _do_all(partial(self._take_message, queue, message) for message in messages)

    def _drop_own_poison(self) -> None:
        """Forget messages of ours that the host gave up on: the rows know all."""
        for queue in (advance.QUEUE + POISON, dead_letters.QUEUE + POISON):
            for message in self.queues.receive(queue):
                self.queues.delete(queue, message)

    def _take_undelivered(self, container: str) -> None:
        """React to the events that Event Grid dead-lettered; delete a blob when that is done."""
        names = self.blobs.names(container, most=_MOST)
        _do_all(partial(self._take_blob, container, name) for name in names)

    def _take_message(self, queue: str, message: Message) -> None:
        self.react.react_to_body(message.text, takes=_QUEUES[queue])
        self.queues.delete(queue + POISON, message)

    def _take_blob(self, container: str, name: str) -> None:
        body = self.blobs.get(container, name)
        if body is not None:
            self.react.react_to_body(body, limit=MAX_KEPT, takes=_CONTAINERS[container])
        self.blobs.delete(container, name)

    def _tend_loops(self) -> None:
        """Follow the runs of retrainings, tell what is untold, and wake what was approved."""
        running = tuple(self.loops.store.running())
        _do_all(chain(self.approvals.chores(running), self.loops.chores(running)))

    def _tend_orphans(self) -> None:
        """Look at the workspaces whose day is over, and tell of what was found."""
        if self.orphans is not None:
            _do_all(self.orphans.chores())

    def _forget(self) -> None:
        """Delete what is older than the retention; a claim not while a letter may be replayed."""
        now = self.clock.now()
        if now.hour != _RETENTION_HOUR:
            return
        before = now - self.retention
        for row in self.tables.query(records.TABLE, before=("time", before)):
            self.tables.delete(records.TABLE, row.partition, row.key)
        for row in self.tables.query(ledger.TABLE, before=("until", before)):
            if not self.dead_letters.is_open(row.partition, ledger.reaction_of(row)):
                self.tables.delete(ledger.TABLE, row.partition, row.key)
        for letter in self.dead_letters.all(LetterStatus.CLOSED):
            if letter.created_at < before:
                self.dead_letters.remove(letter)
        for kept in self.rollouts.store.ended(before):
            self.rollouts.store.remove(kept)
        self.folds.forget(before)
        for idle in self.loops.store.idle(before):
            self.loops.store.remove(idle)
        if self.orphans is not None:
            self.orphans.forget(before)


def _do_all(parts: Iterable[Callable[[], None]]) -> None:
    """Do each part, whatever becomes of the others.

    Raises: the first thing that was raised, at the end.
    """
    failures: list[Exception] = []
    for part in parts:
        try:
            part()
        except Exception as error:
            log.exception("the sweep could not do everything")
            failures.append(error)
    for failure in failures[:1]:
        raise failure
