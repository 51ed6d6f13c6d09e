"""Words for people: a line, a cut, a list, a time, each written in one way.

Nothing here takes secrets out; see `redact` and `outgoing`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def flat(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return " ".join(text.split())


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters: one that was longer ends in an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def bullets(lines: Sequence[str], most: int) -> list[str]:
    """Return the first lines as a list, and how many there are beyond `most`."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return [*(f"- {line}" for line in lines[:most]), *more]


def listed(names: Sequence[str], most: int) -> str:
    """Return the first names in a row, and how many there are beyond `most`: "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more


def second(time: datetime) -> str:
    """Write a time to the second: 2026-03-02 09:00:00Z."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def minute(time: datetime) -> str:
    """Write a time to the minute: 2026-03-02 09:00 UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def elapsed(span: timedelta) -> str:
    """Write a time that passed in at most two units: 1h 5m."""
    seconds = max(0, round(span.total_seconds()))
    parts: list[str] = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count and len(parts) < 2:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def ordinal(number: int) -> str:
    """Write 2 as 2nd, 13 as 13th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"
