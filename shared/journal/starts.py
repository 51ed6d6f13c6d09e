"""Starts: the events that set a reaction off, counted against its limits.

Each reaction, and each key of a limit, has one row with the names and times of its starts. A write
is conditional, so that of two workers who want the last place one gets it. The event's name is in
the row before anything is done. After a crash the event finds it there, and is not counted twice.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from shared.base.clock import Clock
from shared.base.documents import AsText, ColumnForm, Documents, RowAddress
from shared.base.ids import digest
from shared.base.ports import Tables

TABLE = "SignalboxStarts"

#: The most starts that a limit may allow: the text of so many still fits a column.
STARTS_MAX = 1000
#: A row remembers a start for at least this long, because a retry after a crash comes within it.
_KNOWN_FOR = timedelta(days=1)
_NAME_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class StartLimit:
    """At most `starts` within any span of `per`. `name` is its key in reactions.yaml."""

    name: str
    starts: int
    per: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedStart:
    """One event that set the reaction off: its name, and when."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartsFull:
    """The limit that an event would exceed, the last start, and when there is a place again."""

    limit: StartLimit
    last: datetime
    free_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _StartRow:
    """The starts of one reaction and key, the oldest first. No limit looks at it after `until`."""

    reaction: str
    starts: tuple[CountedStart, ...]
    until: datetime


class _Full(Exception):
    """There is no place."""

    def __init__(self, full: StartsFull) -> None:
        super().__init__()
        self.full = full


def _written(starts: tuple[CountedStart, ...]) -> str:
    return " ".join(f"{start.name}@{_milliseconds(start.at)}" for start in starts)


def _milliseconds(time: datetime) -> int:
    """Return a time in whole milliseconds, rounded up: a start never counts for too short."""
    return math.ceil(time.timestamp() * 1000)


def _read(text: str) -> tuple[CountedStart, ...]:
    pairs = (item.split("@") for item in text.split())
    return tuple(CountedStart(name=name, at=_time(int(at))) for name, at in pairs)


def _time(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


_FORM = ColumnForm(_StartRow, texts={"starts": AsText(write=_written, read=_read)})


class Starts:
    """The starts of reactions, kept in a table.

    >>> from shared.twins.clock import ManualClock
    >>> from shared.twins.storage import MemoryTables
    >>> starts = Starts(tables=MemoryTables(), clock=ManualClock())
    >>> hourly = (StartLimit(name="cooldown", starts=1, per=timedelta(hours=1)),)
    >>> starts.take("deploy-tagged", "", "event-1", hourly)
    >>> starts.take("deploy-tagged", "", "event-2", hourly).limit.name
    'cooldown'
    """

    def __init__(self, *, tables: Tables, clock: Clock) -> None:
        self._rows = Documents(tables, TABLE, _FORM)
        self._clock = clock

    def take(
        self, reaction: str, key: str, event: str, limits: Sequence[StartLimit]
    ) -> StartsFull | None:
        """Take a place for an event, which keeps it; return the limit that has none, or None.

        It costs two requests, and one if the event has a place already or gets none.

        Raises: StorageUnavailable, also when too many others start at the same moment.
        """
        name = _name_of(event)

        def start(row: _StartRow | None) -> _StartRow | None:
            known = row.starts if row is not None else ()
            if any(one.name == name for one in known):
                return None
            now = self._clock.now()
            full = find_full(known, limits, now)
            if full is not None:
                raise _Full(full)
            span = max(_KNOWN_FOR, *(limit.per for limit in limits))
            kept = (*(one for one in known if now - one.at < span), CountedStart(name=name, at=now))
            return _StartRow(reaction=reaction, starts=kept[-STARTS_MAX:], until=now + span)

        try:
            self._rows.change(_address(reaction, key), start)
        except _Full as none:
            return none.full
        return None

    def give_back(self, reaction: str, key: str, event: str) -> None:
        """Take an event's place off the count, because another limit keeps it from starting."""
        name = _name_of(event)

        def take_off(row: _StartRow | None) -> _StartRow | None:
            left = tuple(one for one in row.starts if one.name != name) if row is not None else ()
            if row is None or left == row.starts:
                return None
            return _StartRow(reaction=row.reaction, starts=left, until=row.until)

        self._rows.change(_address(reaction, key), take_off)

    def old(self, before: datetime) -> Iterator[Callable[[], object]]:
        """Yield what deletes the rows that no limit has looked at since then."""
        for kept in self._rows.find(before=("until", before)):
            yield partial(self._rows.remove, kept)


def find_full(
    starts: Sequence[CountedStart], limits: Sequence[StartLimit], now: datetime
) -> StartsFull | None:
    """Return the first limit that has no place left now, or None. Pure.

    A start that another worker's clock dates ahead counts as one.
    """
    for limit in limits:
        recent = sorted(one.at for one in starts if now - one.at < limit.per)
        if len(recent) >= limit.starts:
            free_at = recent[-limit.starts] + limit.per
            return StartsFull(limit=limit, last=recent[-1], free_at=free_at)
    return None


def _name_of(event: str) -> str:
    return event[:_NAME_LENGTH]


def _address(reaction: str, key: str) -> RowAddress:
    return reaction, digest(reaction, key)[:32]
