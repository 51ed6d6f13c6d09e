"""Tap: a reverse proxy that counts the requests passing through it and strikes at a chosen one."""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from sandbox.running import Running
from sandbox.wire import HEAD_LIMIT, Connection, parse_head, read_body

_START_SECONDS = 60.0


@dataclass
class Request:
    """One request as it came in; status and seconds stay None until the upstream has answered."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)  # names in lower case
    body: bytes = field(repr=False)
    time: float  # seconds since the epoch
    status: int | None = None
    seconds: float | None = None


class Strike:
    """One armed strike: it falls once, on the n-th request that matches."""

    def __init__(
        self,
        match: Callable[[Request], bool],
        when: Literal["before", "after"],
        do: Callable[[], None],
        nth: int,
    ) -> None:
        self.when = when
        self._match = match
        self._do = do
        self._left = nth
        self._fallen = threading.Event()
        self._error: BaseException | None = None

    def wait(self, timeout: float = 60.0) -> bool:
        """Return whether the strike fell within the timeout; raise what `do` raised."""
        fallen = self._fallen.wait(timeout)
        if self._error is not None:
            raise self._error
        return fallen

    def claims(self, request: Request) -> bool:
        """Return whether this request is the one to strike at; true at most once."""
        if self._left <= 0 or not self._match(request):
            return False
        self._left -= 1
        return self._left == 0

    def fall(self) -> None:
        """Do the request and keep its error for wait()."""
        try:
            self._do()
        except BaseException as error:  # noqa: BLE001 - it belongs to the one who waits
            self._error = error
        finally:
            self._fallen.set()


class Tap(Running):
    """A reverse proxy in a thread, for one upstream; it serves TLS when given a certificate."""

    def __init__(
        self,
        upstream_url: str,
        *,
        certfile: Path | str | None = None,
        keyfile: Path | str | None = None,
        upstream_cafile: Path | str | None = None,
    ) -> None:
        upstream = urlsplit(upstream_url)
        if upstream.scheme not in {"http", "https"} or not upstream.hostname:
            raise ValueError(f"not an http(s) address: {upstream_url!r}")
        if upstream.path not in {"", "/"}:
            raise ValueError(f"paths pass through unchanged, give none: {upstream_url!r}")
        secure = upstream.scheme == "https"
        self._host = upstream.hostname
        self._upstream_port = upstream.port or (443 if secure else 80)
        self._upstream_tls = ssl.create_default_context(cafile=upstream_cafile) if secure else None
        self._tls: ssl.SSLContext | None = None
        if certfile is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certfile, keyfile)
        self._requests: list[Request] = []
        self._strikes: list[Strike] = []
        self._lock = threading.Lock()
        self._port: int | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()

    def start(self) -> Self:
        """Listen on a free local port and return when connections are taken."""
        if self._thread is not None:
            raise RuntimeError("the tap is already started")
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="tap", daemon=True
        )
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise RuntimeError(f"the tap did not start within {_START_SECONDS:g} s")
        return self

    def stop(self) -> None:
        """Drop all connections and end the thread; harmless when already stopped."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(10)
        self._started.clear()
        self._port = None

    @property
    def port(self) -> int:
        """Return the local port."""
        if self._port is None:
            raise RuntimeError("the tap is not started")
        return self._port

    @property
    def url(self) -> str:
        """Return the address to use instead of the upstream's."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """Return the requests since the last clear(), in order of arrival."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._requests.clear()

    def strike(
        self,
        match: Callable[[Request], bool],
        when: Literal["before", "after"] = "before",
        do: Callable[[], None] = lambda: None,
        *,
        nth: int = 1,
    ) -> Strike:
        """Arm one strike: at the n-th match run `do` in a thread, and drop the connection.

        before: the request never reaches the upstream. after: the upstream has done its work, and
        the answer is lost.
        """
        strike = Strike(match, when, do, nth)
        with self._lock:
            self._strikes.append(strike)
        return strike

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(
            self._talk, "127.0.0.1", 0, ssl=self._tls, limit=HEAD_LIMIT
        )
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopping.wait()
        server.close()

    async def _talk(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        upstream = Connection(self._host, self._upstream_port, self._upstream_tls)
        try:
            # A peer that goes away, on either side, ends the conversation on both.
            with suppress(OSError, asyncio.IncompleteReadError):
                while await self._forward_one(client, answer, upstream):
                    pass
        finally:
            answer.transport.abort()
            upstream.drop()

    async def _forward_one(
        self, client: asyncio.StreamReader, answer: asyncio.StreamWriter, upstream: Connection
    ) -> bool:
        """Pass one request on and its answer back; return whether the connection lives on."""
        head = await client.readuntil(b"\r\n\r\n")
        start_line, headers = parse_head(head)
        if headers.get("expect", "").lower() == "100-continue":
            answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await read_body(client, headers) or b""
        method, target, _ = start_line.split(" ", 2)
        path, _, query = target.partition("?")
        request = Request(method, path, query, headers, body, time.time())
        strike = self._note(request)
        if strike is not None and strike.when == "before":
            await asyncio.to_thread(strike.fall)
            return False
        started = time.monotonic()
        response, request.status, lives_on = await upstream.ask(head + body, method)
        request.seconds = time.monotonic() - started
        if strike is not None:
            await asyncio.to_thread(strike.fall)
            return False
        answer.write(response)
        await answer.drain()
        if not lives_on or headers.get("connection", "").lower() == "close":
            answer.close()
            await answer.wait_closed()
            return False
        return True

    def _note(self, request: Request) -> Strike | None:
        with self._lock:
            self._requests.append(request)
            for strike in self._strikes:
                if strike.claims(request):
                    self._strikes.remove(strike)
                    return strike
        return None
