"""Timer triggers: run a function whenever its schedule says so."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from sandbox.functions_host.errors import InvocationFailed
from sandbox.functions_host.functions import TIMER, Function
from sandbox.functions_host.protocol import Value, json_value
from sandbox.functions_host.schedule import Schedule, parse_schedule
from sandbox.functions_host.settings import resolve
from sandbox.functions_host.supervisor import Input, Supervisor


class Timer:
    """Runs one function, one run after the other, never two at once."""

    def __init__(
        self, function: Function, settings: Mapping[str, str], supervisor: Supervisor
    ) -> None:
        self._function = function
        self._schedule = parse_schedule(resolve(function.trigger["schedule"], settings))
        self._supervisor = supervisor
        self._last: datetime | None = None

    async def run(self) -> None:
        """Run the function when it is due, until cancelled."""
        if self._function.trigger.get("runOnStartup"):
            await self._fire_and_go_on()
        due = datetime.now(UTC)
        while True:
            # Never before `due` again: sleep may end a moment early by the wall clock.
            due = self._schedule.next_after(max(due, datetime.now(UTC)))
            await asyncio.sleep((due - datetime.now(UTC)).total_seconds())
            await self._fire_and_go_on()

    async def fire(self) -> None:
        """Run the function now; InvocationFailed when it raises."""
        value = _timer_value(self._schedule, self._last, datetime.now(UTC))
        self._last = datetime.now(UTC)
        await self._supervisor.invoke(self._function, Input(value))

    async def _fire_and_go_on(self) -> None:
        # The supervisor has logged it; the schedule goes on, as in the real host.
        with suppress(InvocationFailed):
            await self.fire()


def make_timers(
    functions: Mapping[str, Function], settings: Mapping[str, str], supervisor: Supervisor
) -> dict[str, Timer]:
    """Make a timer for each timer function; HostError where a schedule is wrong."""
    return {
        function.name: Timer(function, settings, supervisor)
        for function in functions.values()
        if function.kind == TIMER
    }


def _timer_value(schedule: Schedule, last: datetime | None, now: datetime) -> Value:
    last = last or datetime.min.replace(tzinfo=UTC)
    status = {
        "Last": last.isoformat(),
        "Next": schedule.next_after(now).isoformat(),
        "LastUpdated": last.isoformat(),
    }
    return json_value(
        {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": False}
    )
