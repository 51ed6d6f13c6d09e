"""The record of events: a row for each, as it arrived, with the outcomes of its reactions."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched, chain, groupby
from typing import TYPE_CHECKING

from shared.base.clock import Clock, SystemClock
from shared.base.documents import AsText, ColumnForm, Documents, RowAddress
from shared.base.ids import folded
from shared.base.outgoing import Clean
from shared.base.ports import BATCH_MAX, Blobs, Row, Tables
from shared.base.redact import redact
from shared.events.envelopes import parse_envelope, parse_events, read_body
from shared.events.model import Event, UnknownEvent, read_workspace
from shared.journal.bodies import Bodies, clean, is_long
from shared.journal.outcomes import (
    WHOLE,
    EventRef,
    Outcome,
    OutcomeStatus,
    merge_news,
    outcome_from,
    outcome_to,
)

if TYPE_CHECKING:
    from shared.journal.announcements import Announcer

TABLE = "SignalboxEvents"
#: The bodies that are too long for a row.
CONTAINER = "events"

#: A clock may be ahead by less than this.
AHEAD_MAX = timedelta(days=2)

_TEXT_MAX = 2000
#: The most bytes of a body that is kept: Event Grid's limit, with what escapes add.
_BODY_MAX = 16 * 1024 * 1024
#: A row still holds this much in the longest case, in which every reaction of a large file fails.
_OUTCOMES_MAX = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event with all its results. Outcomes are by "reaction/step".

    `body` is the envelope as it arrived, without secrets; "" if it is in a blob, was not read, or
    was not kept: see `Records.body_of`.
    """

    event: str
    id: str
    type: str
    time: datetime
    recorded_at: datetime
    source: str
    about: str
    deliveries: int
    outcomes: Mapping[str, Outcome]
    body: str = ""
    in_blob: bool = False
    #: When it arrived first; None for news of an event whose arrival is not on record any more.
    arrived_at: datetime | None = None
    #: When the sweep raised it, because Event Grid had not; None for one that arrived.
    found_at: datetime | None = None

    @property
    def workspace(self) -> str:
        """The name of the workspace that it is of, "" if its source is none."""
        workspace = read_workspace(self.source)
        return workspace.name if workspace else ""

    @property
    def ref(self) -> EventRef:
        """The address of this record."""
        return EventRef(
            key=self.event,
            id=self.id,
            type=self.type,
            time=self.time,
            source=self.source,
            about=self.about,
        )

    def is_about(self, about: str) -> bool:
        """Return whether it is about this: a model or one version of it, a run, an endpoint."""
        return self.about == about or self.about.startswith(f"{about}:")

    def has_outcome(self, reaction: str, outcome: str) -> bool:
        """Return whether a step of a reaction has such a status or code; "" stands for any."""
        return any(
            name.partition("/")[0] == (reaction or name.partition("/")[0])
            and outcome in ("", found.status, found.code)
            for name, found in self.outcomes.items()
        )


#: The columns that a list of records reads.
_LISTED = tuple(field.name for field in fields(EventRecord) if field.name != "body")


class Records:
    """The record of events, kept in a table, a partition for each day of the events' own times."""

    def __init__(
        self,
        *,
        tables: Tables,
        blobs: Blobs,
        clock: Clock | None = None,
        announcer: "Announcer | None" = None,
    ) -> None:
        """Use the system's clock if none is given; `announcer` is told of every outcome."""
        texts = {
            "outcomes": AsText(write=_outcomes_to, read=_outcomes_from),
            "body": AsText(write=Clean, read=str),
        }
        form = ColumnForm(EventRecord, texts=texts, most=_TEXT_MAX)
        self._tables = tables
        self._records = Documents(tables, TABLE, form)
        self._bodies = Bodies(blobs, CONTAINER)
        self._clock = clock or SystemClock()
        self._announcer = announcer

    def add(
        self,
        ref: EventRef,
        news: Mapping[str, Outcome],
        *,
        delivery: bool,
        body: str = "",
        is_found: bool = False,
    ) -> None:
        """Record outcomes of an event: one request the first time, three if there is a row.

        News of an earlier arrival nearly always finds a row, and takes two. It may come in any
        order: see `merge_news`. `delivery` says whether the event arrived (again); otherwise the
        news is of an earlier arrival. Where retention has taken the row of an old event, this news
        is all that is left of it. A `body` is kept once; a long one takes one request more.
        `is_found` says that the sweep raised the event.
        """
        at, arrived, is_put = _address(ref.key, ref.time), clean(body), False

        def merge(known: EventRecord | None) -> EventRecord:
            nonlocal is_put
            kept, in_blob = (known.body, known.in_blob or is_put) if known else ("", False)
            if not kept and not in_blob:
                kept, in_blob = arrived, is_long(arrived)
                if in_blob:
                    self._bodies.put(_blob(at), arrived)
                    is_put = True
            now = self._clock.now()
            return EventRecord(
                event=ref.key,
                id=ref.id,
                type=ref.type,
                time=ref.time,
                recorded_at=now,
                source=ref.source,
                about=ref.about,
                deliveries=(known.deliveries if known else 0) + int(delivery),
                outcomes=merge_news(known.outcomes if known else {}, news),
                body="" if in_blob else kept,
                in_blob=in_blob,
                arrived_at=(known.arrived_at if known else None) or (now if delivery else None),
                found_at=(known.found_at if known else None) or (now if is_found else None),
            )

        if self._announcer is not None:
            self._announcer.announce_outcomes(ref, news)
        self._records.change(at, merge, is_new=delivery)

    def give_up(self, ref: EventRef, reaction: str, failed: Outcome) -> None:
        """Record the waiting steps of a reaction as failed; long work goes on by itself.

        If no step is on record, the reaction as a whole is recorded as failed.
        """
        record = self.get(ref)
        known = record.outcomes if record is not None else {}
        mine = {name: known[name] for name in known if name.startswith(f"{reaction}/")}
        news = {
            name: replace(failed, attempt=outcome.attempt)
            for name, outcome in mine.items()
            if outcome.status is OutcomeStatus.WAITING and not outcome.work
        }
        if not mine:
            news = {f"{reaction}/{WHOLE}": failed}
        if news:
            self.add(ref, news, delivery=False)

    def get(self, ref: EventRef) -> EventRecord | None:
        """Return the record of an event, or None. A body in a blob is not read."""
        kept = self._records.get(_address(ref.key, ref.time))
        return None if kept is None else kept.value

    def find(
        self,
        *,
        since: datetime,
        until: datetime | None = None,
        type: str = "",
        workspace: str = "",
        about: str = "",
        reaction: str = "",
        outcome: str = "",
        bodies: bool = False,
    ) -> Iterator[EventRecord]:
        """Yield the records of a span of time, the newest first, a day's partition at a time.

        The time is the one that the event's source gives it. Both ends are included; the last is by
        default two days from now, because clocks may be ahead. `workspace` is a name in any casing.
        See `is_about` for `about`, and `has_outcome` for `reaction` and `outcome`. Bodies are read
        only with `bodies`, and only those in the rows.
        """
        until = until or self._clock.now() + AHEAD_MAX
        for day in _days(since, until):
            found = self._records.find(
                partition=day,
                equals={"type": type} if type else None,
                key_from=_left(until) if day == day_of(until) else None,
                key_to=f"{_left(since)}-g" if day == day_of(since) else None,
                begins=("about", about) if about else None,
                columns=() if bodies else _LISTED,
            )
            for record in (kept.value for kept in found):
                if (
                    since <= record.time <= until
                    and folded(workspace) in ("", folded(record.workspace))
                    and (not about or record.is_about(about))
                    and (not (reaction or outcome) or record.has_outcome(reaction, outcome))
                ):
                    yield record

    def by_id(self, prefix: str, *, since: datetime) -> Iterator[EventRecord]:
        """Yield the records whose event's id or key begins so, the newest day first.

        They are read without their bodies. If one has exactly this id or key, those of earlier days
        are left out: the events that one envelope holds are of one time.
        """
        for day in _days(since, self._clock.now() + AHEAD_MAX):
            is_found, seen = False, set()
            for column in ("id", "event"):
                found = self._records.find(partition=day, begins=(column, prefix), columns=_LISTED)
                for record in (kept.value for kept in found):
                    if record.event not in seen:
                        seen.add(record.event)
                        is_found |= prefix in (record.id, record.event)
                        yield record
            if is_found:
                return

    def body_of(self, record: EventRecord) -> str:
        """Return the envelope as it arrived, without secrets; "" if it was not kept."""
        if record.body:
            return record.body
        if record.in_blob:
            return self._bodies.get(_blob(_address(record.event, record.time)))
        whole = self.get(record.ref)
        return whole.body if whole else ""

    def event_of(self, record: EventRecord) -> Event | UnknownEvent | None:
        """Return the event of a record, read from its body; None if that was not kept.

        Raises: EventMalformed, as for the event when it arrived, or if the app is stricter now.
        """
        body = self.body_of(record)
        if not body:
            return None
        events = parse_events(parse_envelope(read_body(body, limit=_BODY_MAX)[0]))
        for event in events:
            if str(event.type) == record.type:
                return event
        # The type as it arrived is on the record of an event that was refused.
        return events[0]

    def old(self, before: datetime) -> Iterator[Callable[[], None]]:
        """Yield what deletes the records that were written before then, with their bodies.

        Raises: StorageUnavailable.
        """
        query = partial(
            self._tables.query, TABLE, before=("recorded_at", before), columns=("in_blob",)
        )
        # A row dated in the future would never be old, and one dated in the distant past, as for a
        # window that was run late, would be old at once.
        past = query(partition_to=day_of(before))
        to_come = query(partition_from=day_of(self._clock.now() + AHEAD_MAX))
        for batch in chain(batches(past), batches(to_come)):
            yield partial(self._remove, batch)

    def _remove(self, rows: tuple[Row, ...]) -> None:
        """Delete rows, after their blobs: after a crash in between, the rows still name those."""
        for row in rows:
            if row.values.get("in_blob"):
                self._bodies.remove(_blob((row.partition, row.key)))
        self._tables.delete_all(TABLE, rows)


def batches(rows: Iterable[Row]) -> Iterator[tuple[Row, ...]]:
    """Yield rows in batches that can be deleted together; rows come sorted by their partition."""
    for _, of_one in groupby(rows, key=lambda row: row.partition):
        yield from batched(of_one, BATCH_MAX, strict=False)


def day_of(time: datetime) -> str:
    """Return the partition of events of that day; partitions sort by day."""
    return time.astimezone(UTC).strftime("%Y-%m-%d")


def _days(since: datetime, until: datetime) -> Iterator[str]:
    """Yield the partitions of a span, the last day first."""
    day = until.astimezone(UTC)
    while (partition := day_of(day)) >= day_of(since):
        yield partition
        day -= timedelta(days=1)


def _address(key: str, time: datetime) -> RowAddress:
    """Return partition and row key; rows of a day sort with the newest first."""
    return day_of(time), f"{_left(time)}-{key}"


def _left(time: datetime) -> str:
    """Return how much is left of a day, as the row keys have it."""
    left = 86_400_000 - int((time.astimezone(UTC).timestamp() % 86_400) * 1000)
    return f"{left:08d}"


def _blob(at: RowAddress) -> str:
    """Return the name of the blob of a row: two rows may have one event's key, and two times."""
    return "/".join(at)


def _outcomes_to(outcomes: Mapping[str, Outcome]) -> str:
    """Write the outcomes as JSON, with shorter details if they are too long for a row.

    If that is still too long, only as many as fit are written, skipped steps last.
    """
    items: dict[str, dict[str, str]] = {}
    for most in (_TEXT_MAX, 200, 0):
        items = {
            name: outcome_to(outcome) | {"detail": redact(outcome.detail, most=most)[:most]}
            for name, outcome in outcomes.items()
        }
        text = json.dumps(items)
        if len(text) <= _OUTCOMES_MAX:
            return text
    left, kept = _OUTCOMES_MAX, {}
    for name in sorted(items, key=lambda name: outcomes[name].status is OutcomeStatus.SKIPPED):
        left -= len(json.dumps({name: items[name]}))
        if left < 0:
            break
        kept[name] = items[name]
    return json.dumps(kept)


def _outcomes_from(text: str) -> dict[str, Outcome]:
    return {name: outcome_from(item) for name, item in json.loads(text).items()}
