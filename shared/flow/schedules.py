"""Schedules: the sweep raises an event for each planned time of a reaction, in each workspace.

The event takes the way of every other one, and its id is made from the reaction and the planned
time. So each planned time sets the reaction off once, whatever number of sweeps raise it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from shared.base.clock import Clock
from shared.base.documents import ColumnForm, Documents, Kept
from shared.base.durations import format_duration
from shared.base.ids import digest
from shared.base.ports import RowChanged, Tables
from shared.events.envelopes import OF_SCHEDULES, parse_envelope, parse_events
from shared.events.model import Event, Workspace
from shared.flow.react import React
from shared.journal.outcomes import WHOLE, Outcome, OutcomeStatus, ref_of
from shared.journal.records import Records
from shared.reactions.model import Reaction, Reactions
from shared.reactions.schedule import ReactionSchedule, planned_between

log = logging.getLogger(__name__)

TABLE = "SignalboxSchedules"
_PARTITION = "schedules"
#: The most missed times that get a record, the newest ones.
_RECORDED_MAX = 10
#: Clocks of workers differ by less than this. A row from further ahead is by a wrong clock.
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raised:
    """How far the times of a reaction's schedule are raised, and by which plan."""

    plan: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedules:
    """Schedules of reactions: each planned time becomes an event."""

    tables: Tables
    reactions: Reactions
    react: React
    records: Records
    clock: Clock

    def chores(self) -> Iterator[Callable[[], None]]:
        """Yield a chore for each scheduled reaction; a file without any costs no request."""
        scheduled = [
            (item, item.schedule)
            for item in self.reactions.reactions
            if item.enabled and item.schedule is not None
        ]
        if not scheduled:
            return
        known = {kept.at[1]: kept for kept in self._rows.find(partition=_PARTITION)}
        for reaction, schedule in scheduled:
            yield partial(self._raise_due, reaction, schedule, known.get(reaction.name))

    @property
    def _rows(self) -> Documents[_Raised]:
        return Documents(self.tables, TABLE, ColumnForm(_Raised))

    def _raise_due(
        self, reaction: Reaction, schedule: ReactionSchedule, kept: Kept[_Raised] | None
    ) -> None:
        """Raise the last planned time that is due, and record those before it that were missed.

        The row is written last: after a crash the same times are raised again, and found done.
        """
        now = self.clock.now()
        if (
            kept is None
            or kept.value.plan != schedule.plan
            or kept.value.until > now + _SKEW  # else nothing would be raised until then
        ):
            self._save(reaction, schedule, now, kept)
            return
        due = planned_between(schedule, kept.value.until, now)
        if not due:
            return
        last = due[-1]
        is_late = now - last > schedule.late
        self._record_missed(reaction, schedule, due if is_late else due[:-1])
        if not is_late:
            for workspace in self.reactions.workspaces:
                raw = _envelope(reaction, schedule, workspace, last)
                self.react.react(raw, takes=OF_SCHEDULES)
        self._save(reaction, schedule, last, kept)

    def _record_missed(
        self, reaction: Reaction, schedule: ReactionSchedule, missed: Sequence[datetime]
    ) -> None:
        if len(missed) > _RECORDED_MAX:
            facts = {"reaction": reaction.name}
            log.warning("%d planned times were missed", len(missed), extra=facts)
        late = format_duration(schedule.late)
        outcome = Outcome(
            status=OutcomeStatus.SKIPPED,
            detail=f"it was missed; only the last planned time is made up for, within {late}",
            code="schedule.missed",
        )
        for at in missed[-_RECORDED_MAX:]:
            for workspace in self.reactions.workspaces:
                envelope = parse_envelope(_envelope(reaction, schedule, workspace, at))
                for event in parse_events(envelope):
                    assert isinstance(event, Event)
                    if self.records.get(ref_of(event)) is not None:
                        continue  # a sweep raised it, and was stopped before it could say so
                    news = {f"{reaction.name}/{WHOLE}": outcome}
                    self.records.add(ref_of(event), news, delivery=True, body=envelope.body)

    def _save(
        self,
        reaction: Reaction,
        schedule: ReactionSchedule,
        until: datetime,
        kept: Kept[_Raised] | None,
    ) -> None:
        row = _Raised(plan=schedule.plan, until=until)
        with suppress(RowChanged):  # another sweep has raised the same
            self._rows.save((_PARTITION, reaction.name), row, kept.etag if kept else "")


def _envelope(
    reaction: Reaction, schedule: ReactionSchedule, workspace: Workspace, at: datetime
) -> Mapping[str, Any]:
    """Return the event of a planned time, in the schema of Event Grid."""
    return {
        "id": digest(reaction.name, at.isoformat())[:32],
        "topic": workspace.id,
        "subject": f"schedules/{reaction.name}",
        "eventType": "Signalbox.Schedule",
        "eventTime": at.isoformat(),
        "dataVersion": "1",
        "metadataVersion": "1",
        "data": {
            "reaction": reaction.name,
            "cron": schedule.cron,
            "timeZone": schedule.time_zone,
            "plannedAt": at.isoformat(),
            "localTime": at.astimezone(ZoneInfo(schedule.time_zone)).isoformat(),
        },
    }
