"""Tell the channels of a reaction that a letter of it waits for a person.

Whom to tell is written into a letter's row by the write that parks it. The sweep tells them, and
takes that out of the row again: no message is lost in a crash, or sent for each failure, and many
letters that were parked for one cause are one message.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from shared.events.fields import one_line
from shared.journal.letters import DeadLetters, Letter, LetterNotice
from shared.messages.outbox import Tell
from shared.messages.text import Text

log = logging.getLogger(__name__)

#: Of many letters, as many are named.
_NAMED_MAX = 10
_REASON_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """One message to one channel, about letters of one reaction that were parked with one code."""

    channel: str
    letters: tuple[Letter, ...]
    attempt: int
    kind: str = "parked letters"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterNotices:
    """Tells people of parked letters."""

    dead_letters: DeadLetters
    tell: Tell

    def chores(self) -> Iterator[Callable[[], None]]:
        """Yield what tells of the letters that were parked since the last sweep, bit by bit.

        A notice stays in its row until it is told and the row says so: a message is sent again
        after a crash, or the end of the sweep, in between.

        Raises: StorageUnavailable.
        """
        groups: dict[tuple[str, str, str, int], list[Letter]] = defaultdict(list)
        for letter in self.dead_letters.untold():
            for notice in letter.notices:
                key = (notice.channel, letter.reaction, letter.code, notice.attempt)
                groups[key].append(letter)
        down: set[str] = set()
        for (channel, _, _, attempt), letters in groups.items():
            if channel in down:
                continue
            left: list[_Group] = []
            group = _Group(channel=channel, letters=tuple(letters), attempt=attempt)
            yield partial(self._tell, group, left)
            if left:
                down.add(channel)
            attempts = tuple(one.attempt for one in left)
            yield from (partial(self._settle, letter.id, channel, attempts) for letter in letters)

    def _tell(self, group: _Group, left: list[_Group]) -> None:
        """Send a message; add it to those left where it is to be tried again."""
        told = self.tell.all((group,), _text_of)
        left += told.left
        if told.untold:
            log.warning("nobody was told of parked letters", extra={"channel": group.channel})

    def _settle(self, letter_id: str, channel: str, left: Iterable[int]) -> None:
        """Take the channel off the letter's notices, or count the attempt."""
        again = tuple(LetterNotice(channel=channel, attempt=attempt) for attempt in left)
        while (letter := self.dead_letters.get(letter_id)) is not None:
            others = tuple(one for one in letter.notices if one.channel != channel)
            if len(others) == len(letter.notices):
                return  # somebody has replayed or closed it meanwhile
            if self.dead_letters.note(letter, others + again):
                return


def _text_of(group: _Group) -> Text:
    """Write the message: what waits and why, and the commands that show and replay it."""
    first, *others = group.letters
    named = group.letters[:_NAMED_MAX]
    title = f"{first.reaction}: {first.about or 'an event'} waits for a person"
    if others:
        title = f"{first.reaction}: {len(group.letters)} letters wait for a person"
    lines = [f"Why: {first.code}: {_why(first)}"] if not others else []
    if first.hint:
        lines.append(f"What to do: {first.hint}")
    if others:
        lines += [f"- {one.id[:8]} {one.about}: {_why(one)}" for one in named]
    if len(group.letters) > len(named):
        lines.append(f"and {len(group.letters) - len(named)} more: python manage.py letters list")
    ids = " ".join(one.id[:8] for one in named)
    lines += [
        f"Letter: {first.id}" if not others else f"Code: {first.code}",
        f"python manage.py letters show {first.id[:8]}",
        f"python manage.py letters replay {ids} --why '…'",
    ]
    return Text(title=title, body="\n".join(lines), good=False)


def _why(letter: Letter) -> str:
    return one_line(letter.reason, most=_REASON_MAX)
