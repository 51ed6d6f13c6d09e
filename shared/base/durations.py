"""Lengths of time as people write them in reactions.yaml: 500ms, 45s, 15m, 2h, 3d."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from shared.base.words import shortened

#: In milliseconds.
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = r"\d{1,6}(?:ms|[smhd])"
_DURATION = re.compile(rf"{_PART}(?:{_PART}){{0,3}}")
_PARTS = re.compile(r"(\d{1,6})(ms|[smhd])")
#: Units as people write them in words.
_WORDS = re.compile(
    r"(\d{1,6})\s*(?:(ms|milli\w*|msecs?)|(s|sec\w*)|(m|min\w*)|(h|hours?|hrs?)|(d|days?))",
    re.IGNORECASE,
)
_FORMS = "write a number and a unit: 500ms, 45s, 15m, 2h, 1h30m or 3d"


def parse_duration(value: object) -> object:
    """Turn "15m" or "1h30m" into a timedelta; return a timedelta as it is.

    Raises: ValueError for anything else, with the expected form.
    """
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or _DURATION.fullmatch(value) is None:
        raise ValueError(_FORMS + _found(value))
    parts = [(int(number), _UNITS[unit]) for number, unit in _PARTS.findall(value)]
    sizes = [size for _, size in parts]
    if sizes != sorted(set(sizes), reverse=True):
        raise ValueError(f"write the largest unit first, and each once: 1h30m; found {value!a}")
    return timedelta(milliseconds=sum(number * size for number, size in parts))


def _found(value: object) -> str:
    """Return the end of the message: the value, and how to write it where that is clear."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6:
        written = format_duration(timedelta(seconds=value))
        return f"; found {value}, which is {written} if it is in seconds"
    if isinstance(value, bool | int):
        return f"; found {str(value)[:30].lower()}"
    if value is None:
        return "; found nothing"
    if not isinstance(value, str):
        return ""
    short = shortened(value, 31)
    words = _WORDS.fullmatch(value)
    if words is None or words.group(0).endswith("M"):  # a month or a minute
        return f"; found '{short}'"
    unit = next(unit for unit, word in zip(_UNITS, words.groups()[1:], strict=True) if word)
    return f"; found '{short}', which is {words[1]}{unit}"


def format_duration(value: timedelta) -> str:
    """Write a duration in the largest unit that divides it."""
    milliseconds = value // timedelta(milliseconds=1)
    for unit, size in reversed(_UNITS.items()):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return "0s"


def between(least: timedelta, most: timedelta, *, why: str = "") -> AfterValidator:
    """Return a validator that accepts durations from `least` to `most` only.

    `why` is the reason for the lower limit, where it is not obvious.
    """

    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            bounds = f"from {format_duration(least)} to {format_duration(most)}"
            reason = f", because {why};" if why and value < least else ","
            raise ValueError(f"{bounds}{reason} found {format_duration(value)}")
        return value

    return AfterValidator(check)


#: A duration as it is written, for the JSON Schema of the file.
DURATION_FORM = {"type": "string", "pattern": f"^{_DURATION.pattern}$"}
Duration = Annotated[timedelta, BeforeValidator(parse_duration), WithJsonSchema(DURATION_FORM)]
