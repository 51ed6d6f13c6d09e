"""Reads tags that an event lacks, because the model got them just after it was registered.

Registering a model and tagging it are two calls, and the first sends the event. If only a missing
tag keeps a reaction from matching, the model's tags are read from the workspace, and once more a
minute later. The tags of a model or run are also read if its event lost a secret in a letter.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.actions.current_state import current_event
from shared.base.clock import Clock
from shared.base.errors import Disposition, SignalboxError, TagsAwaited
from shared.base.words import second
from shared.events.fields import one_line
from shared.events.model import Event, ModelRegistered, RunCompleted, RunStatusChanged, as_data
from shared.reactions.match import Match, Matched, Unmatched, match_one

if TYPE_CHECKING:
    from shared.workspaces.ports import Workspaces

type _Tagged = ModelRegistered | RunCompleted | RunStatusChanged

#: The time after its registration in which a model may still be tagged, in first waits of a letter:
#: 70 s by default.
TAGGED_WITHIN = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A match after a look at the workspace.

    `event` is the event with the tags that were read. `note` says what was read and when, "" for
    nothing. `code` is of the error that prevented the reading.
    """

    match: Match
    event: Event
    note: str = ""
    code: str = ""


class LateTags:
    """Reads tags that are not in an event."""

    def __init__(
        self, *, workspaces: "Callable[[], Workspaces]", clock: Clock, within: timedelta
    ) -> None:
        """`within` is the time after its registration in which a model may still be tagged."""
        self._workspaces = workspaces
        self._clock = clock
        self._within = within

    def look_at(self, event: Event) -> "Look":
        """Return the look at this event's model, which reads it on demand."""
        return Look(event, self._read)

    def _read(self, event: _Tagged) -> "_TaggedRead":
        now = self._clock.now()
        read = current_event(self._workspaces(), event, now)
        if not isinstance(event, ModelRegistered):
            # A run keeps the status of the event: it may have another by now.
            assert isinstance(read, RunCompleted | RunStatusChanged)
            known = replace(event.run, tags=read.run.tags, properties=read.run.properties)
            return _TaggedRead(event=replace(event, run=known), at=now, waits=None)
        assert isinstance(read, ModelRegistered)
        age = now - event.time
        # An event dated ahead by more than that is not waited for.
        waits = self._within - age if abs(age) < self._within else None
        return _TaggedRead(event=read, at=now, waits=waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaggedRead:
    """A model or run as it was read. It may still be tagged within `waits`, if that is not None."""

    event: _Tagged
    at: datetime
    waits: timedelta | None

    @property
    def tags(self) -> str:
        event = self.event
        return _listed(event.model.tags if isinstance(event, ModelRegistered) else event.run.tags)

    def describe(self) -> str:
        return f"{self.tags}, read from the workspace at {second(self.at)}"


class Look:
    """One event, whose model or run is read from the workspace at most once."""

    def __init__(self, event: Event, read: Callable[[_Tagged], _TaggedRead]) -> None:
        self.event = event
        self._read = read
        self._reading: _TaggedRead | SignalboxError | None = None

    def settle(self, result: Match) -> Looked:
        """Return the match as it is, or by the present tags if they may change it.

        Raises: TagsAwaited, and WorkspaceError if waiting can help.
        """
        event = self.event
        if (
            isinstance(result, Matched)
            or not isinstance(event, ModelRegistered | RunCompleted | RunStatusChanged)
            or not result.wants_tags
        ):
            return Looked(match=result, event=event)
        reading = self._read_once(event)
        if not isinstance(reading, SignalboxError):
            return self._by(reading, result, event)
        if reading.disposition is Disposition.RETRY:
            raise reading
        return Looked(match=result, event=event, note=reading.message, code=reading.code)

    def _read_once(self, event: _Tagged) -> _TaggedRead | SignalboxError:
        if self._reading is None:
            try:
                self._reading = self._read(event)
            except SignalboxError as error:
                self._reading = error
        return self._reading

    def _by(self, reading: _TaggedRead, before: Unmatched, event: _Tagged) -> Looked:
        result = match_one(before.reaction, as_data(reading.event))
        if isinstance(result, Unmatched) and result.wants_tags and reading.waits is not None:
            raise TagsAwaited(
                f"{result.why}, and the model was registered just now, with"
                f" {reading.tags}; it is read again, because it may still be tagged",
                retry_after=reading.waits,
            )
        return Looked(match=result, event=reading.event, note=reading.describe())


def _listed(tags: Iterable[str]) -> str:
    names = sorted(tags)
    return f"the tags {one_line(', '.join(names), most=100)}" if names else "no tags"
