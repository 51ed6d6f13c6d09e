"""Lengths of time as people write them in reactions.yaml: 500ms, 45s, 15m, 2h, 3d."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

#: In milliseconds.
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d{1,6})(ms|[smhd])")


def parse_duration(value: object) -> object:
    """Turn "15m" into a timedelta; leave what already is one alone.

    Raises: ValueError for anything else, with the form that is expected.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a number and a unit: 500ms, 45s, 15m, 2h or 3d")
    return timedelta(milliseconds=int(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """Write a duration in the largest unit that divides it."""
    milliseconds = value // timedelta(milliseconds=1)
    for unit, size in reversed(_UNITS.items()):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return "0s"


def between(least: timedelta, most: timedelta) -> AfterValidator:
    """Return what lets a duration through from `least` to `most` only."""

    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            told = f"from {format_duration(least)} to {format_duration(most)}"
            raise ValueError(f"{told}, found {format_duration(value)}")
        return value

    return AfterValidator(check)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
