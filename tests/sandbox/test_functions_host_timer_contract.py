"""The host's timers run as the real one's were measured to: a table of clocks."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.azurite import Azurite
from sandbox.functions_host.errors import InvocationFailed
from sandbox.functions_host.functions import Function
from sandbox.functions_host.supervisor import Input
from sandbox.functions_host.timer_status import TimerStatus, make_statuses
from sandbox.functions_host.timers import Timer

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
NEVER = "0001-01-01T00:00:00+00:00"


class Statuses:
    """Keeps statuses in memory."""

    def __init__(self, **kept: TimerStatus) -> None:
        self.kept = kept

    async def read(self, function: str) -> TimerStatus | None:
        return self.kept.get(function)

    async def write(self, function: str, status: TimerStatus) -> None:
        self.kept[function] = status


class Clocked:
    """A timer on a clock of its own: sleeping and running only move it."""

    def __init__(self, schedule: str, statuses: Statuses, *takes: float, **trigger: Any) -> None:
        self.now = START
        self.runs: list[tuple[float, bool]] = []
        self.given: list[dict[str, Any]] = []
        self._takes = list(takes)
        binding = {"type": "timerTrigger", "name": "t", "schedule": schedule, **trigger}
        self.timer = Timer(
            Function("f", "1", binding, (binding,)),
            {},
            self._invoke,
            statuses,
            now=lambda: self.now,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def _invoke(self, _: Function, given: Input) -> None:
        told = json.loads(given.value["json"])
        self.given.append(told)
        self.runs.append(((self.now - START).total_seconds(), told["IsPastDue"]))
        if not self._takes:
            raise asyncio.CancelledError
        self.now += timedelta(seconds=self._takes.pop(0))
        if len(self.runs) % 2:
            raise InvocationFailed("it failed")

    def play(self) -> list[tuple[float, bool]]:
        """Return when it ran, in seconds, and whether it was past due."""
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(self.timer.run())
        return self.runs


def kept(last: float, due: float) -> Statuses:
    """Return the status that another host has kept of the timer."""
    times = [START + timedelta(seconds=seconds) for seconds in (last, due)]
    return Statuses(f=TimerStatus(*times))


@pytest.mark.parametrize(
    ("schedule", "statuses", "takes", "trigger", "runs"),
    [
        pytest.param("*/5 * * * * *", Statuses(), (0, 0), {}, [5, 10, 15], id="on-time"),
        pytest.param("*/5 * * * * *", Statuses(), (12, 12), {}, [5, 17, 29], id="overrun"),
        pytest.param("*/5 * * * * *", Statuses(), (12, 0), {}, [5, 17, 20], id="overrun-once"),
        pytest.param("00:00:05", Statuses(), (12, 0), {}, [5, 17, 22], id="overrun-interval"),
        pytest.param("*/5 * * * * *", kept(-600, -300), (0,), {}, [5, 10], id="under-a-minute"),
        pytest.param("0 * * * * *", kept(-600, -540), (1, 1), {}, [0, 60, 120], id="downtime"),
        pytest.param("0 * * * * *", kept(-30, 60), (1,), {}, [60, 120], id="no-downtime"),
        pytest.param("0 * * * * *", Statuses(), (1,), {}, [60, 120], id="first-start"),
        pytest.param(
            "0 * * * * *", Statuses(), (1,), {"runOnStartup": True}, [0, 60], id="run-on-startup"
        ),
        pytest.param(
            "0 * * * * *",
            kept(-600, -540),
            (1,),
            {"runOnStartup": True},
            [0, 60],
            id="downtime-and-run-on-startup",
        ),
    ],
)
def test_a_timer_runs_when_the_real_one_does(
    schedule: str,
    statuses: Statuses,
    takes: tuple[float, ...],
    trigger: dict[str, Any],
    runs: list[float],
) -> None:
    is_past_due = "f" in statuses.kept and statuses.kept["f"].next < START and runs[0] == 0
    clocked = Clocked(schedule, statuses, *takes, **trigger)

    assert clocked.play() == [
        (time, is_past_due and number == 0) for number, time in enumerate(runs)
    ]


def test_a_status_is_told_and_kept_of_a_schedule_of_a_minute_or_more_only() -> None:
    every_second, every_minute = Statuses(), Statuses()
    fast = Clocked("* * * * * *", every_second, 0)
    slow = Clocked("0 * * * * *", every_minute, 1)
    fast.play()
    slow.play()

    assert [given["ScheduleStatus"] for given in fast.given] == [None, None]
    assert slow.given[0]["ScheduleStatus"] == {
        "Last": NEVER,
        "Next": "2026-01-01T12:02:00+00:00",
        "LastUpdated": NEVER,
    }
    assert slow.given[1]["ScheduleStatus"]["Last"] == "2026-01-01T12:01:00+00:00"
    assert every_second.kept == {}
    # Also of a run that failed.
    minutes = [START + timedelta(minutes=number) for number in (1, 2)]
    assert every_minute.kept == {"f": TimerStatus(*minutes)}


def test_a_status_is_kept_in_the_host_s_storage() -> None:
    async def keep(storage: str) -> list[TimerStatus | None]:
        statuses = make_statuses({"AzureWebJobsStorage": storage}, Path("/app"))
        found = [await statuses.read("f")]
        for last in (None, START):
            await statuses.write("f", TimerStatus(last, START))
            found.append(await statuses.read("f"))
        other = make_statuses({"AzureWebJobsStorage": storage}, Path("/other"))
        return [*found, await other.read("f")]

    with Azurite() as azurite:
        found = asyncio.run(keep(azurite.connection_string))

    assert found == [None, TimerStatus(None, START), TimerStatus(START, START), None]


def test_without_storage_nothing_is_kept() -> None:
    async def keep() -> TimerStatus | None:
        statuses = make_statuses({}, Path("/app"))
        await statuses.write("f", TimerStatus(None, START))
        return await statuses.read("f")

    assert asyncio.run(keep()) is None
