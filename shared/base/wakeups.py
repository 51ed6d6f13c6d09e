"""Messages that only name the row that is due. They are ours, but are read as if they were not."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.base.incoming import read_json, read_time
from shared.base.ports import Queues

log = logging.getLogger(__name__)

#: The sweep takes a message for lost when it is later than this.
GRACE = timedelta(minutes=2)
#: The form of our ids. Anything else is not ours, and perhaps no legal key of a table.
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wakeup:
    """The content of a message: the ids by name, the turn that is due, and when it is due.

    `due` is None in messages of earlier versions.
    """

    ids: Mapping[str, str]
    number: int
    due: datetime | None


def write_wakeup(
    ids: Mapping[str, str], number: tuple[str, int], due: datetime, **more: str
) -> str:
    """Return the message that wakes a row at its turn, which is due at `due`."""
    name, value = number
    return json.dumps({"v": 1, **ids, name: value, "due": due.isoformat(), **more})


def handed_out_to(
    queues: Queues, queue: str, ids: tuple[str, ...], number: str, now: datetime
) -> datetime:
    """Return the time up to which a queue has handed out its messages; later ones still wait.

    It is the time at which the message at the front was due, or now if none waits. One request.
    """
    text = queues.peek(queue)
    front = None if text is None else read_wakeup(text, ids, number)
    return now if front is None or front.due is None else min(front.due, now)


def read_wakeup(text: str, ids: tuple[str, ...], number: str) -> Wakeup | None:
    """Read a message of ours; log a warning and return None if it is not one."""
    try:
        content = read_json(text)
        found = {name: content[name] for name in ids}
        turn, due = content[number], content.get("due")
        is_ours = content["v"] == 1 and type(turn) is int and turn >= 0
        is_ours = is_ours and all(_ID.fullmatch(value) for value in found.values())
        # Our times have an offset; a time without one is not ours.
        at = read_time(due) if due is None or datetime.fromisoformat(due).tzinfo else None
        if is_ours and (due is None or at is not None):
            return Wakeup(ids=found, number=turn, due=at)
    except (ValueError, TypeError, KeyError):
        pass
    log.warning("a message that names no %s was dropped", ids[0])
    return None
