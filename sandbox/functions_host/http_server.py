"""The host's one HTTP server: webhook, admin API and HTTP functions behind the same port."""

import asyncio
import socket
from datetime import timedelta

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.functions_host.admin import Admin
from sandbox.functions_host.errors import HostError
from sandbox.functions_host.http_routes import HttpRoutes
from sandbox.functions_host.webhook import EventGridWebhook
from sandbox.serving import Server

_WEBHOOKS = "/runtime/webhooks/"
_WEBHOOK = "/runtime/webhooks/eventgrid"
_ADMIN = "/admin/"
#: How long requests that are being answered may take to end when the host stops.
_GRACE_SECONDS = 2


class HttpServer:
    """Serves from construction until stop()."""

    def __init__(
        self, sock: socket.socket, webhook: EventGridWebhook, admin: Admin, routes: HttpRoutes
    ) -> None:
        self._webhook = webhook
        self._admin = admin
        self._routes = routes
        config = uvicorn.Config(
            self._serve,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]))

    async def stop(self, patience: timedelta | None = None) -> None:
        """Take no more requests, answer those that end in time, and close."""
        if patience is not None:
            self._server.config.timeout_graceful_shutdown = int(patience.total_seconds())
        self._server.should_exit = True
        await self._task

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"].casefold()
        if path.rstrip("/") == _WEBHOOK:
            return await self._webhook.answer(request)
        if path.startswith(_WEBHOOKS):
            return await self._webhook.answer_other(request)
        if path.startswith(_ADMIN):
            return await self._admin.answer(request)
        if path == "/":
            return PlainTextResponse("Your Azure Function App is up and running.")
        return await self._routes.answer(request)


def listen(port: int) -> socket.socket:
    """Bind a local port, 0 = any free one; HostError when it is taken."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise HostError(f"cannot listen on port {port}: {error}") from error
