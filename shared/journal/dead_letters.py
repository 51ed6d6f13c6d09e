"""Dead letters: buried, kept, replayed and closed.

A letter is a row; its body is the event as it arrived, in the row or, when it is long, in a blob.
A message on queue `dead-letter` only says which letter is due, and for which attempt, so that a
lost or doubled message does no harm: the sweep sends lost ones again, and stale ones are ignored.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.errors import (
    ApprovalMissing,
    BudgetFull,
    BudgetSpent,
    ClaimHeld,
    Disposition,
    Failure,
    SignalboxError,
    StorageDenied,
    StorageUnavailable,
    TagsAwaited,
    WindowOpen,
)
from shared.base.outgoing import for_row
from shared.base.ports import Blobs, Queues, Row, RowChanged, RowExists, Tables, Value
from shared.base.redact import redact
from shared.base.retry import backoff
from shared.base.wakeups import GRACE, handed_out_to, read_wakeup, write_wakeup
from shared.events.model import read_workspace
from shared.journal.letters import CONTAINER, QUEUE, TABLE, Letter, LetterStatus, letter_id_of
from shared.journal.outcomes import EventRef

log = logging.getLogger(__name__)

#: A row's string holds 32,000 UTF-16 units, which are never more than its UTF-8 bytes; a longer
#: body goes to a blob.
_INLINE_MAX = 30_000
#: Replays before a letter is parked. The later ones are half an hour to an hour apart, so that this
#: is more than a day.
ATTEMPTS_MAX = 60
#: The same for failures that nobody foresaw: a bug does not heal by waiting a day.
UNEXPECTED_ATTEMPTS_MAX = 8
#: These wait for something known to end; they don't count as attempts that failed.
_NOT_FAILURES = frozenset(
    {ClaimHeld.code, BudgetSpent.code, WindowOpen.code, BudgetFull.code, TagsAwaited.code}
)
#: The names in a message.
_IN_MESSAGE = (("letter",), "turn")
#: A letter that could not be read or written for want of storage is looked at again after this.
_UNREAD = timedelta(minutes=1)
_PARTITION_LENGTH = 2
_TEXT_MAX = 4_000


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
    ) -> None:
        """Keep letters; `channels_of` says whom to tell of a parked one, by its reaction's name."""
        self._tables = tables
        self._queues = queues
        self._blobs = blobs
        self._clock = clock
        self._retry_base = retry_base
        self._channels_of = channels_of

    def bury(
        self,
        body: str,
        failure: Failure,
        *,
        reaction: str = "",
        ref: EventRef | None = None,
        takes: str = "",
    ) -> Letter:
        """Keep what failed when it arrived, for a replay or a person: two or three requests.

        One event and reaction have one letter, however often they fail.

        Raises: StorageUnavailable; then nothing is promised and the event must stay.
        """
        body = for_row(body)  # as it is going to be read, for the id may be made of it
        letter_id = letter_id_of(ref.key if ref else body, reaction)
        about = f"{ref.type} {ref.about}".strip() if ref else ""
        workspace = read_workspace(ref.source) if ref else None
        while True:
            known = self.get(letter_id)
            was_held_out = failure.code == ClaimHeld.code
            if was_held_out and known is not None and self._is_to_come(known):
                return known  # whoever held the claim has given it back, and said when to come
            now = self._clock.now()
            before = known or Letter(
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
            letter = replace(self._next(before, failure), about=about, body=body, takes=takes)
            try:
                self._save(letter, known)
            except (RowExists, RowChanged):
                continue
            return self._kept(letter)

    def bury_again(
        self, letter: Letter, failure: Failure, record: Callable[[Letter], None] = lambda _: None
    ) -> Letter:
        """Keep a letter whose replay failed: two requests; one that is closed by now stays closed.

        `record` is given the letter as it is going to stand, each time before that is tried: what
        it writes is written again after a crash, because the letter is still to be replayed then.

        Raises: StorageUnavailable; the letter is then still waiting.
        """
        known: Letter | None = letter
        while known is not None and known.status is not LetterStatus.CLOSED:
            again = self._next(known, failure)
            record(again)
            try:
                self._save(again, known)
            except RowChanged:
                known = self.get(letter.id)
                continue
            return self._kept(again)
        closed = known or replace(letter, status=LetterStatus.CLOSED)
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

        `redelivered` says that the queue handed it out before: whoever had it may have died, in
        the replay, which the letter says then, or between saving the row and sending the next
        message, so that one is sent again. A message that is none of ours is dropped.

        Raises: StorageUnavailable where it was handed out before. Else it is sent anew: one
        that fails is handed out again, which would count as a death.
        """
        wakeup = read_wakeup(message, *_IN_MESSAGE)
        try:
            letter = self.get(wakeup.ids["letter"]) if wakeup is not None else None
        except (StorageUnavailable, StorageDenied) as error:
            if redelivered:
                raise
            log.warning("a letter could not be read, and is looked at again: %s", error.message)
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
        """Send the message of a letter anew, because what came of its replay can't be kept."""
        self.wake(replace(letter, due_at=self._clock.now() + _UNREAD))

    def get(self, letter_id: str) -> Letter | None:
        """Return the letter with its body, or None."""
        row = self._tables.get(TABLE, _partition(letter_id), letter_id)
        letter = None if row is None else _letter_from(row)
        if letter is None or letter.is_read:
            return letter
        body = (self._blobs.get(CONTAINER, letter_id) or b"").decode()
        return replace(letter, body=body, is_read=True)

    def all(self, status: LetterStatus | None = None) -> Iterator[Letter]:
        """Yield the letters, of one status or of any; bodies that are in blobs are not read."""
        return self._query(None if status is None else {"status": str(status)})

    def find(self, prefix: str) -> Iterator[Letter]:
        """Yield the letters whose id begins so: of two digits and more, by a 256th of the table."""
        partition = _partition(prefix) if len(prefix) >= _PARTITION_LENGTH else None
        found = self._query(partition=partition)
        return (letter for letter in found if letter.id.startswith(prefix))

    def overdue(self) -> Iterator[Letter]:
        """Yield the letters whose message must have been lost: what is only queued is not."""
        now = self._clock.now()
        handed_out = handed_out_to(self._queues, QUEUE, *_IN_MESSAGE, now)
        return self._query(
            {"status": str(LetterStatus.WAITING)}, before=("due_at", handed_out - GRACE)
        )

    def resend(self, letter: Letter) -> None:
        """Send the message of a letter again, and remember when; not where it has changed."""
        due = replace(letter, due_at=self._clock.now())
        if self._replace(letter, due):
            self.wake(due)

    def untold(self) -> Iterator[Letter]:
        """Yield the parked letters that somebody is still to be told of."""
        return self._query({"is_untold": True})

    def closed(self, before: datetime) -> Iterator[Letter]:
        """Yield the letters that were closed before then."""
        return self._query({"status": str(LetterStatus.CLOSED)}, before=("due_at", before))

    def _query(
        self,
        equals: Mapping[str, Value] | None = None,
        *,
        partition: str | None = None,
        before: tuple[str, datetime] | None = None,
    ) -> Iterator[Letter]:
        rows = self._tables.query(TABLE, partition=partition, equals=equals, before=before)
        return (_letter_from(row) for row in rows)

    def note(self, letter: Letter, untold: Mapping[str, int]) -> bool:
        """Keep who is still to be told of a parked letter; False as in `close`."""
        return self._replace(letter, replace(letter, untold=untold))

    def close(self, letter: Letter, order: str = "") -> bool:
        """Close the letter; say False, and leave it, if it has changed since it was read.

        `order` says who closed it and why, where that was a person.
        """
        closed = replace(
            letter,
            status=LetterStatus.CLOSED,
            order=order or letter.order,
            due_at=self._clock.now(),
        )
        return self._change(letter, closed)

    def park(self, letter: Letter, failure: Failure) -> bool:
        """Keep the letter for a person, who is told why; False as in `close`."""
        parked = replace(
            letter,
            status=LetterStatus.PARKED,
            code=failure.code,
            reason=failure.reason,
            hint=failure.hint,
        )
        return self._change(letter, parked)

    def reopen(self, letter: Letter, order: str = "") -> bool:
        """Make a letter due now, its attempts counted anew; `order` and False as in `close`."""
        again = replace(
            letter,
            status=LetterStatus.WAITING,
            order=order or letter.order,
            attempt=0,
            turn=letter.turn + 1,
            due_at=self._clock.now(),
        )
        if not self._change(letter, again):
            return False
        self.wake(again)
        return True

    def remove(self, letter: Letter) -> None:
        """Delete a letter and its body, unless it has changed since it was read."""
        try:
            self._tables.delete(TABLE, _partition(letter.id), letter.id, etag=letter.etag)
        except RowChanged:
            return
        self._blobs.delete(CONTAINER, letter.id)

    def _change(self, known: Letter, letter: Letter) -> bool:
        if not self._replace(known, letter):
            return False
        telemetry.count(telemetry.METRIC_LETTERS, status=letter.status, code=letter.code)
        return True

    def _replace(self, known: Letter, letter: Letter) -> bool:
        try:
            self._save(letter, known)
        except RowChanged:
            return False
        return True

    def _save(self, letter: Letter, known: Letter | None) -> None:
        """Write the letter: the body's blob first, so that no row ever points at nothing."""
        letter = self._to_be_told(letter, known)
        body = letter.body.encode()
        in_blob = len(body) > _INLINE_MAX or not letter.is_read
        if in_blob and letter.is_read and (known is None or known.body != letter.body):
            self._blobs.put(CONTAINER, letter.id, body)
        values = _values(letter, in_blob=in_blob)
        if known is None:
            self._tables.insert(TABLE, _partition(letter.id), letter.id, values)
        else:
            self._tables.replace(TABLE, _partition(letter.id), letter.id, values, etag=known.etag)

    def _to_be_told(self, letter: Letter, known: Letter | None) -> Letter:
        """Return the letter with whom to tell, once each time that it is parked.

        Not where a person's yes is missing: for that the loop asks.
        """
        if letter.status is not LetterStatus.PARKED or letter.code == ApprovalMissing.code:
            return replace(letter, untold={})
        if known is not None and known.status is LetterStatus.PARKED:
            return letter
        channels = self._channels_of(letter.reaction) if letter.reaction else ()
        return replace(letter, untold=dict.fromkeys(channels, 0))


_TEXTS = (
    "reaction",
    "code",
    "reason",
    "hint",
    "about",
    "traceparent",
    "takes",
    "workspace",
    "order",
)


def _letter_from(row: Row) -> Letter:
    values = row.values
    due_at, created_at = values["due_at"], values["created_at"]
    assert isinstance(due_at, datetime)
    assert isinstance(created_at, datetime)
    texts = {name: str(values.get(name, "")) for name in _TEXTS}
    return Letter(
        id=row.key,
        status=LetterStatus(str(values["status"])),
        attempt=int(str(values["attempt"])),
        turn=int(str(values["turn"])),
        due_at=due_at.astimezone(UTC),
        created_at=created_at.astimezone(UTC),
        body=str(values["body"]),
        is_again=False,
        is_read=not values["in_blob"],
        untold=_untold_from(str(values.get("untold", ""))),
        etag=row.etag,
        **texts,
    )


def _partition(letter_id: str) -> str:
    return letter_id[:_PARTITION_LENGTH]


def _values(letter: Letter, *, in_blob: bool) -> dict[str, Value]:
    return {
        **{name: redact(getattr(letter, name), most=_TEXT_MAX) for name in _TEXTS},
        "status": str(letter.status),
        "attempt": letter.attempt,
        "turn": letter.turn,
        "due_at": letter.due_at,
        "created_at": letter.created_at,
        "in_blob": in_blob,
        "is_untold": bool(letter.untold),
        "untold": " ".join(f"{name}:{attempt}" for name, attempt in letter.untold.items()),
        "body": "" if in_blob else letter.body,
    }


def _untold_from(text: str) -> dict[str, int]:
    pairs = (item.rpartition(":") for item in text.split())
    return {name: int(attempt) for name, _, attempt in pairs}
