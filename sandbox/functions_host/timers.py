"""Timer triggers: run a function whenever its schedule says so."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from sandbox.functions_host.errors import InvocationFailed
from sandbox.functions_host.functions import TIMER, Function
from sandbox.functions_host.protocol import Value, json_value
from sandbox.functions_host.schedule import is_monitored, parse_schedule
from sandbox.functions_host.settings import resolve
from sandbox.functions_host.supervisor import Input, Supervisor
from sandbox.functions_host.timer_status import TimerStatus, TimerStatuses

type Invoke = Callable[[Function, Input], Awaitable[object]]


def _now() -> datetime:
    return datetime.now(UTC)


class Timer:
    """Runs one function, one run after the other, never two at once.

    A status is kept only of a schedule whose times are a minute apart or more.
    """

    def __init__(
        self,
        function: Function,
        settings: Mapping[str, str],
        invoke: Invoke,
        statuses: TimerStatuses,
        *,
        now: Callable[[], datetime] = _now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._function = function
        self._schedule = parse_schedule(resolve(function.trigger["schedule"], settings))
        self._invoke = invoke
        self._statuses = statuses
        self._now = now
        self._sleep = sleep
        self._is_monitored = is_monitored(self._schedule, now())
        self._last: datetime | None = None

    async def run(self) -> None:
        """Run the function when it is due, until cancelled."""
        if await self._is_past_due():
            await self._fire_and_keep(past_due=True)
        elif self._function.trigger.get("runOnStartup"):
            await self._fire_and_keep()
        due = self._schedule.next_after(self._now())
        while True:
            # Sleep may end a moment early by the wall clock.
            while (left := (due - self._now()).total_seconds()) > 0:
                await self._sleep(left)
            began = max(due, self._now())
            await self._fire_and_keep()
            # After a run that took longer than that, one more follows at once, but only one.
            due = self._schedule.next_after(began)

    async def fire(self, *, past_due: bool = False) -> None:
        """Run the function now; InvocationFailed when it raises."""
        value = self._value(past_due=past_due)
        self._last = self._now()
        await self._invoke(self._function, Input(value))

    async def _is_past_due(self) -> bool:
        if not self._is_monitored:
            return False
        kept = await self._statuses.read(self._function.name)
        if kept is None:
            await self._keep()
            return False
        self._last = kept.last
        return kept.next <= self._now()

    async def _fire_and_keep(self, *, past_due: bool = False) -> None:
        # The supervisor has logged it; the schedule goes on, as in the real host.
        with suppress(InvocationFailed):
            await self.fire(past_due=past_due)
        if self._is_monitored:
            await self._keep()

    async def _keep(self) -> None:
        status = TimerStatus(self._last, self._schedule.next_after(self._now()))
        await self._statuses.write(self._function.name, status)

    def _value(self, *, past_due: bool) -> Value:
        last = (self._last or datetime.min.replace(tzinfo=UTC)).isoformat()
        due = self._schedule.next_after(self._now()).isoformat()
        status = {"Last": last, "Next": due, "LastUpdated": last} if self._is_monitored else None
        schedule = {"AdjustForDST": True}
        return json_value({"Schedule": schedule, "ScheduleStatus": status, "IsPastDue": past_due})


def make_timers(
    functions: Mapping[str, Function],
    settings: Mapping[str, str],
    supervisor: Supervisor,
    statuses: TimerStatuses,
) -> dict[str, Timer]:
    """Make a timer for each timer function; HostError where a schedule is wrong."""
    return {
        function.name: Timer(function, settings, supervisor.invoke, statuses)
        for function in functions.values()
        if function.kind == TIMER
    }
