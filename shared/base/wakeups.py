"""Messages that only say which row is due: written by us, and read as from a stranger."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.base.outside import read_json, read_time
from shared.base.ports import Queues

log = logging.getLogger(__name__)

#: A message may be late by this much before the sweep takes it for lost.
GRACE = timedelta(minutes=2)
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


def handed_out_to(
    queues: Queues, queue: str, ids: tuple[str, ...], number: str, now: datetime
) -> datetime:
    """Return up to when the messages of a queue have been handed out: what is due later waits.

    That is when the message at its front was due, or now where none waits: one request.
    """
    text = queues.peek(queue)
    front = None if text is None else read_wakeup(text, ids, number)
    return now if front is None or front.due is None else min(front.due, now)


def read_wakeup(text: str, ids: tuple[str, ...], number: str) -> Wakeup | None:
    """Read a message of ours; None, and one quiet warning, where it is none."""
    try:
        content = read_json(text)
        found = {name: content[name] for name in ids}
        turn, due = content[number], content.get("due")
        is_ours = content["v"] == 1 and type(turn) is int and turn >= 0
        is_ours = is_ours and all(_ID.fullmatch(value) for value in found.values())
        # Ours tell the zone: without it, a time is anybody's.
        at = read_time(due) if due is None or datetime.fromisoformat(due).tzinfo else None
        if is_ours and (due is None or at is not None):
            return Wakeup(ids=found, number=turn, due=at)
    except (ValueError, TypeError, KeyError):
        pass
    log.warning("a message that names no %s was dropped", ids[0])
    return None
