"""Freezes: windows of time in which reactions do nothing. Pure.

A window is of each day, of each week, or of one span of dates, by the clocks of a time zone. Where
clocks show a time twice, or never, because they are changed, the window is as long as it can be.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, model_validator

from shared.schema.values import Values, unfit
from shared.schema.wording import nearest

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)"
_DAILY = re.compile(_CLOCK, re.ASCII)
_WEEKLY = re.compile(rf"(?P<day>{'|'.join(_DAYS)})[a-z]{{0,6}} {_CLOCK}", re.ASCII | re.IGNORECASE)
_DATED = re.compile(rf"(?P<date>\d{{4}}-\d\d-\d\d)(?:[ T]{_CLOCK})?", re.ASCII)
_FORMS = "write 22:00, Fri 17:00 or 2026-12-18 17:00"
_MIDNIGHT = time()
_ZONE_MAX = 50
#: Dates that leave room for another time zone: beyond them lies the end of Python's calendar.
_YEARS = range(1900, 9000)


@dataclass(frozen=True, slots=True, kw_only=True)
class WallTime:
    """A time as clocks show it: of each day, of a day of each week from 0, or of one date."""

    clock: time
    weekday: int | None = None
    on: date | None = None

    @property
    def kind(self) -> str:
        """The span in which it comes once, in words."""
        if self.on is not None:
            return "a date"
        return "each day" if self.weekday is None else "each week"


def read_wall_time(text: str) -> WallTime:
    """Read a time such as 22:00, Fri 17:00 or 2026-12-18 17:00.

    Raises: ValueError.
    """
    found = _DAILY.fullmatch(text) or _WEEKLY.fullmatch(text) or _DATED.fullmatch(text)
    if found is None:
        raise ValueError(f"{_FORMS}; found {text[:30]!a}")
    parts = found.groupdict()
    clock = time(int(parts["hour"]), int(parts["minute"])) if parts["hour"] else _MIDNIGHT
    day = parts.get("day")
    on = date.fromisoformat(parts["date"]) if parts.get("date") else None
    if on is not None and on.year not in _YEARS:
        raise ValueError(f"a year is from 1900 to 8999, found {on.year}")
    return WallTime(
        clock=clock,
        weekday=_DAYS.index(day.lower()) if day else None,
        on=on,
    )


def _check_time(text: str) -> str:
    read_wall_time(text)
    return text


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        meant = nearest(name, available_timezones()) if len(name) < _ZONE_MAX else None
        hint = f"Did you mean `{meant}`?" if meant else "Write one of IANA: Europe/Berlin, UTC."
        raise unfit(f"is no time zone, found {name[:_ZONE_MAX]!a}", hint) from None
    return name


_Time = Annotated[str, AfterValidator(_check_time)]
ZoneName = Annotated[str, AfterValidator(_check_zone)]


class FreezeParams(Values):
    """One window: from `begins` up to, and without, `ends`. `events` is their fate."""

    begins: _Time
    ends: _Time
    time_zone: ZoneName
    events: Literal["hold", "skip"] = "hold"

    @model_validator(mode="after")
    def _is_window(self) -> Self:
        begins, ends = read_wall_time(self.begins), read_wall_time(self.ends)
        if begins.kind != ends.kind:
            raise ValueError(f"`begins` is of {begins.kind} and `ends` of {ends.kind}")
        if begins == ends or (begins.on and _local(begins) > _local(ends)):
            raise ValueError("`ends` is not after `begins`")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A window with its name. `holds` says that events wait for its end; else they are skipped."""

    name: str
    begins: WallTime
    ends: WallTime
    zone: ZoneInfo
    holds: bool

    def until(self, now: datetime) -> datetime | None:
        """Return when the window ends that `now` is in, or None where it is in none."""
        return next((end for begin, end in self._around(now) if begin <= now < end), None)

    def _around(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the windows that may have `now` in them."""
        if self.begins.on is not None:
            yield self._instants(_local(self.begins), _local(self.ends))
            return
        weekly = self.begins.weekday is not None
        span = timedelta(days=7 if weekly else 1)
        today = now.astimezone(self.zone).date()
        first = today - timedelta(days=today.weekday()) if weekly else today
        for turn in (-1, 0, 1):
            begin = _local(self.begins, first + turn * span)
            end = _local(self.ends, first + turn * span)
            yield self._instants(begin, end if end > begin else end + span)

    def _instants(self, begin: datetime, end: datetime) -> tuple[datetime, datetime]:
        return min(self._readings(begin)), max(self._readings(end))

    def _readings(self, local: datetime) -> tuple[datetime, ...]:
        """Return both instants that a time of the clock can mean; nearly always they are one."""
        aware = local.replace(tzinfo=self.zone)
        return tuple(aware.replace(fold=fold).astimezone(UTC) for fold in (0, 1))

    def words(self, until: datetime) -> str:
        """Say which freeze it is, and until when, by its own clocks."""
        local = until.astimezone(self.zone)
        return f"freeze `{self.name}` lasts until {local:%Y-%m-%d %H:%M} {self.zone.key}"


def _local(of: WallTime, first: date | None = None) -> datetime:
    """Return a time of the clock, without a zone; `first` is the day, or the week's first day."""
    day = of.on or first or date.min
    return datetime.combine(day + timedelta(days=of.weekday or 0), of.clock)


def make_freeze(name: str, params: FreezeParams) -> Freeze:
    """Return the freeze that is written under this name."""
    return Freeze(
        name=name,
        begins=read_wall_time(params.begins),
        ends=read_wall_time(params.ends),
        zone=ZoneInfo(params.time_zone),
        holds=params.events == "hold",
    )


def find_active(freezes: Iterable[Freeze], now: datetime) -> tuple[Freeze, datetime] | None:
    """Return the freeze that `now` is in, and its end; of several one that skips, else the last.

    >>> params = FreezeParams(begins="Fri 17:00", ends="Mon 08:00", time_zone="Europe/Berlin")
    >>> weekend = make_freeze("weekend", params)
    >>> _, until = find_active([weekend], datetime(2026, 3, 28, 12, tzinfo=UTC))
    >>> until.isoformat()
    '2026-03-30T06:00:00+00:00'
    """
    active = [(freeze, end) for freeze in freezes if (end := freeze.until(now)) is not None]
    return max(active, key=lambda pair: (not pair[0].holds, pair[1]), default=None)
