"""Future changes, each at its emulated time and all in order."""

import asyncio
import heapq
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from sandbox.workspace.clock import Clock

#: Something that takes its time: yields how many emulated seconds pass before it goes on.
type Story = Generator[float]


@dataclass(slots=True, order=True)
class Entry:
    """A story and the moment at which it goes on; `number` keeps the order of equal moments."""

    moment: datetime
    number: int
    story: Story = field(compare=False)
    is_over: bool = field(default=False, compare=False)


class Agenda:
    """All stories under way; each goes on when its time has come, whether anyone asks or not.

    When the clock jumps, everything on the way is played at its own moment.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[Entry] = []
        self._numbers = count()
        self._moment: datetime | None = None
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        """Return the moment that is being played, or else the clock's."""
        return self._moment or self._clock.now()

    def begin(self, story: Story) -> Entry:
        """Play a story up to its first wait, at once."""
        entry = Entry(self.now(), next(self._numbers), story)
        self._advance(entry, None)
        return entry

    def interrupt(self, entry: Entry, error: Exception) -> Entry:
        """Raise an error in a story at its wait, and play on; returns its new entry."""
        if entry.is_over:
            return entry
        entry.is_over = True
        follower = Entry(self.now(), next(self._numbers), entry.story)
        self._advance(follower, error)
        return follower

    def settle(self) -> None:
        """Play everything whose moment has come, in order."""
        while self._entries and self._entries[0].moment <= self._clock.now():
            entry = heapq.heappop(self._entries)
            if entry.is_over:
                continue
            self._moment = entry.moment
            try:
                self._advance(entry, None)
            finally:
                self._moment = None

    async def settle_forever(self) -> None:
        """Play everything on time, until cancelled."""
        while True:
            self._changed.clear()
            self.settle()
            moments = [entry.moment for entry in self._entries[:1]]
            wait = self._clock.real_seconds_until(moments[0]) if moments else None
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    def wake(self) -> None:
        """Look at the clock again: it was changed."""
        self._changed.set()

    def clear(self) -> None:
        """Forget all stories, wherever they are."""
        self._entries.clear()

    def _advance(self, entry: Entry, error: Exception | None) -> None:
        try:
            wait = next(entry.story) if error is None else entry.story.throw(error)
        except StopIteration:
            entry.is_over = True
            return
        entry.moment += timedelta(seconds=wait)
        heapq.heappush(self._entries, entry)
        self._changed.set()
