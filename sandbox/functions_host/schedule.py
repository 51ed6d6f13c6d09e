"""When a timer is due: by NCRONTAB, in UTC, or at an interval."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Protocol

from sandbox.functions_host.errors import HostError

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")
_INTERVAL = re.compile(r"(?:(\d+)[.:])?(\d{1,2}):(\d{2}):(\d{2})")
_DAYS_FIRST = re.compile(r"(\d+)(?::(\d{1,2}):(\d{2}))?")
#: An interval of nothing is as long as the real host needs to notice that it is over.
_SHORTEST = timedelta(milliseconds=48)
#: A 29 February that falls on one day of the week comes back after 40 years at most.
_SEARCHED_DAYS = 366 * 41
#: So many of a schedule's times show whether it comes more than once a minute.
_LOOKED_AT = 5


class Schedule(Protocol):
    """Says when a timer is due."""

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time later than the aware `moment`; HostError if there is none."""
        ...


@dataclass(frozen=True)
class Interval:
    """Due again and again, so long after the last time."""

    length: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """Return the time that is one interval later."""
        return moment + max(self.length, _SHORTEST)


@dataclass(frozen=True)
class Crontab:
    """The moments that match every field; day and day-of-week must both match, unlike in cron."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def next_after(self, moment: datetime) -> datetime:
        """Return the first match later than the aware `moment`."""
        earliest = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        day, from_time = earliest.date(), earliest.time()
        for _ in range(_SEARCHED_DAYS):
            if self._matches(day) and (found := self._first_time(from_time)):
                return datetime.combine(day, found, UTC)
            day, from_time = day + timedelta(days=1), time.min
        raise HostError("the timer's schedule never comes")

    def _matches(self, day: date) -> bool:
        return (
            day.month in self.months
            and day.day in self.days
            and day.isoweekday() % 7 in self.weekdays
        )

    def _first_time(self, earliest: time) -> time | None:
        for hour in self.hours:
            if hour < earliest.hour:
                continue
            for minute in self.minutes:
                if (hour, minute) < (earliest.hour, earliest.minute):
                    continue
                for second in self.seconds:
                    if (found := time(hour, minute, second)) >= earliest:
                        return found
        return None


def parse_schedule(text: str) -> Schedule:
    """Read six fields of NCRONTAB, five (without seconds), or a time span; HostError otherwise."""
    interval = _parse_interval(text.strip())
    if interval is not None:
        return Interval(interval)
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise HostError(f"schedule {text!r} must have six fields, it has {len(fields)}")
    try:
        seconds = _parse_field(fields[0], 0, 59)
        minutes = _parse_field(fields[1], 0, 59)
        hours = _parse_field(fields[2], 0, 23)
        days = _parse_field(fields[3], 1, 31)
        months = _parse_field(fields[4], 1, 12, _MONTHS)
        weekdays = _parse_field(fields[5], 0, 6, _DAYS)
    except ValueError as error:
        raise HostError(f"schedule {text!r} is wrong: {error}") from error
    return Crontab(
        tuple(sorted(seconds)),
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        frozenset(weekdays),
    )


def is_monitored(schedule: Schedule, now: datetime) -> bool:
    """Say whether a timer's status is kept: if its times are a minute apart or more."""
    times = [schedule.next_after(now)]
    while len(times) < _LOOKED_AT:
        times.append(schedule.next_after(times[-1]))
    return all(later - time >= timedelta(minutes=1) for time, later in pairwise(times))


def _parse_interval(text: str) -> timedelta | None:
    """Read a time span as .NET does: a number alone is days, and so is one of hours above 23."""
    if match := _INTERVAL.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        if hours <= 23:
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if match := _DAYS_FIRST.fullmatch(text):
        days, hours, minutes = (int(part or 0) for part in match.groups())
        return timedelta(days=days, hours=hours, minutes=minutes)
    return None


def _parse_field(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> set[int]:
    return {number for part in text.split(",") for number in _parse_part(part, low, high, names)}


def _parse_part(part: str, low: int, high: int, names: tuple[str, ...]) -> range:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{part!r} is not a number, a range or a step")
    first, last, step = match.groups()
    if first == "*":
        start, end = low, high
    else:
        start = _parse_number(first, low, names)
        end = _parse_number(last, low, names) if last else high if step else start
    # The wrong way round it is not over the end of the day or week: the ends are swapped.
    start, end = min(start, end), max(start, end)
    if not low <= start <= end <= high or step == "0":
        raise ValueError(f"{part!r} is outside {low}-{high}")
    return range(start, end + 1, int(step or 1))


def _parse_number(text: str, low: int, names: tuple[str, ...]) -> int:
    """Read a number, or any beginning of a name."""
    for number, name in enumerate(names, start=low):
        if name.casefold().startswith(text.casefold()):
            return number
    return int(text)
