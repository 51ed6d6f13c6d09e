"""The limits of table rows, queue messages and blobs, for the account and its twin alike.

Secrets are taken out here of everything that is written: of texts from outside, and of the events
and other documents that contain them.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil, isfinite

from shared.base.outgoing import for_row
from shared.base.ports import BATCH_MAX, Row, Value

#: A key holds at most 1 KiB.
KEY_MAX = 512
#: A string property holds at most 64 KiB of UTF-16.
STRING_MAX = 64 * 1024
#: The earliest year of a time.
YEAR_MIN = 1601
#: A queue message holds at most 64 KiB of UTF-8.
MESSAGE_MAX = 64 * 1024
#: The longest time for which a message can be hidden.
DELAY_MAX = timedelta(days=7)
#: How long a message that was received stays hidden from others.
VISIBILITY = timedelta(minutes=5)

_INT_MAX = 2**63
_FORBIDDEN_IN_KEYS = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
_RESERVED = frozenset({"PartitionKey", "RowKey", "Timestamp"})


def check_keys(*keys: str) -> None:
    """Raise ValueError unless tables accept each of these as a partition or row key."""
    for key in keys:
        if _FORBIDDEN_IN_KEYS.search(key):
            raise ValueError(f"a key can't hold / \\ # ? or control characters: {key!r}")
        if len(key.encode("utf-16-le")) > 2 * KEY_MAX:
            raise ValueError(f"a key holds at most {KEY_MAX} characters: {key[:40]!r}…")


def check_storage_name(name: str) -> None:
    """Raise ValueError unless tables accept this as a property's name and leave it to us."""
    if not name.isidentifier() or name in _RESERVED:
        raise ValueError(f"a property can't be named {name!r}")


def plain_value(name: str, value: Value) -> Value:
    """Return the value as tables give it back: of a plain type, without secrets, a time in UTC.

    Raises: ValueError where tables can't hold it, and TypeError where it is no Value.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, datetime):
        return _plain_time(name, value)
    if isinstance(value, str):
        if len(value.encode("utf-16-le", "surrogatepass")) > STRING_MAX:
            raise ValueError(f"{name} has {len(value):,} characters, more than a property holds")
        return for_row(value)
    if isinstance(value, int):
        if not -_INT_MAX <= value < _INT_MAX:
            raise ValueError(f"{name} does not fit into 64 bits: {value}")
        return int(value)
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{name} is {value}")
        return float(value)
    raise TypeError(f"{name} is a {type(value).__name__}, which a property can't be")


def plain_values(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return a row's values as tables give them back; raises as plain_value does."""
    for name in values:
        check_storage_name(name)
    return {name: plain_value(name, value) for name, value in values.items()}


def plain_message(text: str) -> str:
    """Return a message as queues hold it; raise ValueError where it is too long."""
    plain = for_row(text)
    size = len(plain.encode())
    if size > MESSAGE_MAX:
        raise ValueError(f"a message holds at most {MESSAGE_MAX:,} bytes, not {size:,}")
    return plain


def plain_body(body: bytes) -> bytes:
    """Return a body as blobs hold it: a text without secrets, other bytes unchanged."""
    try:
        return for_row(body.decode()).encode()
    except UnicodeDecodeError:
        return body


def delay_seconds(delay: timedelta) -> int:
    """Return a delay as queues accept it: whole seconds, rounded up, at most 7 days."""
    return max(0, ceil(min(delay, DELAY_MAX).total_seconds()))


def after_prefix(prefix: str) -> str:
    """Return the least text that comes after each that begins so.

    Raises: ValueError for the last character that there is.
    """
    last = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if last == 0xD800 else last)  # no surrogate is sent


def check_batch(rows: Sequence[Row]) -> None:
    """Raise ValueError unless one transaction accepts these rows."""
    if len(rows) > BATCH_MAX or len({row.partition for row in rows}) > 1:
        raise ValueError(f"a batch holds at most {BATCH_MAX} rows of one partition")


def _plain_time(name: str, value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{name} has no time zone: {value.isoformat()}")
    moment = value.astimezone(UTC)
    if moment.year < YEAR_MIN:
        raise ValueError(f"{name} is before {YEAR_MIN}: {value.isoformat()}")
    # A plain datetime, because the tables SDK returns a subclass that has more in it.
    return datetime.combine(moment.date(), moment.timetz())
