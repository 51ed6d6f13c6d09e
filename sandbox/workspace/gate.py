"""Passed by all requests except those to online endpoints: programmed trouble, the log, tokens.

Requests to storage are named with their host, `//{account}.blob.core.windows.net/…`, and show
their tokens there.
"""

import asyncio
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.workspace.arm import ArmError
from sandbox.workspace.cloud import Cloud
from sandbox.workspace.identity import MACHINE_LEARNING_AUDIENCE, check_token
from sandbox.workspace.rules import Latency, Outage, Subject, Throttle
from sandbox.workspace.storage import is_for

#: The status in the log of a request that got no answer.
DROPPED = 0

_ARM = "/subscriptions"
#: The workspace's own services, which take tokens for themselves as well as ARM's.
_DATA_PLANES = ("/history/", "/mlflow/", "/batch/", "/mferp/")


class Gate:
    """Wraps the application; refuses, delays, drops, logs and labels the requests named above."""

    def __init__(self, app: ASGIApp, cloud: Cloud) -> None:
        self._app = app
        self._cloud = cloud

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; those to other services pass untouched."""
        is_storage = is_for(self._cloud.storage, scope)
        is_ours = scope.get("path", "").lower().startswith((_ARM, *_DATA_PLANES))
        if not is_storage and not is_ours:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        path = f"//{request.url.hostname}{request.url.path}" if is_storage else request.url.path
        entry = self._open_entry(request, path)
        started = time.perf_counter()

        async def labelled_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
                entry["milliseconds"] = round((time.perf_counter() - started) * 1000, 3)
                _label(message, request, entry["requestId"])
            await send(message)

        try:
            is_answer_lost = await self._apply_trouble(request.method, path)
            if not is_storage:
                self._check_token(request)
        except _Drop:
            await _drop(receive, send)
        except ArmError as error:
            await error.response()(scope, receive, labelled_send)
        else:
            self._cloud.settle()
            await self._app(scope, receive, _swallow if is_answer_lost else labelled_send)
            if is_answer_lost:
                await _drop(receive, send)

    async def _apply_trouble(self, method: str, path: str) -> bool:
        """Raise what rules keep the request out with; says whether its answer is to be lost."""
        names = {"method": method, "path": path}
        rules, anyone = self._cloud.rules, Subject()
        latency = rules.take(Latency, anyone, **names)
        if latency:
            await asyncio.sleep(latency.seconds)
        outage = rules.take(Outage, anyone, **names)
        if outage and outage.drop:
            raise _Drop
        if outage and not outage.lose_answer:
            message = "The service is unavailable."
            raise ArmError(outage.status, "ServiceUnavailable", message)
        throttle = rules.take(Throttle, anyone, **names)
        if throttle:
            wait = throttle.retry_after
            headers = {} if wait is None else {"Retry-After": str(wait)}
            message = "The request is being throttled."
            raise ArmError(429, "TooManyRequests", message, headers=headers)
        return outage is not None

    def _check_token(self, request: Request) -> None:
        is_arm = request.url.path.lower().startswith(_ARM)
        others = () if is_arm else (MACHINE_LEARNING_AUDIENCE,)
        audiences = (*self._cloud.arm_audiences, *others)
        claims = check_token(request.headers.get("authorization"), audiences)
        request.state.caller = str(claims.get("appid") or claims.get("oid") or "unknown")
        if is_arm and not request.query_params.get("api-version"):
            raise ArmError(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )

    def _open_entry(self, request: Request, path: str) -> dict[str, object]:
        entry: dict[str, object] = {
            "method": request.method,
            "path": path,
            "query": request.url.query,
            "status": DROPPED,
            "at": self._cloud.clock.now().isoformat(),
            "milliseconds": 0.0,
            "requestId": str(uuid.uuid4()),
            "clientRequestId": request.headers.get("x-ms-client-request-id"),
            "userAgent": request.headers.get("user-agent"),
        }
        self._cloud.requests.append(entry)
        return entry


class _Drop(Exception):
    """The connection is to end without an answer."""


def _label(message: Message, request: Request, request_id: object) -> None:
    headers = MutableHeaders(scope=message)
    headers["x-ms-request-id"] = str(request_id)
    given = request.headers.get("x-ms-correlation-request-id")
    headers["x-ms-correlation-request-id"] = given or str(request_id)
    client_id = request.headers.get("x-ms-client-request-id")
    if client_id:
        headers["x-ms-client-request-id"] = client_id


async def _swallow(message: Message) -> None:
    """Send nothing."""


async def _drop(receive: Receive, send: Send) -> None:
    # ASGI has no way to say this: the server's own send method knows the connection.
    send.__self__.transport.abort()  # type: ignore[attr-defined]
    while (await receive())["type"] != "http.disconnect":
        pass
