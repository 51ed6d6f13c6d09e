"""Tell the channels of a reaction that one of its letters waits for a person.

The write that parks a letter also writes into its row which channels to tell. The sweep tells them,
and then takes them out of the row, so a crash loses no message. Letters of one reaction that were
parked for one cause make one message.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from shared.events.fields import one_line
from shared.journal.dead_letters import DeadLetters
from shared.journal.letters import Letter
from shared.messages.notice import Notice, Text
from shared.messages.outbox import Outbox

#: A message about many letters names this many.
_NAMED_MAX = 10
_REASON_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterNotices:
    """Tells people about parked letters."""

    dead_letters: DeadLetters
    outbox: Outbox

    def chores(self) -> Iterator[Callable[[], None]]:
        """Yield what sends the messages about letters parked since the last sweep, one by one.

        A channel stays in a letter's row until it was told. After a crash in between, or when the
        sweep runs out of time there, its message is sent again.

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
            note = self.dead_letters.note
            yield from (partial(note, letter.id, channel, left) for letter in letters)

    def _send(self, notice: Notice, left: dict[str, int]) -> None:
        """Send a message; add its channel to `left` if it is to be tried again."""
        for again in self.outbox.send((notice,)).left:
            left.update(again.attempts)


def _text_of(letters: Sequence[Letter]) -> Text:
    """Write the message: the reason, what to do, the commands to type, and the letters if many."""
    first, *others = letters
    named = letters[:_NAMED_MAX]
    owner = f"{first.reaction}: " if first.reaction else ""
    if others:
        title = f"{owner}{len(letters)} letters wait for a person"
        lines, which = [f"Reason: {first.code}"], "the first"
    else:
        title = f"{owner}{first.about or 'an event'} waits for a person"
        lines, which = [f"Reason: {first.code}: {_why(first)}", f"Letter: {first.id}"], "it"
    ids = " ".join(one.id[:8] for one in named)
    lines += [
        *([f"What to do: {first.hint}"] if first.hint else []),
        f"To see {which}: signalbox letters show {first.id[:8]}",
        f'To replay {"these" if others else "it"}: signalbox letters replay {ids} --why "reason"',
    ]
    if others:
        lines += [f"- {one.id[:8]} {one.about}: {_why(one)}" for one in named]
    if len(letters) > len(named):
        lines.append(f"and {len(letters) - len(named)} more: signalbox letters list")
    return Text(title=title, body="\n".join(lines), good=False, needs_person=True)


def _why(letter: Letter) -> str:
    return one_line(letter.reason, most=_REASON_MAX)
