"""Read JSON, times and numbers that others wrote, within bounds; write times as they read them.

Unusable text is a ValueError or None, never another exception: it is no fault of the app.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeIs

#: Real documents are a dozen levels deep. A much deeper one is made to break its reader.
DEPTH_MAX = 64
#: In one document. Each value takes many times the memory of its text.
VALUES_MAX = 1_000_000
#: A number of more digits has no place in a float.
_DIGITS_MAX = 300
#: Times that leave room for arithmetic, also in another time zone. The first is the earliest that a
#: table holds; a time that .NET never set is earlier.
TIME_MIN = datetime(1601, 1, 1, tzinfo=UTC)
TIME_MAX = datetime(9000, 1, 1, tzinfo=UTC)

#: Half a character: legal in JSON, but nothing can store it.
HALF = re.compile("[\ud800-\udfff]")
#: A place that may hold half a character, as it is or as an escape.
_MAYBE_HALF = re.compile("[\ud800-\udfff]|\\\\u[dD][89a-fA-F]")


#: An object of somebody else's JSON.
type Json = Mapping[str, Any]


class TooDeep(ValueError):
    """The document is nested too deeply to be read."""


def read_json(text: str | bytes, *, is_strict: bool = False) -> Any:
    """Return the value of a JSON text; bytes are UTF-8.

    A whole number of very many digits becomes a float, which may be infinite; half a character,
    which nothing could store, becomes U+FFFD. Where it `is_strict`, there are no infinities and no
    NaN.

    Raises: json.JSONDecodeError, TooDeep, and ValueError for other unusable text.
    """
    decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    if decoded.count("{") + decoded.count("[") + decoded.count(",") > VALUES_MAX:
        raise ValueError(f"more than {VALUES_MAX:,} values")
    number = _finite if is_strict else float

    def whole(digits: str) -> int | float:
        return int(digits) if len(digits) <= _DIGITS_MAX else number(digits)

    try:
        value = json.loads(decoded, parse_int=whole, parse_float=number, parse_constant=number)
    except RecursionError as error:
        raise TooDeep(f"nested deeper than {DEPTH_MAX} levels") from error
    if is_deeper(decoded, value, DEPTH_MAX):
        raise TooDeep(f"nested deeper than {DEPTH_MAX} levels")
    if _MAYBE_HALF.search(decoded):
        value = json.loads(HALF.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    return value


def read_object(text: str | bytes) -> dict[str, Any]:
    """Return the object of a JSON text, or {} if the text is no usable object."""
    try:
        value = read_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def is_object(value: object) -> TypeIs[Json]:
    """Return whether a value of a document is an object."""
    return isinstance(value, Mapping)


def object_in(document: Json, *names: str) -> Json:
    """Return the object at these nested names, or {} where there is none."""
    for name in names:
        value = document.get(name)
        document = value if is_object(value) else {}
    return document


def objects_in(document: Json, name: str) -> Iterator[Json]:
    """Yield the objects of the list that has this name; none where there is no list."""
    items = document.get(name)
    yield from filter(is_object, items if isinstance(items, list) else ())


def read_json_at(text: str, start: int) -> tuple[Any, int]:
    """Return the JSON value that begins at a place of a text, and the place after it.

    Its strings may hold line breaks as they are. Raises: json.JSONDecodeError, TooDeep, and
    ValueError.
    """
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
    except RecursionError as error:
        raise TooDeep(f"nested deeper than {DEPTH_MAX} levels") from error
    if is_deeper(text[start:end], value, DEPTH_MAX):
        raise TooDeep(f"nested deeper than {DEPTH_MAX} levels")
    return value, end


def is_deeper(text: str, value: object, depth: int) -> bool:
    """Return whether a value is nested deeper than `depth` levels; `text` is its JSON."""
    if text.count("{") + text.count("[") <= depth:
        return False  # too few brackets to be deep: so nearly no text has to be walked
    level: list[Any] = [[value]]
    for _ in range(depth + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list | tuple)
        ]
        if not level:
            return False
    return True


def read_time(value: object) -> datetime | None:
    """Return a time as `parse_time` does, but only if it can be stored and reckoned with."""
    time = parse_time(value)
    return time if time is not None and TIME_MIN <= time < TIME_MAX else None


def parse_time(value: object) -> datetime | None:
    """Return a time in ISO 8601 in UTC, or None; one without an offset is taken as UTC."""
    try:
        time = datetime.fromisoformat(value.upper()) if isinstance(value, str) else None
        if time is None:
            return None
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def write_time(moment: datetime) -> str:
    """Return a time in ISO 8601, in UTC and whole seconds: 2026-03-01T12:00:00Z."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def read_whole(text: str, *, most: int) -> int | None:
    """Return a whole number from 0 to `most`, or None for other text."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if number <= most else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that is too large, or none")
    return number
