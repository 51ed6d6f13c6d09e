"""NCRONTAB: when a timer is due. Six fields: second minute hour day month day-of-week, in UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sandbox.functions_host.errors import HostError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")
#: A 29 February that falls on one day of the week comes back after 40 years at most.
_SEARCHED_DAYS = 366 * 41


@dataclass(frozen=True)
class Schedule:
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
    """Read six fields of `*`, numbers, names, lists, ranges and steps; HostError otherwise."""
    fields = text.split()
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
    return Schedule(
        tuple(sorted(seconds)),
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        frozenset(weekdays),
    )


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
    if not low <= start <= end <= high or step == "0":
        raise ValueError(f"{part!r} is outside {low}-{high}")
    return range(start, end + 1, int(step or 1))


def _parse_number(text: str, low: int, names: tuple[str, ...]) -> int:
    short = text.lower()[:3]
    return names.index(short) + low if short in names else int(text)
