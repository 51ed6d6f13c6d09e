"""Everything that serves one app, put together on one event loop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.functions_host.admin import Admin
from sandbox.functions_host.file_watch import FileWatch
from sandbox.functions_host.functions import Function
from sandbox.functions_host.host_json import QueueOptions, load_host_json
from sandbox.functions_host.http_routes import HttpRoutes
from sandbox.functions_host.http_server import HttpServer, listen
from sandbox.functions_host.keys import Keys
from sandbox.functions_host.queues import QueueListener, make_listeners
from sandbox.functions_host.supervisor import Deaths, Supervisor
from sandbox.functions_host.timer_status import make_statuses
from sandbox.functions_host.timers import make_timers
from sandbox.functions_host.webhook import EventGridWebhook

#: How long what runs may take to end when the app is drained.
DRAIN_QUEUES = timedelta(seconds=10)
DRAIN_HTTP = timedelta(seconds=30)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HostOptions:
    """How to host an app: what host.json cannot say."""

    app_dir: Path
    settings: Mapping[str, str]
    log: Callable[[str], None]
    port: int = 0
    #: How long a queue message is leased while its function runs, and stays hidden after a crash.
    visibility: timedelta = timedelta(minutes=10)
    #: Overrides host.json where given.
    max_polling_interval: timedelta | None = None
    #: False = timers only run when fired by hand.
    timers: bool = True
    log_level: str = "INFO"
    #: The death of the worker after which the host ends, as in Azure; None = it never does.
    most_deaths: int | None = 3
    keys: Keys = field(default_factory=Keys)


@dataclass(frozen=True)
class AppHost:
    """A running app."""

    port: int
    started_at: datetime
    supervisor: Supervisor
    admin: Admin
    functions: Mapping[str, Function]
    listeners: list[QueueListener]
    server: HttpServer

    async def drain(self) -> None:
        """Take nothing new, and let what runs end and be settled if it does so in time."""
        for listener in self.listeners:
            listener.stop_polling()
        waits = [listener.drain(DRAIN_QUEUES) for listener in self.listeners]
        await asyncio.gather(self.server.stop(DRAIN_HTTP), *waits)

    @property
    def idle(self) -> bool:
        """Return whether no function runs and no queue message is being settled."""
        running = any(counts.running for counts in self.supervisor.counts.values())
        return not running and not any(listener.held for listener in self.listeners)


@asynccontextmanager
async def serve_app(options: HostOptions) -> AsyncIterator[AppHost]:
    """Serve the app inside the block; HostError when it cannot be served."""
    started_at = datetime.now(UTC)
    host_json = load_host_json(options.app_dir)
    watch = FileWatch(options.app_dir, host_json)
    with listen(options.port) as sock:
        port: int = sock.getsockname()[1]
        supervisor = Supervisor(
            options.app_dir,
            {"WEBSITE_HOSTNAME": f"127.0.0.1:{port}", **options.settings},
            host_json.function_timeout,
            options.log,
            options.log_level,
            Deaths(options.most_deaths),
        )
        functions = await supervisor.start()
        listeners: list[QueueListener] = []
        server: HttpServer | None = None
        polls: list[asyncio.Task[None]] = []
        ticks: list[asyncio.Task[None]] = []
        try:
            queue_options = _queue_options(host_json.queues, options)
            statuses = make_statuses(options.settings, options.app_dir)
            timers = make_timers(functions, options.settings, supervisor, statuses)
            listeners = make_listeners(
                functions, options.settings, queue_options, options.visibility, supervisor
            )
            admin = Admin(functions, options.keys, supervisor, timers)
            webhook = EventGridWebhook(functions, options.keys, supervisor)
            routes = HttpRoutes(functions, host_json.route_prefix, options.keys, supervisor)
            server = HttpServer(sock, webhook, admin, routes)
            polls = [_begin(listener.run()) for listener in listeners]
            ticks = [_begin(timer.run()) for timer in timers.values() if options.timers]
            if watch.watches:
                ticks.append(_begin(_renew_when_changed(watch, supervisor)))
            yield AppHost(port, started_at, supervisor, admin, functions, listeners, server)
        finally:
            for listener in listeners:
                listener.stop_polling()
            for tick in ticks:
                tick.cancel()
            if ended := [*polls, *ticks]:
                await asyncio.wait(ended)
            # Ends what still runs: the server then answers 500, the listeners let go.
            await supervisor.stop()
            if server:
                await server.stop()
            for listener in listeners:
                await listener.close()


def _queue_options(declared: QueueOptions, options: HostOptions) -> QueueOptions:
    if options.max_polling_interval is None:
        return declared
    return replace(declared, max_polling_interval=options.max_polling_interval)


async def _renew_when_changed(watch: FileWatch, supervisor: Supervisor) -> None:
    while True:
        await watch.changed()
        _logger.warning("a watched file has changed; another worker starts")
        await supervisor.renew()


def _begin(trigger: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    def report(ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and (error := ended.exception()):
            _logger.critical("a trigger has stopped for good", exc_info=error)

    task = asyncio.create_task(trigger)
    task.add_done_callback(report)
    return task
