"""The record of events: a row for each event, with the outcome of each step of each reaction."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shared.base.clock import Clock, SystemClock
from shared.base.documents import AsText, ColumnForm, Documents, RowAddress
from shared.base.ports import Tables
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
#: A row still holds this much in the longest case, in which every reaction of a large file fails.
_OUTCOMES_MAX = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """All results of one event. Outcomes are by "reaction/step"."""

    event: str
    id: str
    type: str
    time: datetime
    recorded_at: datetime
    source: str
    about: str
    deliveries: int
    outcomes: Mapping[str, Outcome]


class Records:
    """The record of events, kept in a table, a partition for each day of the events' own times."""

    def __init__(self, *, tables: Tables, clock: Clock | None = None) -> None:
        """Use the system's clock if none is given."""
        outcomes = AsText(write=_outcomes_to, read=_outcomes_from)
        form = ColumnForm(EventRecord, texts={"outcomes": outcomes}, most=_TEXT_MAX)
        self._records = Documents(tables, TABLE, form)
        self._clock = clock or SystemClock()

    def add(self, ref: EventRef, news: Mapping[str, Outcome], *, delivery: bool) -> None:
        """Record outcomes of an event: one request the first time, three if there is a row.

        News of an earlier arrival nearly always finds a row, and takes two. It may come in any
        order: see `merge_news`. `delivery` says whether the event arrived (again); otherwise the
        news is of an earlier arrival. Where retention has taken the row of an old event, this news
        is all that is left of it.
        """

        def merge(known: EventRecord | None) -> EventRecord:
            return EventRecord(
                event=ref.key,
                id=ref.id,
                type=ref.type,
                time=ref.time,
                recorded_at=self._clock.now(),
                source=ref.source,
                about=ref.about,
                deliveries=(known.deliveries if known else 0) + int(delivery),
                outcomes=merge_news(known.outcomes if known else {}, news),
            )

        self._records.change(_address(ref), merge, is_new=delivery)

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
        """Return the record of an event, or None."""
        kept = self._records.get(_address(ref))
        return None if kept is None else kept.value


def day_of(time: datetime) -> str:
    """Return the partition of events of that day; partitions sort by day."""
    return time.astimezone(UTC).strftime("%Y-%m-%d")


def _address(ref: EventRef) -> RowAddress:
    """Return partition and row key; rows of a day sort with the newest first."""
    left = 86_400_000 - int((ref.time.astimezone(UTC).timestamp() % 86_400) * 1000)
    return day_of(ref.time), f"{left:08d}-{ref.key}"


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
