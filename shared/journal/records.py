"""The record of events: one row per event, with what came of each step of each reaction."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shared.base.clock import Clock, SystemClock
from shared.base.ports import Row, RowChanged, RowExists, Tables, Value
from shared.base.redact import redact
from shared.journal.outcomes import (
    WHOLE,
    EventRef,
    Outcome,
    OutcomeStatus,
    merge_news,
    outcome_from,
    outcome_to,
)

TABLE = "SignalboxEvents"

_TEXT_MAX = 2000
#: Of the longest far-fetched case (every reaction of a large file fails), what a row still holds.
_OUTCOMES_MAX = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Everything that came of one event. Outcomes are by "reaction/step"."""

    key: str
    id: str
    type: str
    time: datetime
    source: str
    about: str
    deliveries: int
    outcomes: Mapping[str, Outcome]


class Records:
    """The record of events, kept in a table, a partition a day of the event's own time."""

    def __init__(self, *, tables: Tables, clock: Clock | None = None) -> None:
        """By the system's clock where none is given."""
        self._tables = tables
        self._clock = clock or SystemClock()

    def add(self, ref: EventRef, news: Mapping[str, Outcome], *, delivery: bool) -> None:
        """Record what came of an event: one request the first time, three when there is a row.

        News of an earlier arrival finds a row nearly always, and takes two. It may come in any
        order: see `merge_news`. `delivery` says whether the event arrived (again); else the news is
        of an earlier arrival.
        """
        first = self._values(ref, int(delivery), news)
        if delivery and self._insert(ref, first):
            return
        # Retention may take the row meanwhile: what is left of so old an event is this news.
        while not (self._merge(ref, news, delivery) or self._insert(ref, first)):
            pass

    def _insert(self, ref: EventRef, values: Mapping[str, Value]) -> bool:
        """Add the event's row; say False where there is one."""
        try:
            self._tables.insert(TABLE, *_address(ref), values)
        except RowExists:
            return False
        return True

    def _merge(self, ref: EventRef, news: Mapping[str, Outcome], delivery: bool) -> bool:
        """Merge what came of the event into its row; say False where there is none."""
        partition, row_key = _address(ref)
        while (row := self._tables.get(TABLE, partition, row_key)) is not None:
            known = _record_from(row)
            merged = merge_news(known.outcomes, news)
            values = self._values(ref, known.deliveries + int(delivery), merged)
            try:
                self._tables.replace(TABLE, partition, row_key, values, etag=row.etag)
            except RowChanged:
                continue
            return True
        return False

    def _values(
        self, ref: EventRef, deliveries: int, outcomes: Mapping[str, Outcome]
    ) -> dict[str, Value]:
        return {
            "event": ref.key,
            "id": redact(ref.id, most=_TEXT_MAX),
            "type": redact(ref.type, most=_TEXT_MAX),
            "time": ref.time,
            "recorded_at": self._clock.now(),
            "source": redact(ref.source, most=_TEXT_MAX),
            "about": redact(ref.about, most=_TEXT_MAX),
            "deliveries": deliveries,
            "outcomes": _outcomes_to(outcomes),
        }

    def give_up(self, ref: EventRef, reaction: str, failed: Outcome) -> None:
        """Record as failed what of a reaction was waiting; long work goes on by itself.

        Where nothing of it is on record, the reaction as a whole has failed.
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
        """Return the record of an event, or None."""
        row = self._tables.get(TABLE, *_address(ref))
        return None if row is None else _record_from(row)


def day_of(time: datetime) -> str:
    """Return the partition of the events of a time's day; days sort as their partitions do."""
    return time.astimezone(UTC).strftime("%Y-%m-%d")


def _address(ref: EventRef) -> tuple[str, str]:
    """Return partition and row key; rows of a day sort with the newest first."""
    left = 86_400_000 - int((ref.time.astimezone(UTC).timestamp() % 86_400) * 1000)
    return day_of(ref.time), f"{left:08d}-{ref.key}"


def _outcomes_to(outcomes: Mapping[str, Outcome]) -> str:
    """Write the outcomes as JSON; where they are too long for a row, with shorter details.

    Where even that is too long, as many as fit, those of what was skipped last.
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


def _record_from(row: Row) -> EventRecord:
    values = row.values
    time = values["time"]
    assert isinstance(time, datetime)
    outcomes = json.loads(str(values["outcomes"]))
    return EventRecord(
        key=str(values["event"]),
        id=str(values["id"]),
        type=str(values["type"]),
        time=time,
        source=str(values["source"]),
        about=str(values["about"]),
        deliveries=int(str(values["deliveries"])),
        outcomes={name: outcome_from(item) for name, item in outcomes.items()},
    )
