"""The clock sets a reaction off: each planned time once, whatever happens to the app."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.events.envelopes import OF_CHECKS, OF_WORKSPACES
from shared.flow.schedules import TABLE
from shared.journal import records
from shared.journal.outcomes import OutcomeStatus
from tests.stories.kill import Killed, Ports
from tests.stories.world import REACTIONS, WORKSPACE, World

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
#: A Monday.
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


class Clockwork(World):
    """A world in which a message is sent each morning at six, Berlin time."""

    def __init__(
        self, cron: str = "0 6 * * *", *, zone: str = "Europe/Berlin", more: str = ""
    ) -> None:
        super().__init__(self.rules(cron, zone, more))
        self.clock.time = MONDAY
        self.sweep.run()

    @staticmethod
    def rules(cron: str, zone: str = "Europe/Berlin", more: str = "") -> str:
        """Return the file of rules."""
        return f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: wake
    on: Schedule
    schedule: {{cron: "{cron}", time_zone: {zone}{more}}}
    do:
      - notify: {{channel: team, title: "wake at ${{{{ schedule.local_time }}}}"}}
"""

    def sweep_until(self, end: datetime, every: timedelta = MINUTE) -> None:
        """Sweep again and again, as the timer does."""
        while self.clock.now() < end:
            self.clock.time = min(self.clock.time + every, end)
            self.sweep.run()

    def missed(self) -> list[str]:
        """Return what the records of missed times are about."""
        rows = self.rows(records.TABLE)
        return sorted(
            str(row.values["about"]) for row in rows if "missed" in str(row.values["outcomes"])
        )


def test_each_planned_time_comes_once_however_often_it_is_swept() -> None:
    world = Clockwork()
    world.sweep_until(MONDAY + 2 * HOUR * 24, every=timedelta(minutes=20))
    assert world.told() == [
        "wake at 2026-03-02T06:00:00+01:00",
        "wake at 2026-03-03T06:00:00+01:00",
    ]


def test_it_comes_at_six_in_summer_time_too() -> None:
    world = Clockwork()
    world.clock.time = datetime(2026, 3, 29, 3, tzinfo=UTC)
    world.start_app()
    world.sweep.run()
    world.sweep_until(datetime(2026, 3, 29, 4, 1, tzinfo=UTC))
    assert world.told()[-1] == "wake at 2026-03-29T06:00:00+02:00"


def test_two_sweeps_at_once_raise_a_time_once() -> None:
    world = Clockwork()
    world.clock.time = MONDAY + 5 * HOUR
    (kept,) = world.rows(TABLE)
    schedules = world.services.schedules
    first, second = list(schedules.chores()), list(schedules.chores())  # both read the row
    for chore in (*first, *second):
        chore()
    assert world.told() == ["wake at 2026-03-02T06:00:00+01:00"]
    assert world.rows(TABLE)[0].etag != kept.etag


def test_a_worker_that_is_killed_in_between_loses_and_doubles_nothing() -> None:
    for when in ("before", "after"):
        for number in range(1, 12):
            world = Clockwork()
            ports = Ports(world)
            world.clock.time = MONDAY + 5 * HOUR
            ports.kill_at = (number, when)
            try:
                world.sweep.run()
            except Killed:
                world.start_app()
            ports.kill_at = None
            world.sweep_until(MONDAY + 5 * HOUR + 5 * MINUTE)
            world.settle()
            told = set(world.told())
            assert told == {"wake at 2026-03-02T06:00:00+01:00"}, (number, when)
            assert len(world.told()) <= 2, "one may be sent again where the answer was lost"


@pytest.mark.parametrize(
    ("back", "told", "missed"),
    [
        (timedelta(hours=5, minutes=40), 1, 0),
        (timedelta(hours=9), 0, 1),
        (timedelta(days=1, hours=5, minutes=30), 1, 1),
        (timedelta(days=9, hours=5, minutes=30), 1, 1),  # older than two days: not looked for
    ],
)
def test_after_downtime_only_the_last_time_is_made_up_for_and_not_too_late(
    back: timedelta, told: int, missed: int
) -> None:
    world = Clockwork()
    world.clock.time = MONDAY + back
    world.sweep.run()
    assert len(world.told()) == told
    assert len(world.missed()) == missed
    world.sweep_until(world.clock.now() + 10 * MINUTE)
    assert (len(world.told()), len(world.missed())) == (told, missed)


def test_a_time_that_was_raised_before_a_crash_is_not_called_missed() -> None:
    world = Clockwork("0 * * * *")
    world.clock.time = MONDAY + HOUR
    (kept,) = world.rows(TABLE)
    world.sweep.run()
    (raised,) = world.rows(TABLE)
    assert len(world.told()) == 1
    # The worker died before it wrote the row, and the app was down until the next planned time.
    at = (TABLE, kept.partition, kept.key)
    world.tables.replace(*at, kept.values, etag=raised.etag)
    world.clock.time = MONDAY + 2 * HOUR
    world.sweep.run()
    assert len(world.told()) == 2
    assert world.missed() == []


def test_a_clock_that_was_ahead_for_a_moment_does_not_stop_the_schedule() -> None:
    world = Clockwork()
    world.clock.time = MONDAY + timedelta(days=3, hours=5)
    world.sweep.run()
    world.clock.time = MONDAY + HOUR
    world.sweep.run()
    world.sweep_until(MONDAY + timedelta(days=1, hours=6), every=timedelta(minutes=20))
    assert world.told()[-2:] == [
        "wake at 2026-03-02T06:00:00+01:00",
        "wake at 2026-03-03T06:00:00+01:00",
    ]


def test_what_was_missed_is_on_record_with_the_reason() -> None:
    world = Clockwork(more=", late: 30m")
    world.clock.time = MONDAY + 7 * HOUR
    world.sweep.run()
    outcome = world.outcome_of("wake@2026-03-02T05:00Z", "wake/*")
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "schedule.missed")
    assert "within 30m" in outcome.detail


def test_a_schedule_that_was_changed_makes_up_for_nothing() -> None:
    world = Clockwork("0 6 1 * *")
    world.clock.time = MONDAY + 12 * HOUR
    world.reactions = world.rules("30 12 * * *")  # half an hour ago, in Berlin
    world.start_app()
    world.sweep.run()
    world.sweep_until(MONDAY + 13 * HOUR, every=10 * MINUTE)
    assert world.told() == []
    assert world.missed() == []


def test_a_file_without_schedules_costs_no_request() -> None:
    world = World(REACTIONS)
    seen: list[str] = []
    query = world.tables.query

    def watched(table: str, **rest: object) -> object:
        seen.append(table)
        return query(table, **rest)  # type: ignore[arg-type]

    world.tables.query = watched  # type: ignore[method-assign, assignment]
    world.sweep.run()
    assert seen
    assert TABLE not in seen


@pytest.mark.parametrize("takes", [OF_WORKSPACES, OF_CHECKS], ids=["workspace", "checks"])
def test_nobody_else_can_raise_a_planned_time(takes: frozenset[str]) -> None:
    world = Clockwork()
    forged = {
        "id": "forged",
        "topic": WORKSPACE.id,
        "subject": "schedules/wake",
        "eventType": "Signalbox.Schedule",
        "eventTime": MONDAY.isoformat(),
        "data": {
            "reaction": "wake",
            "cron": "* * * * *",
            "timeZone": "UTC",
            "plannedAt": MONDAY.isoformat(),
            "localTime": MONDAY.isoformat(),
        },
    }
    world.react.react(forged, takes=takes)
    assert world.told() == []
    (row,) = world.rows(records.TABLE)
    assert "event.misplaced" in str(row.values["outcomes"])


def test_another_reaction_on_a_schedule_does_not_hear_of_it() -> None:
    other = """
  - name: sleep
    on: Schedule
    schedule: {cron: "0 22 * * *"}
    do: [notify: {channel: team, title: sleep}]
"""
    world = Clockwork()
    world.reactions = world.rules("0 6 * * *") + other
    world.start_app()
    world.sweep.run()
    world.sweep_until(MONDAY + 6 * HOUR, every=10 * MINUTE)
    assert world.told() == ["wake at 2026-03-02T06:00:00+01:00"]
    assert "sleep" not in str([row.values["outcomes"] for row in world.rows(records.TABLE)])
