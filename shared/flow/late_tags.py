"""Tags that a model gets just after it is registered: the event does not have them.

Registering a model and tagging it are two calls, and the event is of the first. Where a reaction
is not for the event only for want of a tag, the workspace is asked what tags the model has now, and
once more a minute later. It is also asked for the tags of a model or run whose event was kept in a
letter, if something was taken out of them there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.actions.current import current_event
from shared.base.clock import Clock
from shared.base.errors import Disposition, SignalboxError, TagsAwaited
from shared.base.words import second
from shared.events.fields import one_line
from shared.events.model import Event, ModelRegistered, RunCompleted, RunStatusChanged, as_data
from shared.reactions.match import Match, Matched, Unmatched, match_one

if TYPE_CHECKING:
    from shared.workspaces.ports import Workspaces

type _Tagged = ModelRegistered | RunCompleted | RunStatusChanged

#: How long after its registration a model may still be tagged, in first waits of a letter: 70 s
#: by default.
TAGGED_WITHIN = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A match after a look at the workspace.

    `event` is the event with the tags that were read. `note` says what was read and when, "" where
    nothing was; `code` is of the error that kept it from being read.
    """

    match: Match
    event: Event
    note: str = ""
    code: str = ""


class LateTags:
    """Looks for tags that are not in an event."""

    def __init__(
        self, *, workspaces: "Callable[[], Workspaces]", clock: Clock, within: timedelta
    ) -> None:
        """`within` is how long after its registration a model may still be tagged."""
        self._workspaces = workspaces
        self._clock = clock
        self._within = within

    def look_at(self, event: Event) -> "Look":
        """Return what looks at the model of this event, once it is asked to."""
        return Look(event, self._read)

    def _read(self, event: _Tagged) -> "_TaggedRead":
        now = self._clock.now()
        read = current_event(self._workspaces(), event, now)
        if not isinstance(event, ModelRegistered):
            # Of a run, the status is that of the event: it may have another by now.
            assert isinstance(read, RunCompleted | RunStatusChanged)
            known = replace(event.run, tags=read.run.tags, properties=read.run.properties)
            return _TaggedRead(event=replace(event, run=known), at=now, waits=None)
        assert isinstance(read, ModelRegistered)
        age = now - event.time
        # An event that is dated ahead by more than that is not to be waited for.
        waits = self._within - age if abs(age) < self._within else None
        return _TaggedRead(event=read, at=now, waits=waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaggedRead:
    """A model or run as it was read. `waits` is how long it may still be tagged, None = not."""

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
    """One event, whose model or run is read from the workspace once at the most."""

    def __init__(self, event: Event, read: Callable[[_Tagged], _TaggedRead]) -> None:
        self.event = event
        self._read = read
        self._reading: _TaggedRead | SignalboxError | None = None

    def settle(self, result: Match) -> Looked:
        """Return the match as it is, or by the tags that there are now if that may differ.

        Raises: TagsAwaited, and WorkspaceError where waiting can help.
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
                f" {reading.tags}; it is read again, as it may yet be tagged",
                retry_after=reading.waits,
            )
        return Looked(match=result, event=reading.event, note=reading.describe())


def _listed(tags: Iterable[str]) -> str:
    names = sorted(tags)
    return f"the tags {one_line(', '.join(names), most=100)}" if names else "no tags"
