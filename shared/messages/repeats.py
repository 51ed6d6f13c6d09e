"""Folds: repeats of a message that are counted, and told together when their time is over.

A row for each workspace, reaction, step, channel and key. The first message of a key opens its fold
and is sent; those that come after it are counted until the fold's time is over and the sweep has
told how many they were. The next one opens the fold anew.

Whoever counts or opens writes its event's name into the row, in the same conditional write: after
a crash it finds itself there, and is neither counted twice nor kept from being sent.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from shared.base.clock import Clock
from shared.base.documents import AsText, ColumnForm, Documents, Kept, RowAddress
from shared.base.ids import digest
from shared.base.ports import Tables
from shared.base.redact import redact
from shared.base.words import flat, minute
from shared.events.model import Workspace
from shared.messages.notice import Text, notices_to
from shared.messages.outbox import Outbox

log = logging.getLogger(__name__)

TABLE = "SignalboxFolds"

#: Of those that were counted, as many are named in the summary.
_TITLES_MAX = 5
_TITLE_MAX = 250
_KEY_MAX = 200
#: Names of events that a row remembers. A replay comes within minutes of a crash; only one that
#: comes after so many others is counted again.
_COUNTED_MAX = 1000
_OPENERS_MAX = 50
_NAME_LENGTH = 16
#: Summaries of one sweep; the next one goes on.
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A message that may be one of many. `claim` is the digest of its step's claim.

    Messages of one workspace, reaction, step, channel and key are repeats of one another: what a
    workspace says can't hide what another one says. The key may be any text; the title is kept as
    it is, so that it has to be free of secrets.
    """

    claim: str
    workspace: Workspace
    reaction: str
    step: str
    channel: str
    key: str
    title: str
    within: timedelta

    @property
    def name(self) -> str:
        """What the row calls the event, for this step."""
        return self.claim[:_NAME_LENGTH]

    @property
    def fold(self) -> str:
        """The id of the fold that it belongs to."""
        parts = (self.reaction, self.step, self.channel, self.key)
        return digest(self.workspace.key, *parts)[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceInFold:
    """Where a message stands: `number` 1 is sent, a later one was counted.

    0 is one that was counted at an earlier delivery of its event.
    """

    number: int
    since: datetime

    @property
    def is_first(self) -> bool:
        """Whether it is to be sent."""
        return self.number == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A fold as its row has it. `count` is of those that are counted and not told yet.

    `first` is the title of the message that opened it, `titles` are the last ones that were
    counted. `openers` and `counted` are names of events, of earlier turns too. `turn` grows with
    each summary that was told.
    """

    id: str
    workspace: str
    reaction: str
    step: str
    channel: str
    key: str
    first: str
    since: datetime
    until: datetime
    count: int = 0
    titles: tuple[str, ...] = ()
    openers: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    turn: int = 0


_WORDS = AsText(write=" ".join, read=lambda text: tuple(text.split()))
_TITLES = AsText(
    write=lambda titles: json.dumps(titles, ensure_ascii=False),
    read=lambda text: tuple(json.loads(text)),
)
_FORM = ColumnForm(
    Fold,
    lambda fold: {"open": fold.count > 0},
    texts={"titles": _TITLES, "openers": _WORDS, "counted": _WORDS},
    row_key="id",
)


class Folds:
    """Folds, kept in a table."""

    def __init__(self, *, tables: Tables, outbox: Outbox, clock: Clock) -> None:
        self._folds = Documents(tables, TABLE, _FORM)
        self._outbox = outbox
        self._clock = clock

    def place(self, repeat: Repeat) -> PlaceInFold:
        """Say whether a message is to be sent, or count it: two requests, more in a crowd.

        The same event's gets the same answer, however often it is asked.

        Raises: StorageUnavailable, also where too many others count at the same moment.
        """

        def count(fold: Fold | None) -> Fold | None:
            is_known = fold is not None and repeat.name in (*fold.openers, *fold.counted)
            return None if is_known else _after(fold, repeat, self._clock.now())

        changed = self._folds.change(_address(repeat.fold), count)
        assert changed.after is not None  # it was counted in by now, or before
        fold = changed.after.value
        if repeat.name in fold.openers:
            return PlaceInFold(number=1, since=fold.since)
        return PlaceInFold(number=fold.count + 1 if changed.saved else 0, since=fold.since)

    def withdraw(self, repeat: Repeat) -> None:
        """End the fold that this message opened, since it is not sent after all.

        The next one then opens it anew, and those that were counted are told by the next sweep.

        Raises: StorageUnavailable.
        """
        now = self._clock.now()

        def end(fold: Fold | None) -> Fold | None:
            if fold is None or fold.openers[-1:] != (repeat.name,) or fold.until <= now:
                return None
            return replace(fold, until=now)

        self._folds.change(_address(repeat.fold), end)

    def summaries(self) -> Iterator[Callable[[], None]]:
        """Yield what tells what the folds have counted whose time is over; the rest stays.

        A summary is told again after a crash between sending and saving.

        Raises: StorageUnavailable.
        """
        down: set[str] = set()
        due = self._folds.find(equals={"open": True}, before=("until", self._clock.now()))
        found = (kept.value for kept in due if kept.value.channel not in down)
        for fold in islice(found, _MOST):
            yield partial(self._tell_one, fold, down)

    def _tell_one(self, fold: Fold, down: set[str]) -> None:
        """Tell what a fold has counted, or add its channel to those that are down."""
        unsent = self._outbox.send(notices_to((fold.channel,), _text_of(fold)))
        if unsent.left or unsent.untold:
            down.add(fold.channel)
        else:
            self._settle(fold)

    def _settle(self, told: Fold) -> None:
        """Take what was told off the count; those that came meanwhile are told by the next sweep.

        A fold of another turn was told by somebody else as well.
        """

        def take_off(fold: Fold | None) -> Fold | None:
            if fold is None or fold.turn != told.turn:
                return None
            left = fold.count - told.count
            titles = fold.titles[-left:] if left else ()
            return replace(fold, count=left, titles=titles, turn=fold.turn + 1)

        self._folds.change(_address(told.id), take_off)

    def old(self, before: datetime) -> Iterator[Callable[[], None]]:
        """Yield what deletes the folds that ended before then, told or not.

        Raises: StorageUnavailable.
        """
        for kept in self._folds.find(before=("until", before)):
            yield partial(self._forget, kept)

    def _forget(self, kept: Kept[Fold]) -> None:
        if kept.value.count:
            log.warning("repeats were never told", extra={"channel": kept.value.channel})
        self._folds.remove(kept)

    def all(self) -> list[Fold]:
        """Return every fold."""
        return [kept.value for kept in self._folds.find()]


def _address(fold_id: str) -> RowAddress:
    return fold_id[:2], fold_id


def _after(fold: Fold | None, repeat: Repeat, now: datetime) -> Fold:
    """Return the fold with one more message: opened by it, or counting it.

    One whose time is over goes on counting while its summary is not told: no count is overwritten.
    """
    if fold is not None and (fold.count or fold.until > now):
        return replace(
            fold,
            count=fold.count + 1,
            titles=(*fold.titles, repeat.title)[-_TITLES_MAX:],
            counted=(*fold.counted, repeat.name)[-_COUNTED_MAX:],
        )
    known = fold or Fold(
        id=repeat.fold,
        workspace=repeat.workspace.name,
        reaction=repeat.reaction,
        step=repeat.step,
        channel=repeat.channel,
        key=redact(repeat.key, most=_KEY_MAX),
        first="",
        since=now,
        until=now,
    )
    return replace(
        known,
        first=repeat.title,
        since=now,
        until=now + repeat.within,
        openers=(*known.openers, repeat.name)[-_OPENERS_MAX:],
    )


def _text_of(fold: Fold) -> Text:
    """Write the summary: how many there were, since when, and the last of them."""
    messages = "message" if fold.count == 1 else "messages"
    since = minute(fold.since)
    of = f"{fold.reaction} in workspace {fold.workspace}"
    lines = [
        f"Since {since} {fold.count} more {messages} of {of} came after the first.",
        f"They have the same key: {fold.key or '(empty)'}",
        "The last of them:" if fold.count > len(fold.titles) else "They are:",
        *(f"- {flat(title)}" for title in fold.titles),
    ]
    title = f"{fold.count} more like: {flat(fold.first)}"
    return Text(title=redact(title, most=_TITLE_MAX), body="\n".join(lines), good=None)
