"""JSON as Newtonsoft.Json reads and writes it, which the real host puts between Event Grid and us.

It reads more than JSON, and changes values when it writes them: it takes a string that looks like a
time as a time, and a number with a fraction as a double.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

#: Nested deeper than this it is refused.
MAX_DEPTH = 64

_STRING = r'"(?:[^"\\]|\\.)*"'
_QUOTED = r"'(?:[^'\\]|\\.)*'"
_COMMENT = r"//[^\r\n]*|/\*.*?\*/"
_LENIENT = re.compile(f"(?P<string>{_STRING})|(?P<quoted>{_QUOTED})|(?P<comment>{_COMMENT})", re.S)
_TRAILING_COMMA = re.compile(rf"(?P<string>{_STRING})|,(?=\s*[\]}}])", re.S)
_SURROGATE = re.compile("[\ud800-\udfff]")
#: A fraction of up to seven digits: one more and it is no time to it.
_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})T(?P<hour>[0-9]{2}):(?P<clock>[0-9]{2}:[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,7}))?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<zone_hours>[0-9]{2})(?::?(?P<zone_minutes>[0-9]{2}))?)?"
)
_MICROSOFT_TIME = re.compile(r"/Date\((?P<milliseconds>-?[0-9]+)(?P<zone>[+-][0-9]{4})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_TICK_DIGITS = 7


def read(text: str) -> Any:
    """Return the value of a text, times already written as the real host writes them.

    It takes comments, single quotes and a comma at the end of a list. ValueError for anything else.
    """
    text = text.removeprefix("\ufeff")
    try:
        value = _load(text)
    except json.JSONDecodeError:
        value = _load(_strict(text))
    except RecursionError:
        raise ValueError("nested too deep") from None
    if _depth(text) > MAX_DEPTH and _is_deep(value):
        raise ValueError("nested too deep")
    return _rewritten(value, _as_time)


def write(value: Any) -> str:
    """Return a value that `read` returned as JSON; half a character becomes U+FFFD."""
    return _SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def as_text(value: Any) -> str | None:
    """Return a scalar as .NET casts it to a string, in the invariant culture; None for null."""
    if value is None or isinstance(value, str):
        match = _TIME.fullmatch(value or "")
        time = _moment(match) if match else None
        return value if time is None else f"{time:%m/%d/%Y %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.15g}" if float(f"{value:.15g}") == value else repr(value)
    return str(value)


def _load(text: str) -> Any:
    return json.loads(text, strict=False, parse_float=_number, parse_constant=_constant)


def _number(text: str) -> float | str:
    number = float(text)
    return number if abs(number) != float("inf") else _constant(str(number))


def _constant(text: str) -> str:
    named = {"inf": "Infinity", "-inf": "-Infinity"}
    return named.get(text, text)


def _strict(text: str) -> str:
    """Return a text without the parts that it reads but that are not JSON."""

    def token(match: re.Match[str]) -> str:
        if match["comment"] is not None:
            return " "
        if match["quoted"] is not None:
            inner = match["quoted"][1:-1].replace("\\'", "'")
            return '"' + re.sub(r'(\\.)|"', lambda found: found[1] or '\\"', inner) + '"'
        return match["string"]

    bare = _LENIENT.sub(token, text)
    return _TRAILING_COMMA.sub(lambda match: match["string"] or "", bare)


def _depth(text: str) -> int:
    return text.count("{") + text.count("[")


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return False
        level = [
            inner for each in level for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return True


def _rewritten(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _rewritten(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rewritten(inner, change) for inner in value]
    return value


def _as_time(text: str) -> str:
    if text.startswith("/Date(") and (found := _MICROSOFT_TIME.fullmatch(text)):
        try:
            moment = _EPOCH + timedelta(milliseconds=int(found["milliseconds"]))
        except OverflowError:
            return text
        return _written(moment, "", "Z")
    # A text that it takes as a time has this length, and longer ones are not checked.
    match = _TIME.fullmatch(text) if 19 <= len(text) <= 40 else None
    moment = _moment(match) if match else None
    if match is None or moment is None:
        return text
    zone = match["zone"] or ""
    return _written(moment, match["fraction"] or "", "+00:00" if match["sign"] else zone)


def _moment(match: re.Match[str]) -> datetime | None:
    """Return the time to the second, in UTC if it has a zone; None if there is no such time."""
    hour, clock = int(match["hour"]), match["clock"]
    is_midnight = hour == 24 and clock == "00:00" and not (match["fraction"] or "").strip("0")
    try:
        time = datetime.fromisoformat(f"{match['day']}T{0 if is_midnight else hour:02}:{clock}Z")
    except ValueError:
        return None
    east = -1 if match["sign"] == "+" else 1
    hours, minutes = int(match["zone_hours"] or 0), int(match["zone_minutes"] or 0)
    if hours > 23 or minutes > 59:
        return None
    try:
        time += timedelta(days=is_midnight)
        return time + east * timedelta(hours=hours, minutes=minutes)
    except OverflowError:
        return _FIRST if east < 0 else _LAST


def _written(moment: datetime, fraction: str, zone: str) -> str:
    digits = fraction or (f"{moment.microsecond:06}" if moment.microsecond else "")
    digits = digits[:_TICK_DIGITS].rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + (f".{digits}" if digits else "") + zone
