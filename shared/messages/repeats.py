"""Folds: repeats of a message are counted, and told together in one summary.

Each workspace, reaction, step, channel and key has one row. The first message of a key opens its
fold and is sent. Later ones are counted until the fold's time is over and the sweep has sent the
summary. The next one opens the fold again.

The write that opens a fold or counts in it also puts the event's name into the row. After a crash
the event finds its name there, so it is not counted twice, and an opener is still sent.

The ceiling of a channel is a fold as well, of all its messages within an hour: it has many openers.
Messages that a person has to act on have a fold of their own, so no news keeps them back.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from threading import Lock

from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.documents import AsText, ColumnForm, Documents, Kept, RowAddress
from shared.base.ids import digest
from shared.base.ports import Tables
from shared.base.redact import redact
from shared.base.words import counted, flat, minute
from shared.events.model import Workspace
from shared.messages.notice import Text, notices_to
from shared.messages.outbox import Outbox

log = logging.getLogger(__name__)

TABLE = "SignalboxFolds"

#: A summary names this many of the messages that it counts.
_TITLES_MAX = 5
_TITLE_MAX = 250
_KEY_MAX = 200
#: A row remembers the names of this many events. A replay comes within minutes of a crash, so it is
#: counted again only if this many others came in between.
_COUNTED_MAX = 1000
_OPENERS_MAX = 50
_NAME_LENGTH = 16
_HOUR = timedelta(hours=1)
_NEWS, _TO_ACT_ON = "news", "to act on"
#: The commands that show where messages of a kind come from.
_COMMANDS = {
    _NEWS: ("events", "rollouts list"),
    _TO_ACT_ON: ("letters list", "rollouts list", "loops list"),
}
#: One sweep sends this many summaries; the next one goes on.
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A message that may be one of many. `claim` is the digest of its step's claim.

    The first `most` of a fold are sent. `workspace` is None for the ceiling of a channel.

    Messages of one workspace, reaction, step, channel and key are repeats of one another; one
    workspace can't hide the messages of another. The key may be any text. The title is kept as it
    is, so it must hold no secret.
    """

    claim: str
    workspace: Workspace | None
    reaction: str
    step: str
    channel: str
    key: str
    title: str
    within: timedelta
    most: int = 1

    @property
    def name(self) -> str:
        """The event's name in the row, for this step."""
        return self.claim[:_NAME_LENGTH]

    @property
    def fold(self) -> str:
        """The id of the fold that it belongs to."""
        parts = (self.reaction, self.step, self.channel, self.key)
        return digest(self.workspace.key if self.workspace else "", *parts)[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceInFold:
    """A message's place: number 1 is sent, a later one was counted.

    Number 0 was counted at an earlier delivery of its event.
    """

    number: int
    since: datetime

    @property
    def is_first(self) -> bool:
        """Whether it is to be sent."""
        return self.number == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A fold as its row has it. `count` is the number of messages that no summary has told yet.

    `sent` is the number of those that were sent since it was opened; a ceiling has no workspace.
    `first` is the title of the message that opened it, `titles` are those of the last messages that
    were counted. `openers` and `counted` are names of events, of earlier turns too. `turn` grows
    with each summary that was sent.
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
    sent: int = 1

    @property
    def is_ceiling(self) -> bool:
        """Whether it is of all messages of a channel."""
        return not self.workspace


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

    def __init__(
        self,
        *,
        tables: Tables,
        outbox: Outbox,
        clock: Clock,
        per_hour: Callable[[], int] | None = None,
    ) -> None:
        """Send summaries by an outbox without a ceiling.

        `per_hour` is the ceiling of a channel, None for none.
        """
        self._folds = Documents(tables, TABLE, _FORM)
        self._outbox = outbox
        self._clock = clock
        self._per_hour = per_hour
        #: The rows of ceilings as this worker wrote them last, which saves reading them.
        self._ceilings: dict[str, Kept[Fold]] = {}
        #: A worker's threads would only change a ceiling's row under one another's hands.
        self._turns = Lock()

    def place(self, repeat: Repeat) -> PlaceInFold:
        """Return whether a message is to be sent, or count it: two requests, more in a crowd.

        The same event gets the same answer each time.

        Raises: StorageUnavailable, also when too many others count at the same moment.
        """

        def count(fold: Fold | None) -> Fold | None:
            is_known = fold is not None and repeat.name in (*fold.openers, *fold.counted)
            return None if is_known else _after(fold, repeat, self._clock.now())

        known = self._ceilings.get(repeat.fold)
        changed = self._folds.change(_address(repeat.fold), count, known=known)
        assert changed.after is not None  # this message was counted now, or before
        if repeat.workspace is None:
            self._ceilings[repeat.fold] = changed.after
        fold = changed.after.value
        if repeat.name in fold.openers:
            return PlaceInFold(number=1, since=fold.since)
        return PlaceInFold(number=fold.count + 1 if changed.saved else 0, since=fold.since)

    def admits(self, channel: str, text: Text, name: str = "") -> bool:
        """Say whether a channel may get a message now; count it if not.

        It costs one request, and two more where another worker has counted since.

        `name` is the same at each attempt to send it; by default it is made of the text.

        Raises: StorageUnavailable, also when too many others count at the same moment.
        """
        if self._per_hour is None:
            return True
        repeat = Repeat(
            claim=name or digest(channel, text.title, text.body),
            workspace=None,
            reaction="",
            step="",
            channel=channel,
            key=_TO_ACT_ON if text.needs_person else _NEWS,
            title=redact(text.title, most=_TITLE_MAX),
            within=_HOUR,
            most=self._per_hour(),
        )
        with self._turns:
            is_sent = self.place(repeat).is_first
        if not is_sent:
            telemetry.count(telemetry.METRIC_MESSAGES, channel=channel, status="folded")
        return is_sent

    def withdraw(self, repeat: Repeat) -> None:
        """End the fold that this message opened, because it is not sent after all.

        The next message opens the fold again, and the next sweep tells of those already counted.

        Raises: StorageUnavailable.
        """
        now = self._clock.now()

        def end(fold: Fold | None) -> Fold | None:
            if fold is None or fold.openers[-1:] != (repeat.name,) or fold.until <= now:
                return None
            return replace(fold, until=now)

        self._folds.change(_address(repeat.fold), end)

    def summaries(self) -> Iterator[Callable[[], None]]:
        """Yield what sends the summaries of the folds whose time is over.

        After a crash between sending and saving, a summary is sent again.

        Raises: StorageUnavailable.
        """
        down: set[str] = set()
        due = self._folds.find(equals={"open": True}, before=("until", self._clock.now()))
        found = (kept.value for kept in due if kept.value.channel not in down)
        for fold in islice(found, _MOST):
            yield partial(self._tell_one, fold, down)

    def _tell_one(self, fold: Fold, down: set[str]) -> None:
        """Send a fold's summary, or add its channel to those that are down.

        A summary that is beyond the ceiling is counted there; that of the ceiling is always sent.
        """
        text = _text_of(fold)
        if not fold.is_ceiling and not self.admits(fold.channel, text, f"{fold.turn}-{fold.id}"):
            self._settle(fold)
            return
        unsent = self._outbox.send(notices_to((fold.channel,), text))
        if unsent.left or unsent.given_up:
            down.add(fold.channel)
        else:
            self._settle(fold)

    def _settle(self, summarized: Fold) -> None:
        """Take the messages that the summary told off the count; the next sweep tells later ones.

        If the fold is in another turn by now, another worker has sent a summary too.
        """

        def take_off(fold: Fold | None) -> Fold | None:
            if fold is None or fold.turn != summarized.turn:
                return None
            left = fold.count - summarized.count
            titles = fold.titles[-left:] if left else ()
            return replace(fold, count=left, titles=titles, turn=fold.turn + 1)

        self._folds.change(_address(summarized.id), take_off)

    def old(self, before: datetime) -> Iterator[Callable[[], None]]:
        """Yield what deletes the folds that ended before then, whether or not they were told.

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
    """Return the fold with one more message, which opens it or is counted in it.

    A fold whose time is over goes on counting until its summary is sent, so no count is lost.
    """
    is_open = fold is not None and (fold.count > 0 or fold.until > now)
    if fold is not None and is_open and not fold.count and fold.sent < repeat.most:
        openers = (*fold.openers, repeat.name)[-_kept_openers(repeat) :]
        return replace(fold, sent=fold.sent + 1, openers=openers)
    if fold is not None and is_open:
        return replace(
            fold,
            count=fold.count + 1,
            titles=(*fold.titles, repeat.title)[-_TITLES_MAX:],
            counted=(*fold.counted, repeat.name)[-_COUNTED_MAX:],
        )
    known = fold or Fold(
        id=repeat.fold,
        workspace=repeat.workspace.name if repeat.workspace else "",
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
        sent=1,
        openers=(*known.openers, repeat.name)[-_kept_openers(repeat) :],
    )


def _kept_openers(repeat: Repeat) -> int:
    return min(max(_OPENERS_MAX, repeat.most), _COUNTED_MAX)


def _text_of(fold: Fold) -> Text:
    """Write the summary: the number of messages, since when, and the last of them."""
    if fold.is_ceiling:
        return _text_beyond(fold)
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


def _text_beyond(fold: Fold) -> Text:
    """Write the message about those beyond the ceiling: how many, the last ones, where to look."""
    since = minute(fold.since)
    lines = [
        f"Since {since} this channel got {counted(fold.sent, 'message')}, and gets no more within"
        f" an hour (`messages.per_hour`). {fold.count} more were not sent.",
        "The last of them:" if fold.count > len(fold.titles) else "They are:",
        *(f"- {flat(title)}" for title in fold.titles),
        *(f"To see where they come from: signalbox {it}" for it in _COMMANDS.get(fold.key, ())),
    ]
    kind = "" if fold.key == _NEWS else f" {fold.key}"
    title = f"and {counted(fold.count, 'more message')}{kind}"
    return Text(title=title, body="\n".join(lines), good=None)
