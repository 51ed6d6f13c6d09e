"""Messages that only say which row is due: written by us, and read as from a stranger."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.outside import read_json

log = logging.getLogger(__name__)

#: What an id may be: anything else can be none of ours, and perhaps no key of a table.
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wakeup:
    """What a message says: the ids by name, which turn is due, and since when it is.

    `due` is None in the messages of earlier versions.
    """

    ids: Mapping[str, str]
    number: int
    due: datetime | None


def write_wakeup(
    ids: Mapping[str, str], number: tuple[str, int], due: datetime, **more: str
) -> str:
    """Return the message that wakes a row at its turn, which is due then."""
    name, value = number
    return json.dumps({"v": 1, **ids, name: value, "due": due.isoformat(), **more})


def read_wakeup(text: str, ids: tuple[str, ...], number: str) -> Wakeup | None:
    """Read a message of ours; None, and one quiet warning, where it is none."""
    try:
        content = read_json(text)
        found = {name: content[name] for name in ids}
        turn, due = content[number], content.get("due")
        is_ours = content["v"] == 1 and type(turn) is int and turn >= 0
        is_ours = is_ours and all(_ID.fullmatch(value) for value in found.values())
        at = None if due is None else datetime.fromisoformat(due)
        if is_ours and (at is None or at.tzinfo is not None):
            return Wakeup(ids=found, number=turn, due=at)
    except (ValueError, TypeError, KeyError):
        pass
    log.warning("a message that is none of ours was dropped", extra={"names": " ".join(ids)})
    return None
