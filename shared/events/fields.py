"""The members of an object that somebody else wrote: found in any casing, checked before use."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from shared.base.errors import EventMalformed
from shared.base.incoming import parse_time
from shared.base.redact import redact
from shared.base.words import flat, listed, shortened

#: The most keys that a message names.
_NAMED = 12
NAME_MAX = 255
#: The most characters of a text that are searched for secrets: far more than are ever kept.
_LOOKED_THROUGH = 8_000


class Fields:
    """The members of an object, found by name in any casing.

    `where` is the object's name in messages; `prefix` stands before its members' names there.
    A method that can't read a member raises EventMalformed with the reason, which repeats no value.
    """

    def __init__(self, where: str, members: Mapping[str, Any], *, prefix: str = "") -> None:
        self._where = where
        self._prefix = prefix
        self._members = {str(key).lower(): value for key, value in members.items()}
        self._present = [key for key, value in members.items() if value is not None]

    def get(self, key: str) -> Any:
        """Return the member as it arrived, or None."""
        return self._members.get(key.lower())

    def require(self, *keys: str) -> None:
        """Refuse an object that lacks any of these members."""
        missing = [key for key in keys if self.get(key) is None]
        if missing:
            raise EventMalformed(
                f"{self._where} has no {', '.join(missing)}; it has {_listed(self._present)}"
            )

    def refuse(self, key: str, why: str) -> NoReturn:
        """Refuse the object for one of its members."""
        refuse(f"{self._prefix}{key}", why)

    def name(self, key: str, *, limit: int = NAME_MAX, forbidden: str = "") -> str:
        """Return a printable text that is not empty."""
        self.require(key)
        return check_event_name(
            self.get(key), f"{self._prefix}{key}", limit=limit, forbidden=forbidden
        )

    def name_or_empty(self, key: str, *, limit: int = NAME_MAX, forbidden: str = "") -> str:
        """Return a printable text, "" if there is none."""
        if self.get(key) in (None, ""):
            return ""
        return self.name(key, limit=limit, forbidden=forbidden)

    def label(self, key: str, *, limit: int = NAME_MAX, forbidden: str = "") -> str:
        """Return a name that may also have arrived as a whole number."""
        self.require(key)
        value = self.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            value = json_text(value)
        return check_event_name(value, f"{self._prefix}{key}", limit=limit, forbidden=forbidden)

    def texts(self, key: str) -> dict[str, str]:
        """Return a mapping of texts, {} if there is none; other values as their JSON."""
        value = self.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.refuse(key, "is not an object")
        return {
            str(name): item if isinstance(item, str) else json_text(item)
            for name, item in value.items()
        }

    def number(self, key: str) -> float:
        """Return a finite number, which may also have arrived as text."""
        self.require(key)
        number = finite_number(self.get(key))
        if number is None:
            self.refuse(key, "is not a finite number")
        return number

    def number_or_none(self, key: str) -> float | None:
        """Return a finite number, None if there is none."""
        return None if self.get(key) is None else self.number(key)

    def time(self, key: str) -> datetime:
        """Return a time in ISO 8601, in UTC."""
        time = parse_time(self.name(key, limit=64))
        if time is None:
            self.refuse(key, "is not a time in ISO 8601")
        return time

    def time_or_none(self, key: str) -> datetime | None:
        """Return a time in UTC, None if there is none."""
        return None if self.get(key) in (None, "") else self.time(key)


def refuse(key: str, why: str) -> NoReturn:
    """Raise EventMalformed for one member."""
    raise EventMalformed(f"{key} {why}") from None


def check_event_name(value: object, key: str, *, limit: int = NAME_MAX, forbidden: str = "") -> str:
    """Return the value if it is a name, else raise EventMalformed with the reason."""
    if not isinstance(value, str):
        refuse(key, "is not a string")
    if not value.strip():
        refuse(key, "is empty")
    if len(value) > limit:
        refuse(key, f"has {len(value):,} characters; {limit:,} are allowed")
    # Names are shown in logs, pages and messages, so they must not move a cursor or hide text.
    # U+FFFD replaces bytes that are no text, so different names would become the same.
    if not value.isprintable() or "\ufffd" in value:
        refuse(key, "holds a character that can't be printed")
    for character in forbidden:
        if character in value:
            refuse(key, f"holds a {character!r}")
    return value


def finite_number(value: object) -> float | None:
    """Return the value as a finite number, also from text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def one_line(text: str, *, most: int = NAME_MAX) -> str:
    """Return a text that may be kept and shown: no secrets, one line, printable, cut short."""
    clean = redact(text, most=_LOOKED_THROUGH)
    return shortened("".join(char for char in flat(clean) if char.isprintable()), most)


def json_text(value: object) -> str:
    """Return a string as it is, and any other value as its JSON."""
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _listed(keys: Sequence[object]) -> str:
    """Name keys for a message: printable, cut short, and not too many."""
    shown = [ascii(one_line(str(key), most=40))[1:-1] for key in keys[:_NAMED]]
    return listed([*shown, *[""] * (len(keys) - _NAMED)], _NAMED)
