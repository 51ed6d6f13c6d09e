"""Model versions that Event Grid never reported: the sweep finds them, and raises their events.

An event can be lost, and there is none of a model that is tagged after its registration, or was
there before the app. A look compares the newest versions of each model with the record of events.
The first look at a workspace only records what is there. A found event takes the way of every other
one. Its id is made from the model version, so each step is done once for it, whatever number of
sweeps find it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from shared.base.clock import Clock
from shared.base.documents import ColumnForm, Documents, Kept
from shared.base.errors import EventMalformed, WorkspaceRefused
from shared.base.ids import digest
from shared.base.ports import RowChanged, Tables
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import Event, EventType, ModelRegistered, Workspace
from shared.journal.outcomes import WHOLE, Outcome, OutcomeStatus, ref_of
from shared.journal.records import EventRecord, Records
from shared.reactions.match import Matched, match
from shared.reactions.model import Reactions

if TYPE_CHECKING:
    from shared.flow.react import React
    from shared.workspaces.model import ModelVersion
    from shared.workspaces.ports import Workspaces

log = logging.getLogger(__name__)

TABLE = "SignalboxLooks"
_PARTITION = "models"
#: A change is left to Event Grid for this long. It nearly always reports within seconds.
LEFT_FOR = timedelta(minutes=15)
#: The sweep may have found the model of an event that is late by this. Clocks differ by less than
#: the rest.
LATE = timedelta(minutes=10)
#: The most models whose versions one sweep lists, in each workspace: a request for each.
LISTED_MAX = 20
#: The newest versions of a model that are looked at.
NEWEST = 30
#: The most events that one sweep raises, in each workspace.
RAISED_MAX = 20
#: The most versions that one sweep compares with the record, in each workspace.
COMPARED_MAX = 100
#: An event that is raised as often as this is not raised again: it may be what ends the worker.
_TRIES = 5
_PREFIX = "found-"
#: Of a reaction that the model would have set off before the first look.
BEFORE = "found.before"
#: Of a late event whose model the sweep had found.
FOUND = "event.found"
#: The records of a model's events are this near to the time at which it was made.
_NEAR = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """The state of the looks at one workspace.

    Changes before `since` were looked at. The look under way began at `begun`, and has come to the
    model `after`, "" for none. `is_first` says that it only records.
    """

    workspace: str
    since: datetime
    begun: datetime
    after: str = ""
    is_first: bool = False


@dataclass(slots=True, kw_only=True)
class _Left:
    """The versions and events that one sweep may still take on in a workspace."""

    compared: int = COMPARED_MAX
    raised: int = RAISED_MAX

    @property
    def is_none(self) -> bool:
        return self.compared <= 0 or self.raised <= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreported:
    """Finds model versions that Event Grid never reported."""

    tables: Tables
    reactions: Reactions
    react: "React"
    records: Records
    workspaces: "Callable[[], Workspaces]"
    clock: Clock
    retention: timedelta

    def chores(self) -> Iterator[Callable[[], None]]:
        """Yield a chore for each workspace; a file that does not ask for it costs no request."""
        if not self.reactions.find_models or not self.reactions.of_type(EventType.MODEL_REGISTERED):
            return
        known = {kept.at[1]: kept for kept in self._rows.find(partition=_PARTITION)}
        for workspace in self.reactions.workspaces:
            key = digest(workspace.key)
            yield partial(self._look, workspace, key, known.get(key))

    @property
    def _rows(self) -> Documents[_Looked]:
        return Documents(self.tables, TABLE, ColumnForm(_Looked))

    def _look(self, workspace: Workspace, key: str, kept: Kept[_Looked] | None) -> None:
        """Look at the next models. The row is written last: after a crash they are compared again.

        A model at which a bound was reached is looked at again by the next sweep, which finds on
        record what this one has raised.
        """
        now = self.clock.now()
        if kept is None:
            looked = _Looked(
                workspace=workspace.name, since=now - self.retention, begun=now, is_first=True
            )
        else:
            looked = kept.value
            looked = looked if looked.after else replace(looked, begun=now)
        names = sorted(
            name for name in self.workspaces().list_models(workspace) if name > looked.after
        )
        left, after = _Left(), looked.after
        for name in islice(names, LISTED_MAX):
            self._compare(workspace, name, looked, left)
            if left.is_none:
                break
            after = name
        if not names or after == names[-1]:
            until = looked.begun - LEFT_FOR
            looked = replace(looked, since=max(until, looked.since), after="", is_first=False)
        else:
            looked = replace(looked, after=after)
        with suppress(RowChanged):  # another sweep has looked
            self._rows.save((_PARTITION, key), looked, kept.etag if kept else "")

    def _compare(self, workspace: Workspace, name: str, looked: _Looked, left: _Left) -> None:
        """Compare the versions of a model that changed with the record, the oldest first."""
        oldest = self.clock.now() - self.retention
        try:
            newest = self.workspaces().newest_models(workspace, name, most=NEWEST)
        except WorkspaceRefused as error:
            log.warning("a model can't be listed", extra={"code": error.code}, exc_info=True)
            return
        changed = [
            model
            for model in newest
            if not model.archived
            and model.created_at is not None
            and model.created_at > oldest
            and _is_due(model, looked)
        ]
        for model in reversed(changed):
            if left.is_none:
                return
            left.compared -= 1
            raw = found_envelope(workspace, model)
            try:
                (event,) = parse_events(parse_envelope(raw))
            except EventMalformed as error:
                log.warning("a model can't be read", extra={"code": error.code}, exc_info=True)
                continue
            assert isinstance(event, ModelRegistered)
            known = tuple(find_records(self.records, event))
            if looked.is_first:
                if not known:
                    self._record(raw, event)
                continue
            if any(record.deliveries >= _TRIES for record in known if record.id == event.id):
                log.warning("event was raised too often", extra={"event": event.key})
                continue
            # A record without outcomes is left of a sweep that was cut off.
            is_known = any(record.outcomes for record in known)
            only = self._newly_set_off(event, known) if is_known else None
            if only is None or only:
                left.raised -= 1
                log.warning("event was never reported", extra={"event": event.key})
                self.react.react_to_found(raw, only=only)

    def _newly_set_off(self, event: Event, known: Sequence[EventRecord]) -> frozenset[str]:
        """Return the reactions whose condition holds now, and held not before."""
        names = set()
        for result in match(self.reactions, event):
            name = result.reaction.name
            before = [
                outcome
                for record in known
                for step, outcome in record.outcomes.items()
                if step.partition("/")[0] == name
            ]
            held_not = all(
                outcome.status is OutcomeStatus.SKIPPED and not outcome.code for outcome in before
            )
            if isinstance(result, Matched) and before and held_not:
                names.add(name)
        return frozenset(names)

    def _record(self, raw: Mapping[str, Any], event: Event) -> None:
        """Record a model that was there before the first look; it sets nothing off."""
        news = {}
        for result in match(self.reactions, event):
            if isinstance(result, Matched):
                detail, code = "the model was there before the first look", BEFORE
            else:
                detail, code = result.why, ""
            skipped = Outcome(status=OutcomeStatus.SKIPPED, detail=detail, code=code)
            news[f"{result.reaction.name}/{WHOLE}"] = skipped
        self.records.add(ref_of(event), news, delivery=True, body=parse_envelope(raw).body)


def _is_due(model: "ModelVersion", looked: _Looked) -> bool:
    """Return whether a version changed within the time that this look is about.

    The first look is about all that were made before it: later looks compare with their records.
    """
    assert model.created_at is not None  # the versions without are left out
    until = looked.begun - LEFT_FOR
    if looked.is_first:
        return model.created_at < until
    return looked.since <= (model.modified_at or model.created_at) < until


def is_found(event: Event) -> bool:
    """Return whether the sweep has raised an event."""
    return event.id.startswith(_PREFIX)


def find_records(records: Records, event: ModelRegistered) -> Iterator[EventRecord]:
    """Yield the records of the events of a model version: two or three requests."""
    before, after = _NEAR
    for record in records.find(
        since=event.time - before,
        until=event.time + after,
        type=str(event.type),
        workspace=event.workspace.name,
        about=event.about,
    ):
        # A model's name may be the beginning of an other's, and workspaces may share a name.
        if record.about == event.about and record.source.lower().startswith(event.workspace.key):
            yield record


def found_envelope(workspace: Workspace, model: "ModelVersion") -> Mapping[str, Any]:
    """Return the event of a model version, in the schema of Event Grid.

    Its time is that at which the model was made, as in the event that was lost.
    """
    assert model.created_at is not None  # the versions without are left out
    about = f"{model.name}:{model.version}"
    return {
        "id": _PREFIX + digest(workspace.key, about)[:32],
        "topic": workspace.id,
        "subject": f"models/{about}",
        "eventType": "Microsoft.MachineLearningServices.ModelRegistered",
        "eventTime": model.created_at.isoformat(),
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": {
            "modelName": model.name,
            "modelVersion": model.version,
            "modelTags": dict(model.tags),
            "modelProperties": dict(model.properties),
        },
    }
