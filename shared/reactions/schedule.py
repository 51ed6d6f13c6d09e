"""The schedule of a reaction that is `on: Schedule`, and the times that it plans.

Around a change to or from summer time cronsim does as Debian's cron does. A time that does not
exist is planned for the moment after the gap, and a time that comes twice for the first one. This
is for fixed times; with `*` for the minute or the hour, each time counts as it comes.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from shared.base.durations import Duration, between
from shared.events.model import EventType
from shared.reactions.freezes import ZoneName
from shared.schema.faults import read_values
from shared.schema.report import Place, Report
from shared.schema.values import LoadContext, Values, unfit
from shared.schema.wording import found

#: The fields of a cron expression, by cronsim's names for them.
_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_MACROS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FORM = '"0 6 * * 1" is every Monday at 06:00'
#: Before this long, no planned time is looked for: the app was not there.
LOOK_BACK = timedelta(days=2)


def _check_cron(cron: str) -> str:
    if fault := find_cron_fault(cron):
        raise unfit(fault[0], fault[1])
    return cron


class ReactionSchedule(Values):
    """`schedule`: when a reaction is set off by the clock."""

    cron: Annotated[str, AfterValidator(_check_cron)]
    time_zone: ZoneName = "UTC"
    #: How late a planned time may still set the reaction off.
    late: Annotated[Duration, between(timedelta(minutes=10), timedelta(days=1))] = timedelta(
        hours=1
    )

    @property
    def plan(self) -> str:
        """The plan: with another one, nothing of the time before is made up for."""
        return f"{self.cron} {self.time_zone}"


def find_cron_fault(cron: str) -> tuple[str, str, int] | None:
    """Return what is wrong with a cron expression, a hint, and where in it; None if it is right."""
    from cronsim import CronSim, CronSimError

    if cron.strip().lower() in _MACROS:
        return f"takes no {cron.strip()}", f'Write "{_MACROS[cron.strip().lower()]}".', 0
    parts = cron.split()
    if len(parts) != len(_FIELDS):
        names = ", ".join(_FIELDS)
        return f"should have five fields ({names}), found {len(parts)}", f"{_FORM}.", 0
    start = datetime(2024, 1, 1, tzinfo=UTC)
    for index, (part, name) in enumerate(zip(parts, _FIELDS, strict=True)):
        alone = ["*"] * len(_FIELDS)
        alone[index] = part
        try:
            CronSim(" ".join(alone), start)
        except CronSimError:
            return f"has no {name} {found(part)}", f"{_FORM}.", _offset(cron, index)
    try:
        if next(CronSim(cron, start), None) is None:
            return "comes never", f"{_FORM}.", 0
    except CronSimError:
        return "comes never: no such month has such a day", f"{_FORM}.", _offset(cron, 2)
    return None


def _offset(cron: str, index: int) -> int:
    """Return where a field begins."""
    at = 0
    for _ in range(index):
        at += len(cron[at:]) - len(cron[at:].lstrip())
        at += len(cron[at:].split(None, 1)[0])
    return at + len(cron[at:]) - len(cron[at:].lstrip())


def planned_between(
    schedule: ReactionSchedule, after: datetime, until: datetime
) -> tuple[datetime, ...]:
    """Return the planned times after one moment and up to another, in UTC, the earliest first.

    Nothing is found that lies more than LOOK_BACK before the end.
    """
    after = max(after, until - LOOK_BACK)
    return tuple(_planned(schedule, after, until))


def _planned(schedule: ReactionSchedule, after: datetime, until: datetime) -> Iterator[datetime]:
    from cronsim import CronSim

    # A day earlier, because around a change of the clock a local time does not say which is meant.
    begin = (after - timedelta(days=1)).astimezone(ZoneInfo(schedule.time_zone))
    last = None
    for local in CronSim(schedule.cron, begin):
        at = local.astimezone(UTC)
        if at > until:
            return
        if at > after and at != last:
            yield at
        last = at


def read_schedule(
    data: Mapping[str, Any],
    on: Collection[EventType] | None,
    place: Place,
    report: Report,
    context: LoadContext,
) -> ReactionSchedule | None:
    """Return the schedule of a reaction, None if it has none or it can't be read."""
    path = (*place.path, "schedule")
    is_wanted = on is not None and EventType.SCHEDULE in on
    if "schedule" not in data:
        if is_wanted:
            hint = 'Add `schedule: {cron: "0 6 * * 1", time_zone: Europe/Berlin}`.'
            message = "`on: Schedule` needs a `schedule:`"
            report.error((*place.path, "on"), message, hint, reaction=place.reaction)
        return None
    if on is not None and not is_wanted:
        message = f"`schedule:` is not for {' or '.join(on)} events"
        hint = "Leave it out, or react `on: Schedule`."
        report.error(path, message, hint, reaction=place.reaction, key=True)
    raw = data["schedule"]
    if not isinstance(raw, Mapping):
        message = f"`schedule:` should be a mapping, found {found(raw)}"
        hint = f'Write `schedule: {{cron: "{raw}"}}`.' if isinstance(raw, str) else _FORM
        report.error(path, message, hint, reaction=place.reaction)
        return None
    schedule, faults = read_values("schedule", raw, ReactionSchedule, context)
    for fault in faults:
        cron = raw.get("cron")
        is_cron = fault.path == ("cron",) and isinstance(cron, str)
        wrong = find_cron_fault(cron) if is_cron and isinstance(cron, str) else None
        report.error(
            (*path, *fault.path),
            fault.message,
            fault.hint,
            reaction=place.reaction,
            key=fault.is_of_key,
            offset=wrong[2] if wrong else None,
        )
    return schedule
