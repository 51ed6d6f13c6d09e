"""Lengths of time as people write them in reactions.yaml: 500ms, 45s, 15m, 1h30m, 3d."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from shared.base.words import shortened

#: In milliseconds.
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = r"\d{1,6}(?:ms|[smhd])"
_DURATION = re.compile(rf"{_PART}(?:{_PART}){{0,4}}")
_PARTS = re.compile(r"(\d{1,6})(ms|[smhd])")
#: A number and a unit as people write them in words, or a last number without one: 1h30.
_WORDS = re.compile(
    r"(\d{1,6}(?:[.,]\d{1,3})?)\s{0,3}(?:(?P<ms>ms|milli[a-z]{0,9}|msecs?)"
    r"|(?P<s>seconds?|secs?|s)|(?P<m>minutes?|mins?|m)|(?P<h>hours?|hrs?|h)|(?P<d>days?|d)"
    r"|(?P<w>weeks?|w)|\Z)(?:\s{0,3}(?:,|and)?\s{0,3})"
)
_ISO = re.compile(r"P(?:(\d{1,4})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,4})M)?(?:(\d{1,4})S)?)?", re.I)
_CLOCK = re.compile(r"(?:(\d{1,3})\.)?(\d{1,2}):(\d{2}):(\d{2})")
HOW = "Write a number and a unit: 500ms, 45s, 15m, 2h, 1h30m or 3d."
_LONGEST_TEXT = 40


class DurationInvalid(ValueError):
    """A value is no length of time; `hint` says how to write one."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def parse_duration(value: object) -> object:
    """Turn "15m" or "1h30m" into a timedelta; return a timedelta as it is.

    Raises: DurationInvalid for anything else, with the form that was probably meant.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and _DURATION.fullmatch(value):
        parts = [(int(number), _UNITS[unit]) for number, unit in _PARTS.findall(value)]
        sizes = [size for _, size in parts]
        if sizes == sorted(set(sizes), reverse=True):
            return timedelta(milliseconds=sum(number * size for number, size in parts))
    meant = _meant(value)
    hint = HOW if meant is None else f"Write `{_compound(meant)}`."
    if meant is not None and not isinstance(value, str):
        hint = f"Write `{_compound(meant)}` if it is in seconds."
    raise DurationInvalid(f"should be a length of time, found {_found(value)}", hint)


def _found(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool | int | float):
        return shortened(str(value), 31).lower()
    if isinstance(value, str):
        scheme, is_address, _ = value.partition("://")  # which may hold a secret
        return f"'{shortened(scheme, 31)}://…'" if is_address else f"'{shortened(value, 31)}'"
    return "a mapping" if isinstance(value, dict) else "a list"


def _meant(value: object) -> timedelta | None:
    """Return the length of time that was probably meant, None where that is not clear."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6:
        return timedelta(seconds=value)
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        return None
    if parts := _CLOCK.fullmatch(value) or _ISO.fullmatch(value):
        days, hours, minutes, seconds = (int(part or 0) for part in parts.groups())
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return span or None
    if re.fullmatch(r".*\dM", value):  # a month or a minute
        return None
    return _in_words(value.strip().lower())


#: In milliseconds, from the smallest; a number without a unit is of the one below the last.
_SPOKEN = {**_UNITS, "w": 7 * _UNITS["d"]}


def _in_words(text: str) -> timedelta | None:
    """Read "1 hour and 30 minutes", "1.5h", "2w", "1h30" and "30m1h"."""
    total, at, last = 0.0, 0, ""
    while at < len(text):
        match = _WORDS.match(text, at)
        if match is None:
            return None
        unit = match.lastgroup or {"d": "h", "h": "m", "m": "s"}.get(last, "")
        if not unit:
            return None
        total += float(match[1].replace(",", ".")) * _SPOKEN[unit]
        at, last = match.end(), unit
    return timedelta(milliseconds=round(total)) if last else None


def _compound(value: timedelta) -> str:
    """Write a duration in as many units as it takes: 1h30m."""
    rest, text = value // timedelta(milliseconds=1), ""
    for unit, size in reversed(_UNITS.items()):
        if number := rest // size:
            text += f"{number}{unit}"
        rest %= size
    return text or "0s"


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
