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
    """Where a letter stands."""

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
    attempt: int  #: Failed attempts so far: what backoff grows with and parking counts.
    turn: int  #: Which wake-up it waits for; a message for another turn is stale.
    due_at: datetime  #: Of a closed one: when that was.
    created_at: datetime
    about: str
    body: str
    traceparent: str
    takes: str = ""  #: Of a whole event: the types that may come as it came, "" for any.
    workspace: str = ""  #: Its name; "" of a whole event, which may be of any.
    order: str = ""  #: What a person last ordered: that, who and why.
    is_again: bool = False  #: Whether its message was handed out before. No row keeps that.
    in_blob: bool = False  #: Whether a blob has the body, which a list of letters does not read.
    untold: Mapping[str, int] = field(default_factory=dict)  #: Failed attempts, by channel.
    etag: str = ""

    @property
    def is_read(self) -> bool:
        """Whether `body` was read."""
        return bool(self.body) or not self.in_blob


def letter_id_of(event: str, reaction: str) -> str:
    """Return the id of the letter of an event, by its key, and a reaction."""
    return digest(event, reaction)[:32]
