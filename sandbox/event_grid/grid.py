"""The Event Grid: topics and subscriptions on a local port, served from a thread of its own."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import trustme
import uvicorn
from starlette.applications import Starlette

from sandbox.event_grid.delivery import Courier
from sandbox.event_grid.destinations import shake_hands
from sandbox.event_grid.disorder import Disorder
from sandbox.event_grid.log import Delivery, Loss
from sandbox.event_grid.retry import RESPONSE_TIMEOUT
from sandbox.event_grid.schemas import Event, Schema, check_events
from sandbox.event_grid.subscriptions import Subscription
from sandbox.event_grid.topics import Refusal, Topic, Topics, create_publishing_app
from sandbox.event_grid.webhooks import Webhooks
from sandbox.running import Running
from sandbox.serving import AbruptServer

_START_TIMEOUT = 60.0
_HANDSHAKE_TIMEOUT = 30.0


class EventGrid(Running):
    """A small Event Grid; the README beside it lists its features and its limits.

    `time_scale` is how many real seconds one of Event Grid's seconds takes: 0.001 turns the first
    retry's 10 s into 10 ms. `response_timeout` is in real seconds, by default 30 s scaled.
    `webhook_cafile` holds the certificates to trust when webhooks are https. With an `authority`,
    publishers are also served by https, on a port of its own.
    """

    def __init__(
        self,
        *,
        time_scale: float = 1.0,
        response_timeout: float | None = None,
        webhook_cafile: Path | str | None = None,
        authority: trustme.CA | None = None,
    ) -> None:
        if response_timeout is None:
            response_timeout = RESPONSE_TIMEOUT * time_scale
        self._tls = ssl.create_default_context(cafile=webhook_cafile)
        self._courier = Courier(Webhooks(self._tls), time_scale, response_timeout)
        self._authority = authority
        self._topics = Topics()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._sockets: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: list[uvicorn.Server] = []

    def start(self) -> Self:
        """Listen on a free local port and return when publishers are served."""
        if self._thread is not None:
            raise RuntimeError("the Event Grid is already started")
        kinds = 1 if self._authority is None else 2
        self._sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(kinds)]
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="event-grid", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT):
            raise RuntimeError(f"the Event Grid did not start within {_START_TIMEOUT:g} s")
        return self

    def stop(self) -> None:
        """End the thread; events under way are forgotten. Harmless when already stopped."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        for server in self._servers:
            server.should_exit = True
        thread.join(_START_TIMEOUT)
        for listener in self._sockets:
            listener.close()

    @property
    def url(self) -> str:
        """Return the address of this Event Grid."""
        if self._thread is None:
            raise RuntimeError("the Event Grid is not started")
        return f"http://127.0.0.1:{self._sockets[0].getsockname()[1]}"

    @property
    def secure_url(self) -> str:
        """Return the https address of this Event Grid, or "" without an authority."""
        if self._authority is None or self._thread is None:
            return ""
        return f"https://localhost:{self._sockets[1].getsockname()[1]}"

    def published(self, topic: str) -> list[Event]:
        """Return every event that was published on a topic so far, in order."""
        return list(self._topics.published[topic])

    @property
    def deliveries(self) -> list[Delivery]:
        """Return every delivery attempt so far, in order."""
        return self._courier.log.deliveries

    @property
    def losses(self) -> list[Loss]:
        """Return every event given up so far, dead-lettered or dropped."""
        return self._courier.log.losses

    def add_topic(
        self,
        name: str,
        *,
        resource_id: str | None = None,
        system: bool = False,
        key: str | None = None,
        schema: Schema | None = None,
    ) -> Topic:
        """Add a topic and return it with its endpoint and key.

        A custom topic sets its `resource_id` as the topic of its events; a system topic passes on
        the topic, or source, that its publisher gives. `schema` is the only one that it takes; by
        default it takes both.
        """
        path = f"/topics/{name}/api/events"
        topic = Topic(
            name,
            f"{self.url}{path}",
            resource_id or f"/providers/Microsoft.EventGrid/topics/{name}",
            system=system,
            schema=schema,
            secure_endpoint=self.secure_url and f"{self.secure_url}{path}",
            **({} if key is None else {"key": key}),
        )
        self._topics.add(topic)
        return topic

    def refuse(self, topic: str, status: int, *, times: int = 1, after: int | None = None) -> None:
        """Answer the next publishers of a topic with this status; `after` is its Retry-After."""
        refusal = Refusal(status, "Refused", f"this topic answers {status} for now", after)
        self._topics.refuse(topic, refusal, times)

    def subscribe(self, subscription: Subscription) -> None:
        """Add a subscription, or update the one with its name; raise HandshakeFailed."""
        if subscription.topic not in self._topics.by_name:
            raise ValueError(f"there is no topic {subscription.topic!r}")
        self._run(self._subscribe(subscription), _HANDSHAKE_TIMEOUT + 5)

    def unsubscribe(self, name: str) -> None:
        """Remove a subscription; its events are dropped at their next attempt."""
        self._courier.remove_subscription(name)

    def publish(
        self,
        topic: str,
        events: Sequence[Mapping[str, Any]],
        schema: Schema = Schema.EVENT_GRID,
    ) -> None:
        """Publish without HTTP; raise MalformedEvents as the endpoint would answer 400."""
        found = self._topics.by_name[topic]
        checked = check_events(list(events), schema)
        self._run(self._accept(found, [found.receive(fields, schema) for fields in checked]))

    def set_disorder(self, disorder: Disorder) -> None:
        """Deliver events that are published from now on in this disorder."""
        self._courier.set_disorder(disorder)

    def pending(self) -> list[tuple[str, str]]:
        """Return event id and subscription of every copy still under way, waiting included."""
        return self._courier.log.pending

    def wait_delivered(
        self, event_id: str, timeout: float = 60.0, subscription: str | None = None
    ) -> Delivery:
        """Return the first successful attempt, or raise TimeoutError with the attempts so far."""
        log = self._courier.log
        found = log.wait_for(lambda: log.find_delivered(event_id, subscription), timeout)
        if found is None:
            tried = [each for each in log.deliveries if each.event_id == event_id]
            raise TimeoutError(f"{event_id} was not delivered within {timeout:g} s: {tried}")
        return found

    def wait_idle(self, timeout: float = 60.0) -> None:
        """Return when nothing is under way, or raise TimeoutError with what still is."""
        log = self._courier.log
        if not log.wait_for(log.is_idle, timeout):
            raise TimeoutError(f"still under way after {timeout:g} s: {log.pending}")

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = create_publishing_app(self._topics, self._accept)
        self._servers = [
            self._make_server(app, secure=bool(number)) for number in range(len(self._sockets))
        ]
        pairs = zip(self._servers, self._sockets, strict=True)
        serving = asyncio.gather(*(server.serve(sockets=[one]) for server, one in pairs))
        while not serving.done() and not all(server.started for server in self._servers):
            await asyncio.sleep(0.005)
        self._ready.set()
        await serving
        await self._courier.stop()

    def _make_server(self, app: Starlette, *, secure: bool) -> uvicorn.Server:
        options: dict[str, Any] = {}
        if secure:
            options["ssl_context_factory"] = lambda *_: self._ssl_context()
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            **options,
        )
        return AbruptServer(config)

    def _ssl_context(self) -> ssl.SSLContext:
        assert self._authority is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        return context

    async def _accept(self, topic: Topic, events: Sequence[Event]) -> None:
        self._topics.published[topic.name].extend(events)
        self._courier.accept(topic.name, events)

    async def _subscribe(self, subscription: Subscription) -> None:
        async with httpx.AsyncClient(verify=self._tls, timeout=_HANDSHAKE_TIMEOUT) as client:
            await shake_hands(subscription, client)
        self._courier.set_subscription(subscription)

    def _run[T](self, work: Coroutine[Any, Any, T], timeout: float = _START_TIMEOUT) -> T:
        if self._loop is None or self._thread is None:
            work.close()
            raise RuntimeError("the Event Grid is not started")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)
