"""Bury, keep, replay and close dead letters.

A message on queue `dead-letter` only names the letter that is due, and its turn. So a lost or
doubled message does no harm: the sweep sends lost ones again, and stale ones are ignored.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.errors import (
    ApprovalMissing,
    BudgetFull,
    BudgetSpent,
    ClaimHeld,
    Disposition,
    Failure,
    Frozen,
    SignalboxError,
    StorageDenied,
    StorageUnavailable,
    TagsAwaited,
    WindowOpen,
)
from shared.base.outgoing import for_row
from shared.base.ports import Blobs, Queues, RowChanged, Tables
from shared.base.retry import backoff
from shared.base.wakeups import GRACE, handed_out_to, read_wakeup, write_wakeup
from shared.events.model import read_workspace
from shared.journal.letter_store import LetterStore
from shared.journal.letters import QUEUE, Letter, LetterStatus, letter_id_of
from shared.journal.outcomes import EventRef

if TYPE_CHECKING:
    from shared.journal.announcements import Announcer

log = logging.getLogger(__name__)

#: Failed attempts before a letter is parked. The later ones are half an hour to an hour apart, so
#: they take more than a day.
ATTEMPTS_MAX = 60
#: The same for unexpected failures: a bug does not heal within a day.
UNEXPECTED_ATTEMPTS_MAX = 8
#: These wait for something that is known to end, so they don't count as failed attempts.
_NOT_FAILURES = frozenset(
    {
        ClaimHeld.code,
        BudgetSpent.code,
        WindowOpen.code,
        BudgetFull.code,
        TagsAwaited.code,
        Frozen.code,
    }
)
#: The names in a message.
_IN_MESSAGE = (("letter",), "turn")
#: A letter that could not be read or written is tried again after this.
_UNREAD = timedelta(minutes=1)


class DeadLetters:
    """Buries, keeps and closes letters."""

    def __init__(
        self,
        *,
        tables: Tables,
        queues: Queues,
        blobs: Blobs,
        clock: Clock,
        retry_base: timedelta,
        channels_of: Callable[[str], tuple[str, ...]] = lambda _: (),
        announcer: "Announcer | None" = None,
    ) -> None:
        """`channels_of` returns the channels to tell of a parked letter, by its reaction's name.

        The name is "" for a letter of a whole event.
        """
        self._store = LetterStore(tables=tables, blobs=blobs)
        self._queues = queues
        self._clock = clock
        self._retry_base = retry_base
        self._channels_of = channels_of
        self._announcer = announcer

    def bury(
        self,
        body: str,
        failure: Failure,
        *,
        reaction: str = "",
        ref: EventRef | None = None,
        takes: str = "",
    ) -> Letter:
        """Keep an event that failed on arrival, for a replay or a person: two or three requests.

        One event and reaction have one letter, however often they fail.

        Raises: StorageUnavailable; the event must then be delivered again.
        """
        body = for_row(body)  # as it will be read, because the id may be made of it
        letter_id = letter_id_of(ref.key if ref else body, reaction)
        about = f"{ref.type} {ref.about}".strip() if ref else ""
        workspace = read_workspace(ref.source) if ref else None
        now = self._clock.now()
        new = Letter(
            id=letter_id,
            status=LetterStatus.CLOSED,
            reaction=reaction,
            code="",
            reason="",
            hint="",
            attempt=0,
            turn=0,
            due_at=now,
            created_at=now,
            about=about,
            body=body,
            traceparent="",
            workspace=workspace.name if workspace else "",
        )

        def fail(known: Letter | None) -> Letter | None:
            if failure.code == ClaimHeld.code and known is not None and self._is_to_come(known):
                return None  # the holder of the claim has given it back, and set a time to retry
            return replace(self._next(known or new, failure), about=about, body=body, takes=takes)

        letter, is_buried = self._change(letter_id, fail)
        assert letter is not None  # it was written just now, or found
        return self._kept(letter) if is_buried else letter

    def bury_again(
        self, letter: Letter, failure: Failure, record: Callable[[Letter], None] = lambda _: None
    ) -> Letter:
        """Keep a letter whose replay failed: two requests. A letter closed meanwhile stays closed.

        `record` is called with the letter as it will be, before each attempt to write it. After a
        crash it writes its record again, because the letter is then replayed again.

        Raises: StorageUnavailable; the letter then still waits.
        """

        def fail(known: Letter | None) -> Letter | None:
            if known is None or known.status is LetterStatus.CLOSED:
                return None
            again = self._next(known, failure)
            record(again)
            return again

        again, is_buried = self._change(letter.id, fail, known=letter)
        if again is not None and is_buried:
            return self._kept(again)
        closed = again or replace(letter, status=LetterStatus.CLOSED)
        record(closed)
        return closed

    def _kept(self, letter: Letter) -> Letter:
        if letter.status is LetterStatus.WAITING:
            self.wake(letter)
        telemetry.count(telemetry.METRIC_LETTERS, status=letter.status, code=letter.code)
        return letter

    def _is_to_come(self, letter: Letter) -> bool:
        return letter.status is LetterStatus.WAITING and letter.due_at > self._clock.now()

    def _next(self, known: Letter, failure: Failure) -> Letter:
        """Return the letter after one more failure."""
        before = known.attempt if known.status is not LetterStatus.CLOSED else 0
        attempt = before if failure.code in _NOT_FAILURES else before + 1
        most = UNEXPECTED_ATTEMPTS_MAX if failure.code == SignalboxError.code else ATTEMPTS_MAX
        retries = failure.disposition is Disposition.RETRY and attempt < most
        return replace(
            known,
            status=LetterStatus.WAITING if retries else LetterStatus.PARKED,
            code=failure.code,
            reason=failure.reason,
            hint=failure.hint,
            attempt=attempt,
            turn=known.turn + 1,
            due_at=self._clock.now() + self._wait(attempt, failure),
            traceparent=telemetry.traceparent(),
        )

    def _wait(self, attempt: int, failure: Failure) -> timedelta:
        if failure.code == BudgetSpent.code:
            return timedelta(0)
        if failure.code in _NOT_FAILURES:
            return failure.retry_after or timedelta(0)
        return backoff(attempt, retry_after=failure.retry_after, base=self._retry_base)

    def wake(self, letter: Letter) -> None:
        """Send the message that replays the letter when it is due."""
        delay = max(letter.due_at - self._clock.now(), timedelta(0))
        message = write_wakeup(
            {"letter": letter.id},
            ("turn", letter.turn),
            self._clock.now() + delay,
            traceparent=letter.traceparent,
        )
        self._queues.send(QUEUE, message, delay=delay)

    def due(self, message: str, *, redelivered: bool = False) -> Letter | None:
        """Return the letter that a message of the queue names, if it is that letter's turn.

        `redelivered` says that the queue handed the message out before. Its worker may have died in
        the replay: then `is_again` of the letter is set. Or it died between saving the row and
        sending the next message: then that is sent again. A message that is not ours is dropped.

        Raises: StorageUnavailable if it was handed out before. If not, it is sent again, because a
        message that fails is handed out again, which would count as a death.
        """
        wakeup = read_wakeup(message, *_IN_MESSAGE)
        try:
            letter = self.get(wakeup.ids["letter"]) if wakeup is not None else None
        except (StorageUnavailable, StorageDenied) as error:
            if redelivered:
                raise
            log.warning("a letter could not be read, and is tried again: %s", error.message)
            self._queues.send(QUEUE, message, delay=_UNREAD)
            return None
        if wakeup is None or letter is None or letter.status is not LetterStatus.WAITING:
            return None
        if letter.turn == wakeup.number:
            return replace(letter, is_again=redelivered)
        if redelivered and letter.turn == wakeup.number + 1:
            self.wake(letter)
        return None

    def put_back(self, letter: Letter) -> None:
        """Send the message of a letter again, because the result of its replay can't be kept."""
        self.wake(replace(letter, due_at=self._clock.now() + _UNREAD))

    def get(self, letter_id: str) -> Letter | None:
        """Return the letter with its body, or None."""
        return self._store.get(letter_id)

    def all(self, status: LetterStatus | None = None) -> Iterator[Letter]:
        """Yield the letters, of one status or of any; bodies that are in blobs are not read."""
        return self._store.find(None if status is None else {"status": str(status)})

    def find(self, prefix: str) -> Iterator[Letter]:
        """Yield the letters whose id begins so: see `LetterStore.find`."""
        return self._store.find(prefix=prefix)

    def overdue(self) -> Iterator[Letter]:
        """Yield the letters whose message must have been lost, and is not only queued."""
        now = self._clock.now()
        handed_out = handed_out_to(self._queues, QUEUE, *_IN_MESSAGE, now)
        return self._store.find(
            {"status": str(LetterStatus.WAITING)}, before=("due_at", handed_out - GRACE)
        )

    def resend(self, letter: Letter) -> None:
        """Send the message of a letter again, and note when; leave a letter that has changed."""
        due = replace(letter, due_at=self._clock.now())
        if self._replace(letter, due):
            self.wake(due)

    def untold(self) -> Iterator[Letter]:
        """Yield the parked letters that some channel is still to be told of."""
        return self._store.find({"is_untold": True})

    def closed(self, before: datetime) -> Iterator[Letter]:
        """Yield the letters that were closed before then."""
        return self._store.find({"status": str(LetterStatus.CLOSED)}, before=("due_at", before))

    def note(self, letter_id: str, channel: str, left: Mapping[str, int]) -> None:
        """Note that a channel was told of a letter, or how many attempts to tell it failed.

        `left` is empty, or has the channel with its failed attempts.
        """

        def take_off(known: Letter | None) -> Letter | None:
            if known is None or channel not in known.untold:
                return None  # it was replayed or closed meanwhile
            others = {name: known.untold[name] for name in known.untold if name != channel}
            return replace(known, untold={**others, **left})

        self._change(letter_id, take_off)

    def close(self, letter: Letter, order: str = "") -> bool:
        """Close the letter; return False, and leave it, if it has changed since it was read.

        `order` says who closed it and why, if that was a person.
        """
        closed = replace(
            letter,
            status=LetterStatus.CLOSED,
            order=order or letter.order,
            due_at=self._clock.now(),
        )
        return self._settle(letter, closed)

    def park(self, letter: Letter, failure: Failure) -> bool:
        """Keep the letter for a person, who is told why; return False as `close` does."""
        parked = replace(
            letter,
            status=LetterStatus.PARKED,
            code=failure.code,
            reason=failure.reason,
            hint=failure.hint,
        )
        return self._settle(letter, parked)

    def reopen(self, letter: Letter, order: str = "") -> bool:
        """Make a letter due now, with no attempts; see `close` for `order` and False."""
        again = self._reopened(letter, order)
        if not self._settle(letter, again):
            return False
        self.wake(again)
        return True

    def replay_now(self, letter_id: str) -> None:
        """Make a letter due now, even if it changes meanwhile; leave one that waits already."""

        def reopen(known: Letter | None) -> Letter | None:
            is_waiting = known is None or known.status is LetterStatus.WAITING
            return None if known is None or is_waiting else self._reopened(known)

        letter, is_reopened = self._change(letter_id, reopen)
        if letter is not None and is_reopened:
            self._kept(letter)

    def _reopened(self, letter: Letter, order: str = "") -> Letter:
        return replace(
            letter,
            status=LetterStatus.WAITING,
            order=order or letter.order,
            attempt=0,
            turn=letter.turn + 1,
            due_at=self._clock.now(),
        )

    def remove(self, letter: Letter) -> None:
        """Delete a letter and its body, unless it has changed since it was read."""
        self._store.remove(letter)

    def _settle(self, known: Letter, letter: Letter) -> bool:
        if not self._replace(known, letter):
            return False
        telemetry.count(telemetry.METRIC_LETTERS, status=letter.status, code=letter.code)
        return True

    def _replace(self, known: Letter, letter: Letter) -> bool:
        try:
            self._store.save(self._to_be_told(letter, known), known)
        except RowChanged:
            return False
        return True

    def _change(
        self,
        letter_id: str,
        change: Callable[[Letter | None], Letter | None],
        *,
        known: Letter | None = None,
    ) -> tuple[Letter | None, bool]:
        """Change a letter, and note whom to tell: see `LetterStore.change`."""

        def with_channels(found: Letter | None) -> Letter | None:
            letter = change(found)
            return None if letter is None else self._to_be_told(letter, found)

        return self._store.change(letter_id, with_channels, known=known)

    def _to_be_told(self, letter: Letter, known: Letter | None) -> Letter:
        """Return the letter with the channels to tell, once each time that it is parked.

        There are none where approval is missing, because the loop asks for that itself.
        """
        if letter.status is not LetterStatus.PARKED or letter.code == ApprovalMissing.code:
            return replace(letter, untold={})
        if known is not None and known.status is LetterStatus.PARKED:
            return letter
        if self._announcer is not None:
            self._announcer.announce_parked(letter)
        channels = self._channels_of(letter.reaction)
        return replace(letter, untold=dict.fromkeys(channels, 0))
