"""The host as tests, the demo and the bench use it: an object with start and stop."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psutil

from sandbox.functions_host.app_host import AppHost, HostOptions, serve_app
from sandbox.functions_host.errors import HostError
from sandbox.functions_host.keys import Keys
from sandbox.functions_host.supervisor import InvocationCounts
from sandbox.running import Running

_worker_log = logging.getLogger("sandbox.functions_host.worker")


class FunctionsHost(Running):
    """Serves one function app from start() to stop(); every method may be called by any thread."""

    def __init__(
        self,
        app_dir: Path | str,
        settings: Mapping[str, str],
        port: int = 0,
        *,
        visibility: timedelta = timedelta(minutes=10),
        max_polling_interval: timedelta | None = None,
        timers: bool = True,
        log: Callable[[str], None] = _worker_log.info,
        log_level: str = "INFO",
        keys: Keys | None = None,
        most_deaths: int | None = 3,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`most_deaths`: after so many of the worker the host ends; `on_end` is called then."""
        self._keys = keys or Keys()
        self._options = HostOptions(
            app_dir=Path(app_dir).resolve(),
            settings=dict(settings),
            log=log,
            port=port,
            visibility=visibility,
            max_polling_interval=max_polling_interval,
            timers=timers,
            log_level=log_level,
            most_deaths=most_deaths,
            keys=self._keys,
        )
        self._on_end = on_end
        self._thread: threading.Thread | None = None
        self._running: AppHost | None = None
        #: Set by stop(), which may be called while start() still waits.
        self._stopping: Future[bool] = Future()

    def start(self) -> Self:
        """Return once the app is indexed and served; HostError has the app's fault."""
        if self._thread is not None:
            raise HostError("the host is already started")
        started: Future[None] = Future()
        self._stopping = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="functions-host", daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, *, drain: bool = False) -> None:
        """End the worker and the server; harmless when stopped.

        Running functions fail, as when a whole instance is lost. With `drain` they have the time
        that the real host gives them at its end.
        """
        if self._thread is not None:
            if not self._stopping.done():
                self._stopping.set_result(drain)
            self._thread.join()
        self._thread = None

    @property
    def url(self) -> str:
        """Return the address of the HTTP server, without a slash at the end."""
        return f"http://127.0.0.1:{self._host.port}"

    @property
    def system_key(self) -> str:
        """Return the key that opens the Event Grid webhook: `eventgrid_extension`."""
        return self._keys.event_grid

    @property
    def function_key(self) -> str:
        """Return the key that opens HTTP functions of the auth level `function`."""
        return self._keys.function

    @property
    def master_key(self) -> str:
        """Return the key that opens everything."""
        return self._keys.master

    def event_grid_url(self, function: str) -> str:
        """Return the webhook address, with its key, to subscribe an Event Grid function with."""
        query = f"functionName={quote(function)}&code={quote(self.system_key)}"
        return f"{self.url}/runtime/webhooks/eventgrid?{query}"

    def functions(self) -> dict[str, list[Mapping[str, Any]]]:
        """Return each function's bindings, as the worker indexed them."""
        return {each.name: list(each.bindings) for each in self._host.functions.values()}

    def fire(self, function: str, text: str = "") -> None:
        """Run a timer, queue or Event Grid function now, with this input, and wait for it."""
        self._call(self._host.admin.fire(function, text))

    @property
    def invocations(self) -> dict[str, InvocationCounts]:
        """Return a copy of the counts of every function."""
        return {name: replace(counts) for name, counts in self._host.supervisor.counts.items()}

    def idle(self) -> bool:
        """Return whether no function runs and no queue message is being settled."""
        return self._host.idle

    @property
    def worker_pid(self) -> int:
        """Return the process id of the newest worker."""
        return self._host.supervisor.pid

    @property
    def restarts(self) -> int:
        """Return how many workers have replaced one that exited."""
        return self._host.supervisor.restarts

    def kill_worker(self) -> None:
        """Kill the worker, as a crash would; the host starts another by itself."""
        self._call(self._kill())

    def wait_until_ready(self, timeout: float) -> None:
        """Wait until a worker runs; TimeoutError after so many seconds."""
        self._call(asyncio.wait_for(self._host.supervisor.living_worker(), timeout))

    def worker_rss(self) -> int:
        """Return the worker's resident memory in bytes."""
        return int(psutil.Process(self.worker_pid).memory_info().rss)

    @property
    def started_at(self) -> datetime:
        """Return when start() began."""
        return self._host.started_at

    @property
    def first_completed_at(self) -> datetime | None:
        """Return when the first invocation ended, None while there was none."""
        return self._host.supervisor.first_completed_at

    @property
    def _host(self) -> AppHost:
        if self._running is None:
            raise HostError("the host is not running")
        return self._running

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with serve_app(self._options) as self._running:
                started.set_result(None)
                if await self._until_told_to_end(self._running):
                    await self._running.drain()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            self._running = None
            self._on_end()

    async def _until_told_to_end(self, running: AppHost) -> bool:
        """Wait for stop(), and return whether to drain; or until the host gives up by itself."""
        stopping: asyncio.Future[Any] = asyncio.wrap_future(self._stopping)
        gives_up: asyncio.Future[Any] = asyncio.create_task(running.supervisor.given_up.wait())
        await asyncio.wait([stopping, gives_up], return_when=asyncio.FIRST_COMPLETED)
        gives_up.cancel()
        return bool(stopping.done() and stopping.result())

    async def _kill(self) -> None:
        self._host.supervisor.kill()

    def _call[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
