"""The base of the services: https in a thread, a log of requests, and failures on demand."""

import asyncio
import json
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.running import HOST, Running, listen
from sandbox.serving import Server

_NAME = "localhost"
_STOP_SECONDS = 10

type Json = dict[str, Any]
type Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(
        self, status: int, body: Json | str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer."""
        if isinstance(self.body, dict):
            return JSONResponse(self.body, self.status, headers=self.headers)
        return Response(self.body, self.status, headers=self.headers, media_type="text/html")


@dataclass(kw_only=True)
class Fault:
    """The failure of the next `times` requests that match.

    With `does_work` the request is carried out first; with `drop` nothing is answered at all. The
    body comes at once, or a byte every `drip` seconds.
    """

    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    drip: float = 0
    drop: bool = False
    does_work: bool = False
    method: str = "*"
    path: str = "*"
    times: int = 1

    def takes(self, method: str, path: str) -> bool:
        """Say whether the fault strikes this request; it is used up by one that it strikes."""
        is_meant = fnmatchcase(method, self.method) and fnmatchcase(path, self.path)
        if not is_meant or self.times <= 0:
            return False
        self.times -= 1
        return True


@dataclass(kw_only=True)
class Seen:
    """A request as it came in, names of headers in lower case; `status` 0 has no answer yet."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int = 0

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Service(Running):
    """A service behind https; a context manager, or `start` and `stop`.

    Several may share one authority, so that a client needs to trust one file.
    """

    #: Whether its paths match in any case.
    ignores_case = False

    def __init__(self, *, ca_folder: Path, authority: trustme.CA | None = None) -> None:
        self.requests: list[Seen] = []
        self._faults: list[Fault] = []
        self._ca_folder = ca_folder
        self._authority = authority or trustme.CA()
        self._socket = listen()
        self._server = _Server(
            uvicorn.Config(
                _Gate(self._app(), self),
                interface="asgi3",
                lifespan="off",
                ws="none",
                http="h11",
                proxy_headers=False,
                access_log=False,
                log_level="critical",
                ssl_context_factory=lambda *_: self._ssl_context(),
            )
        )
        name = type(self).__name__
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://{_NAME}:{self._socket.getsockname()[1]}"

    @property
    def ca_path(self) -> Path:
        """The certificate authority's PEM, which clients have to trust."""
        return self._ca_folder / "services-ca.pem"

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return methods, paths and handlers."""
        raise NotImplementedError

    def let_in(self, request: Request) -> None:
        """Raise what keeps a request out, before it is looked at."""

    def no_route(self, request: Request, status: int) -> Refused:
        """Return the answer for an unknown path or method."""
        return Refused(status)

    def fail(self, **fault: Any) -> Fault:
        """Set a fault; the one set last comes first."""
        made = Fault(**fault)
        self._faults.insert(0, made)
        return made

    def heal(self) -> None:
        """Take all faults away."""
        self._faults.clear()

    def fault(self, method: str, path: str) -> Fault | None:
        """Return the fault that strikes this request, or None."""
        return next((fault for fault in list(self._faults) if fault.takes(method, path)), None)

    def start(self) -> Self:
        """Write the authority's certificate and begin to serve; returns at once."""
        self._ca_folder.mkdir(parents=True, exist_ok=True)
        self._authority.cert_pem.write_to_path(str(self.ca_path))
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving and wait for the end of it."""
        self._server.end()
        self._thread.join(_STOP_SECONDS)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    def _ssl_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(_NAME, HOST).configure_cert(context)
        return context

    def _app(self) -> Starlette:
        routes: list[BaseRoute] = []
        for method, path, handler in self.routes():
            route = Route(path, handler, methods=[method])
            if self.ignores_case:
                route.path_regex = re.compile(route.path_regex.pattern, re.IGNORECASE)
            routes.append(route)

        async def refuse(request: Request, error: Exception) -> Response:
            if isinstance(error, HTTPException):
                return self.no_route(request, error.status_code).response()
            assert isinstance(error, Refused)
            return error.response()

        return Starlette(routes=routes, exception_handlers={Refused: refuse, HTTPException: refuse})


class _Server(Server):
    """Ends at once: uvicorn looks every 100 ms whether it should, and then waits for clients."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._end = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

    def end(self) -> None:
        """End the server, from whichever thread."""
        self._end.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._ended.set)

    async def main_loop(self) -> None:
        """Wait until it is to end."""
        self._loop = asyncio.get_running_loop()
        if not self._end.is_set():
            await self._ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the connections that clients keep open, too."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self.force_exit = True
        await super().shutdown(sockets)


class _Gate:
    """Logs every request, checks its sender, and applies the faults."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        request = Request(scope, receive)
        seen = Seen(
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            headers=dict(request.headers),
            body=await request.body(),
        )
        self._service.requests.append(seen)

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        fault = self._service.fault(seen.method, seen.path)
        if fault is None:
            await self._serve(scope, seen.body, note)
            return
        if fault.does_work:
            await self._serve(scope, seen.body, _swallow)
        if not fault.drop:
            await _answer(fault)(scope, receive, note)
        else:
            # ASGI has no way to say this: the server's own send method knows the connection.
            send.__self__.transport.abort()  # type: ignore[attr-defined]

    async def _serve(self, scope: Scope, body: bytes, send: Send) -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            self._service.let_in(Request(scope))
        except Refused as error:
            await error.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _answer(fault: Fault) -> Response:
    headers = dict(fault.headers)
    if not fault.drip:
        return Response(fault.body, fault.status, headers=headers)

    async def drops() -> AsyncIterator[bytes]:
        for byte in fault.body:
            yield bytes([byte])
            await asyncio.sleep(fault.drip)

    return StreamingResponse(drops(), fault.status, headers=headers)


async def read_json(request: Request, refuse: Callable[[str], Refused]) -> Json:
    """Return the body, which is to be a JSON object and to say so; or raise what `refuse` makes."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise refuse(f"The content type '{kind}' is not application/json.")
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise refuse("Problems parsing JSON") from None
    if not isinstance(body, dict):
        raise refuse("The body is no JSON object.")
    return body


async def _swallow(message: Message) -> None:
    """Send nothing."""
