"""The sweep: what a timer does so that nothing is lost for good, and nothing is kept for ever."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import dead_letters, ledger, records, telemetry
from shared.clock import Clock
from shared.dead_letters import GRACE, DeadLetters, LetterStatus
from shared.ports import Blobs, Queues, Tables
from shared.react import MAX_KEPT, React
from shared.rollouts import advance
from shared.rollouts.advance import Rollouts

log = logging.getLogger(__name__)

EVENTS_QUEUE = "workspace-events"
#: Where Event Grid puts the events that it could not deliver.
EVENT_GRID_CONTAINER = "event-grid-dead-letters"
POISON = "-poison"

#: Retention runs in this hour (UTC): it reads whole tables.
_RETENTION_HOUR = 3
#: Of each kind of thing, at most this many in one sweep; the next one goes on.
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Finds what was lost on the way, and deletes what is older than the retention."""

    tables: Tables
    queues: Queues
    blobs: Blobs
    dead_letters: DeadLetters
    rollouts: Rollouts
    react: React
    clock: Clock
    retention: timedelta

    def run(self) -> None:
        """Do one sweep.

        Raises: whatever the storage raises; the next sweep does the rest.
        """
        with telemetry.span(telemetry.SPAN_SWEEP):
            self._wake_overdue()
            self._take_poison()
            self._take_undelivered()
            now = self.clock.now()
            if now.hour == _RETENTION_HOUR:
                self._forget(now - self.retention)

    def _wake_overdue(self) -> None:
        """Send the messages of ticks and letters again that must have been lost."""
        for kept in self.rollouts.store.overdue(self.clock.now() - GRACE):
            log.warning("tick was lost", extra={"rollout": kept.rollout.id})
            self.rollouts.wake(kept.rollout)
        for letter in self.dead_letters.overdue():
            log.warning("letter was lost", extra={"letter": letter.id})
            self.dead_letters.wake(letter)

    def _take_poison(self) -> None:
        """React to events whose messages the host gave up on; of ours the rows know all."""
        for message in self.queues.receive(EVENTS_QUEUE + POISON):
            self.react.react_to_body(message.text)
            self.queues.delete(EVENTS_QUEUE + POISON, message)
        for queue in (advance.QUEUE + POISON, dead_letters.QUEUE + POISON):
            for message in self.queues.receive(queue):
                self.queues.delete(queue, message)

    def _take_undelivered(self) -> None:
        """React to the events that Event Grid dead-lettered; delete a blob when that is done."""
        for name in self.blobs.names(EVENT_GRID_CONTAINER, most=_MOST):
            body = self.blobs.get(EVENT_GRID_CONTAINER, name)
            if body is not None:
                self.react.react_to_body(body, limit=MAX_KEPT)
            self.blobs.delete(EVENT_GRID_CONTAINER, name)

    def _forget(self, before: datetime) -> None:
        for table, column in ((records.TABLE, "time"), (ledger.TABLE, "until")):
            for row in self.tables.query(table, before=(column, before)):
                self.tables.delete(table, row.partition, row.key)
        for letter in self.dead_letters.all(LetterStatus.CLOSED):
            if letter.created_at < before:
                self.dead_letters.remove(letter)
        for kept in self.rollouts.store.ended(before):
            self.rollouts.store.remove(kept)
