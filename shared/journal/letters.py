"""Letters: reactions that could not be finished, with everything needed to replay them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.base.ids import digest

#: Where letters are kept, their messages sent, and their long bodies put.
TABLE = "SignalboxLetters"
QUEUE = "dead-letter"
CONTAINER = "letters"


class LetterStatus(StrEnum):
    """The state of a letter."""

    WAITING = "waiting"  #: It is replayed when it is due.
    PARKED = "parked"  #: It waits for a person.
    CLOSED = "closed"  #: It was replayed, or a person closed it.


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter. `reaction` is "" for a whole event; `body` is the event as it arrived."""

    id: str
    status: LetterStatus
    reaction: str
    code: str
    reason: str
    hint: str
    attempt: int  #: Failed attempts so far: the wait grows with them, and too many park it.
    turn: int  #: The number of the wake-up it waits for; a message for another one is stale.
    due_at: datetime  #: Of a closed letter: when it was closed.
    created_at: datetime
    about: str
    body: str
    traceparent: str
    takes: str = ""  #: Of a whole event: the types that its trigger takes, "" for any.
    workspace: str = ""  #: Its name; "" for a whole event, which may be of any.
    order: str = ""  #: The last order of a person, with who gave it and why.
    is_again: bool = False  #: Whether its message was handed out before; no row keeps this.
    in_blob: bool = False  #: Whether the body is in a blob, which lists of letters do not read.
    #: The channels that are still to be told that it is parked, with the failed attempts of each.
    untold: Mapping[str, int] = field(default_factory=dict)
    etag: str = ""

    @property
    def is_read(self) -> bool:
        """Whether `body` was read."""
        return bool(self.body) or not self.in_blob


def letter_id_of(event: str, reaction: str) -> str:
    """Return the id of the letter of an event, by its key, and a reaction."""
    return digest(event, reaction)[:32]
