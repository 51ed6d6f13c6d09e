"""Keeps one worker alive, and runs functions on whichever worker lives now."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox.functions_host.errors import (
    FunctionTimedOut,
    HostError,
    InvocationFailed,
    WorkerExited,
)
from sandbox.functions_host.functions import Function
from sandbox.functions_host.protocol import Value
from sandbox.functions_host.trace_context import new_trace
from sandbox.functions_host.worker_process import START_LIMIT_SECONDS, WorkerProcess

#: How much longer than `functionTimeout` the real host waits before it gives up the worker.
_GRACE_SECONDS = 2.0
#: How long a worker may take to end its functions when another takes its place.
_DRAIN_SECONDS = 10.0
#: Deaths count together unless so much time lies between two.
DEATHS_APART = timedelta(minutes=30)
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0

_logger = logging.getLogger(__name__)


@dataclass
class InvocationCounts:
    """How often one function ran, and how that ended."""

    started: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def running(self) -> int:
        """Return how many have not ended yet."""
        return self.started - self.succeeded - self.failed


@dataclass(frozen=True)
class Input:
    """The input that a trigger hands to its function."""

    value: Value
    metadata: Mapping[str, Value] = field(default_factory=dict)
    trace: Mapping[str, str] = field(default_factory=new_trace)


@dataclass
class Deaths:
    """Counts the deaths of workers that did not come by the host's own hand."""

    most: int | None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    count: int = 0
    last: datetime | None = None

    def is_last(self) -> bool:
        """Count one, and say whether the real host gives up after it."""
        now = self.clock()
        if self.last is not None and now - self.last > DEATHS_APART:
            self.count = 0
        self.count, self.last = self.count + 1, now
        return self.most is not None and self.count >= self.most


class Supervisor:
    """The worker, restarted whenever it exits, and the invocations that run on it.

    `given_up` is set at the last death of `deaths`: the server of the app must then end.
    """

    def __init__(
        self,
        app_dir: Path,
        settings: Mapping[str, str],
        function_timeout: timedelta | None,
        log: Callable[[str], None],
        log_level: str,
        deaths: Deaths,
    ) -> None:
        self.restarts = 0
        self.given_up = asyncio.Event()
        self._deaths = deaths
        self.counts: dict[str, InvocationCounts] = {}
        self.first_completed_at: datetime | None = None
        self._app_dir = app_dir
        self._settings = settings
        self._timeout = function_timeout
        self._log = log
        self._log_level = log_level
        self._ready = asyncio.Event()
        self._stopped = False
        #: Workers that only end what they run, each with the task that waits for that.
        self._leaving: dict[WorkerProcess, asyncio.Task[None]] = {}

    async def start(self) -> Mapping[str, Function]:
        """Start the first worker and return the app's functions."""
        self._worker = await self._start_worker()
        self.counts = {name: InvocationCounts() for name in self._worker.functions}
        self._ready.set()
        self._keeper = asyncio.create_task(self._keep_alive())
        return self._worker.functions

    async def stop(self) -> None:
        """End the worker for good; what still runs on it fails."""
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        await self._worker.end()
        for worker in self._leaving:
            worker.replace()
        await asyncio.gather(*self._leaving.values())
        # Callers that wait for the next worker learn that there is none.
        self._stopped = True
        self._ready.set()

    @property
    def pid(self) -> int:
        """Return the process id of the newest worker."""
        return self._worker.pid

    async def living_worker(self) -> WorkerProcess:
        """Wait until a worker runs, and return it; WorkerExited when the host has stopped."""
        while True:
            await self._ready.wait()
            if self._stopped:
                raise WorkerExited("the host has stopped")
            if self._worker.alive:
                return self._worker
            # It has just died, and is replaced as soon as that is noticed.
            self._ready.clear()

    def kill(self) -> None:
        """Kill the worker, as a crash would; the next one is started by itself."""
        self._ready.clear()
        self._worker.kill()

    async def renew(self) -> None:
        """Put a new worker in the place of the present one, which may end what it runs.

        The present one stays where the app can't be indexed any more, and the log says why.
        """
        try:
            newer = await self._start_worker()
        except HostError as error:
            _logger.error("the app did not start again: %s", error)  # noqa: TRY400 - told whole
            return
        older, self._worker = self._worker, newer
        self._ready.set()
        self._leaving[older] = asyncio.create_task(self._leave(older))

    async def _leave(self, worker: WorkerProcess) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await worker.idle()
        worker.replace()
        await worker.end()
        del self._leaving[worker]

    async def invoke(self, function: Function, given: Input) -> Value | None:
        """Run a function and return its `$return` value; InvocationFailed in all other cases."""
        counts = self.counts[function.name]
        counts.started += 1
        try:
            answer = await self._run(function, given)
        except BaseException as error:
            counts.failed += 1
            self._note_completed()
            if isinstance(error, InvocationFailed):
                _logger.warning("%s failed: %s\n%s", function.name, error, error.stack_trace)
            raise
        counts.succeeded += 1
        self._note_completed()
        return answer

    async def _run(self, function: Function, given: Input) -> Value | None:
        try:
            worker = await asyncio.wait_for(self.living_worker(), START_LIMIT_SECONDS)
        except TimeoutError:
            raise WorkerExited("no worker is running") from None
        request = {
            "type": "invoke",
            "id": str(uuid.uuid4()),
            "function_id": function.id,
            "input": function.trigger["name"],
            "data": given.value,
            "metadata": given.metadata,
            "trace": given.trace,
        }
        try:
            return await asyncio.wait_for(worker.invoke(request), self._patience)
        except TimeoutError:
            # A thread cannot be stopped from outside: like the real host, give up the process.
            if worker is self._worker:
                self._ready.clear()
                worker.replace()
            raise FunctionTimedOut(
                f"Timeout value of {_time_span(self._timeout)} was exceeded by function"
            ) from None

    @property
    def _patience(self) -> float | None:
        return None if self._timeout is None else self._timeout.total_seconds() + _GRACE_SECONDS

    def _note_completed(self) -> None:
        if self.first_completed_at is None:
            self.first_completed_at = datetime.now(UTC)

    async def _keep_alive(self) -> None:
        while True:
            worker = self._worker
            await worker.exited()
            if worker is not self._worker:
                continue  # another one serves already
            self._ready.clear()
            if not worker.was_replaced and self._deaths.is_last():
                _logger.error("Exceeded the worker's restart count. Shutting down the host")
                self.given_up.set()
                return
            _logger.warning("worker %d exited; starting another", worker.pid)
            newer = await self._start_again()
            if worker is not self._worker:
                await newer.end()
                continue
            self._worker = newer
            self.restarts += 1
            self._ready.set()

    async def _start_again(self) -> WorkerProcess:
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            await asyncio.sleep(backoff)
            try:
                return await self._start_worker()
            except HostError as error:
                _logger.error("worker did not start again: %s", error)  # noqa: TRY400 - told whole
                backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    async def _start_worker(self) -> WorkerProcess:
        return await WorkerProcess.start(self._app_dir, self._settings, self._log, self._log_level)


def _time_span(span: timedelta | None) -> str:
    """Write a length of time as .NET does: 00:00:10."""
    minutes, seconds = divmod(int((span or timedelta()).total_seconds()), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
