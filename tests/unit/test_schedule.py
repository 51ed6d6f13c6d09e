"""Schedules: the planned times, also around a change of the clock, and mistakes in the file."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.actions import ACTIONS
from shared.reactions.load import load_reactions
from shared.reactions.schedule import ReactionSchedule, find_cron_fault, planned_between
from shared.schema.findings import ReactionsFaulty

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
BERLIN = "Europe/Berlin"
HOUR = timedelta(hours=1)


def planned(cron: str, zone: str, day: str, hours: int = 24) -> list[str]:
    """Return the planned local times of a day, with their distance from UTC."""
    begin = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=ZoneInfo(zone))
    schedule = ReactionSchedule(cron=cron, time_zone=zone)
    after = begin.astimezone(UTC) - timedelta(seconds=1)
    found = planned_between(schedule, after, after + timedelta(hours=hours))
    return [f"{at.astimezone(ZoneInfo(zone)):%H:%M%z}" for at in found]


@pytest.mark.parametrize(
    ("cron", "zone", "day", "times"),
    [
        ("0 6 * * 1", BERLIN, "2026-03-02", ["06:00+0100"]),
        ("0 6 * * 1", BERLIN, "2026-03-03", []),
        ("0 6 * * *", BERLIN, "2026-07-01", ["06:00+0200"]),
        ("0 6 * * *", "Asia/Kolkata", "2026-07-01", ["06:00+0530"]),
        # The night of 29 March 2026 has no 02:30 in Berlin.
        ("30 2 * * *", BERLIN, "2026-03-29", ["03:00+0200"]),
        ("30 2,4 * * *", BERLIN, "2026-03-29", ["03:00+0200", "04:30+0200"]),
        # The night of 25 October 2026 has 02:30 twice.
        ("30 2 * * *", BERLIN, "2026-10-25", ["02:30+0200"]),
        ("30 * * * *", BERLIN, "2026-10-25", None),
    ],
)
def test_the_planned_times_of_a_day(
    cron: str, zone: str, day: str, times: list[str] | None
) -> None:
    found = planned(cron, zone, day)
    if times is not None:
        assert found == times
    else:
        assert found[2:4] == ["02:30+0200", "02:30+0100"], "each real hour counts"


@given(
    st.sampled_from(["*/5 * * * *", "30 2 * * *", "0 */3 * * *", "15 1-4 * * *", "0 0 1 * *"]),
    st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"]),
    st.integers(0, 365 * 24 * 60),
    st.integers(0, 40 * 60),
    st.integers(0, 40 * 60),
)
def test_a_time_is_found_once_however_the_span_is_cut(
    cron: str, zone: str, begin: int, first: int, second: int
) -> None:
    schedule = ReactionSchedule(cron=cron, time_zone=zone)
    one = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=begin)
    two = one + timedelta(minutes=min(first, second))
    end = one + timedelta(minutes=max(first, second))
    whole = planned_between(schedule, one, end)
    parts = (*planned_between(schedule, one, two), *planned_between(schedule, two, end))
    assert parts == whole
    assert list(whole) == sorted(set(whole))
    assert all(one < at <= end for at in whole)


@pytest.mark.parametrize(
    ("cron", "message", "at"),
    [
        ("0 6 * * 1", None, 0),
        ("0 6 * * MON-FRI", None, 0),
        ("0 6 L * *", None, 0),
        ("0 25 * * *", "has no hour '25'", 2),
        ("0  6 * 13 *", "has no month '13'", 7),
        ("60 6 * * *", "has no minute '60'", 0),
        ("0 6 * * 1 2026", "should have five fields", 0),
        ("@daily", "takes no @daily", 0),
        ("0 0 31 2 *", "comes never", 4),
    ],
)
def test_a_cron_expression_that_is_wrong_is_said_to_be_where(
    cron: str, message: str | None, at: int
) -> None:
    fault = find_cron_fault(cron)
    if message is None:
        assert fault is None
    else:
        assert fault is not None
        assert (fault[0].startswith(message), fault[2]) == (True, at), fault


@pytest.mark.parametrize(
    ("lines", "finding"),
    [
        ("on: Schedule", "6:9: `on: Schedule` needs a `schedule:`"),
        (
            'on: Schedule\n    schedule: {cron: "0 25 * * *"}',
            "7:25: `cron` has no hour '25'",
        ),
        (
            'on: Schedule\n    schedule: {cron: "0 6 * * *", time_zone: Europe/Berln}',
            "7:46: `time_zone` is no time zone, found 'Europe/Berln' Did you mean",
        ),
        ('on: Schedule\n    schedule: "0 6 * * *"', "`schedule:` should be a mapping"),
        (
            'on: AlertFired\n    schedule: {cron: "0 6 * * *"}',
            "`schedule:` is not for AlertFired events",
        ),
        ('on: Schedule\n    schedule: {cron: "0 6 * * *", late: 2d}', "`late`"),
    ],
)
def test_a_mistake_in_a_schedule_is_a_finding_with_its_place(lines: str, finding: str) -> None:
    text = (
        f"version: 1\nworkspaces: ['{ID}']\nchannels: [team]\nreactions:\n  - name: nightly\n"
        f"    {lines}\n    do: [notify: {{channel: team, title: x}}]\n"
    )
    with pytest.raises(ReactionsFaulty) as caught:
        load_reactions(text, actions=ACTIONS, settings={})
    (found,) = caught.value.findings
    assert finding in f"{found.line}:{found.column}: {found.message} {found.hint}"
