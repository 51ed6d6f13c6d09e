"""Tell the channels of a reaction that a letter of it waits for a person.

Whom to tell is written into a letter's row by the write that parks it. The sweep tells them, and
takes that out of the row again: no message is lost in a crash, or sent for each failure, and many
letters that were parked for one cause are one message.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from shared.events.fields import one_line
from shared.journal.letters import DeadLetters, Letter
from shared.messages.notice import Notice, Text
from shared.messages.outbox import Outbox

#: Of many letters, as many are named.
_NAMED_MAX = 10
_REASON_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterNotices:
    """Tells people of parked letters."""

    dead_letters: DeadLetters
    outbox: Outbox

    def chores(self) -> Iterator[Callable[[], None]]:
        """Yield what tells of the letters that were parked since the last sweep, bit by bit.

        A notice stays in its row until it is told and the row says so: a message is sent again
        after a crash, or the end of the sweep, in between.

        Raises: StorageUnavailable.
        """
        groups: dict[tuple[str, str, str, int], list[Letter]] = defaultdict(list)
        for letter in self.dead_letters.untold():
            for channel, attempt in letter.untold.items():
                groups[channel, letter.reaction, letter.code, attempt].append(letter)
        down: set[str] = set()
        for (channel, _, _, attempt), letters in groups.items():
            if channel in down:
                continue
            left: dict[str, int] = {}
            notice = Notice(text=_text_of(letters), attempts={channel: attempt})
            yield partial(self._send, notice, left)
            down |= left.keys()
            yield from (partial(self._settle, letter.id, channel, left) for letter in letters)

    def _send(self, notice: Notice, left: dict[str, int]) -> None:
        """Send a message; add its channel to those left where it is to be tried again."""
        for again in self.outbox.send((notice,)).left:
            left.update(again.attempts)

    def _settle(self, letter_id: str, channel: str, left: Mapping[str, int]) -> None:
        """Take the channel off those that the letter is to tell, or count the attempt."""
        while (letter := self.dead_letters.get(letter_id)) is not None:
            if channel not in letter.untold:
                return  # somebody has replayed or closed it meanwhile
            others = {name: letter.untold[name] for name in letter.untold if name != channel}
            if self.dead_letters.note(letter, {**others, **left}):
                return


def _text_of(letters: Sequence[Letter]) -> Text:
    """Write the message: what waits and why, and the commands that show and replay it."""
    first, *others = letters
    named = letters[:_NAMED_MAX]
    title = f"{first.reaction}: {first.about or 'an event'} waits for a person"
    if others:
        title = f"{first.reaction}: {len(letters)} letters wait for a person"
    lines = [f"Why: {first.code}: {_why(first)}"] if not others else []
    if first.hint:
        lines.append(f"What to do: {first.hint}")
    if others:
        lines += [f"- {one.id[:8]} {one.about}: {_why(one)}" for one in named]
    if len(letters) > len(named):
        lines.append(f"and {len(letters) - len(named)} more: signalbox letters list")
    ids = " ".join(one.id[:8] for one in named)
    lines += [
        f"Letter: {first.id}" if not others else f"Code: {first.code}",
        f"signalbox letters show {first.id[:8]}",
        f"signalbox letters replay {ids} --why '…'",
    ]
    return Text(title=title, body="\n".join(lines), good=False)


def _why(letter: Letter) -> str:
    return one_line(letter.reason, most=_REASON_MAX)
