"""Percentages and times to answer, as people write them in a strategy."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from pydantic import WithJsonSchema

from shared.base.durations import DURATION_FORM, HOW, DurationInvalid, parse_duration
from shared.schema.values import unfit
from shared.schema.wording import found

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?%")
_IN_WORDS = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?(?:percent|per cent|pct|)")
_LONGEST = timedelta(hours=1)
#: A percentage as it is written, and a time to answer, for the JSON Schema of the file.
WRITTEN_PERCENT = WithJsonSchema({"type": "string", "pattern": f"^{_PERCENT.pattern}$"})
WRITTEN_TIME = WithJsonSchema(DURATION_FORM)


def percent(least: float, most: float) -> Callable[[object], float]:
    """Return a validator that reads "0.5%" as 0.5, from `least` to `most` only."""
    return lambda value: float(_read(value, least, most))


def fraction(least: float, most: float) -> Callable[[object], float]:
    """Return a validator that reads "0.5%" as 0.005; `least` and `most` are in percent."""
    return lambda value: float(_read(value, least, most) / 100)


def whole_percent(least: int, most: int) -> Callable[[object], int]:
    """Return a validator that reads "10%" as 10, and takes no fractions."""

    def read(value: object) -> int:
        number = _read(value, least, most)
        if number % 1:
            lower = int(number) or 1
            hint = f"Write `{lower}%` or `{int(number) + 1}%`."
            raise unfit(f"should be a whole percentage, found {found(value)}", hint)
        return int(number)

    return read


def _read(value: object, least: float, most: float) -> Decimal:
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        meant = f"{_as_percent(value)}%"
        is_one = _PERCENT.fullmatch(meant) and least <= float(meant[:-1]) <= most
        example = meant if is_one else f"{max(least, 10):g}%"
        hint = f"Write `{example}`."
        if value == 1 and most == 100:
            hint = "Write `1%`, or `100%` for all."
        raise unfit(f"should be a percentage, found {found(value)}", hint)
    if not least <= float(match[1]) <= most:
        raise unfit(f"should be from {least:g}% to {most:g}%, found {found(value)}")
    return Decimal(match[1])


def _as_percent(value: object) -> object:
    """Return a bare number as percent: below 1 it is a share."""
    if isinstance(value, float) and 0 < value < 1:
        return f"{value * 100:.4g}"
    words = _IN_WORDS.fullmatch(value) if isinstance(value, str) else None
    return value if words is None else words[1]


def milliseconds(value: object) -> float:
    """Read "800ms" or "2s" as milliseconds."""
    try:
        span = parse_duration(value)
    except DurationInvalid as error:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        number = f"{value * 1000:g}" if isinstance(value, float) else value
        hint = f"Write `{number}ms`." if is_number else error.hint
        hint = "Write `800ms` or `2s`." if hint == HOW else hint
        raise unfit(f"should be a time, found {found(value)}", hint) from None
    if not isinstance(span, timedelta) or not timedelta(0) < span <= _LONGEST:
        raise unfit(f"should be from 1ms to 1h, found {found(value)}")
    return span / timedelta(milliseconds=1)
