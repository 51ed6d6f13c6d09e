"""Text for people: one line, cut short, a list, a time. Each is written in one way.

Nothing here takes secrets out; `redact` and `outgoing` do.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def flat(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return " ".join(text.split())


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters; a longer one is cut, and ends in an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def bullets(lines: Sequence[str], most: int) -> list[str]:
    """Return up to `most` lines as a bulleted list, and a line for how many more there are."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return [*(f"- {line}" for line in lines[:most]), *more]


def listed(names: Sequence[str], most: int) -> str:
    """Return up to `most` names on one line, and how many more there are: "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more


def counted(count: int, noun: str) -> str:
    """Write a number with its noun: 1 minute, 2 minutes."""
    return f"{count} {noun}{'s' * (count != 1)}"


def second(time: datetime) -> str:
    """Write a time to the second: 2026-03-02 09:00:00Z."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def minute(time: datetime) -> str:
    """Write a time to the minute: 2026-03-02 09:00 UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def elapsed(span: timedelta) -> str:
    """Write a length of time in at most two units: 1h 5m."""
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
