"""The admin API: what runs here, and running a function by hand."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sandbox.functions_host.errors import HostError, InvocationFailed
from sandbox.functions_host.functions import EVENT_GRID, QUEUE, TIMER, Function
from sandbox.functions_host.keys import Keys, shows_key
from sandbox.functions_host.protocol import Value, json_value
from sandbox.functions_host.supervisor import Input, Supervisor
from sandbox.functions_host.timers import Timer


class Admin:
    """Answers the admin API, and runs functions by hand."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        keys: Keys,
        supervisor: Supervisor,
        timers: Mapping[str, Timer],
    ) -> None:
        self._functions = functions
        self._keys = keys
        self._supervisor = supervisor
        self._timers = timers
        self._running: set[asyncio.Task[None]] = set()

    async def answer(self, request: Request) -> Response:
        """Answer one request to /admin/host/status, /admin/functions or /admin/functions/{name}."""
        if not shows_key(request, (self._keys.master,)):
            return Response(status_code=401)
        match request.method, request.scope["path"].strip("/").split("/")[1:]:
            case "GET", ["host", "status"]:
                return JSONResponse(
                    {"state": "Running", "workerRestarts": self._supervisor.restarts}
                )
            case "GET", ["functions"]:
                return JSONResponse([_describe(each) for each in self._functions.values()])
            case "POST", ["functions", name] if name in self._functions:
                return await self._start(name, request)
        return Response(status_code=404)

    async def fire(self, name: str, text: str = "") -> None:
        """Run a function with this input and wait for it; InvocationFailed when it raises."""
        function = self._functions.get(name)
        if function is None:
            raise HostError(f"there is no function {name!r}")
        if function.kind == TIMER:
            await self._timers[name].fire()
        elif function.kind == QUEUE:
            given = Input({"string": text}, _manual_message_metadata())
            await self._supervisor.invoke(function, given)
        elif function.kind == EVENT_GRID:
            await self._supervisor.invoke(function, Input({"json": text}))
        else:
            raise HostError(f"function {name!r} is called by its own URL")

    async def _start(self, name: str, request: Request) -> Response:
        try:
            body: Any = json.loads(await request.body() or b"{}")
            text = body.get("input", "")
        except (json.JSONDecodeError, AttributeError):
            return PlainTextResponse('the body must be {"input": "..."}', status_code=400)
        task = asyncio.create_task(self._fire_unseen(name, text))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return Response(status_code=202)

    async def _fire_unseen(self, name: str, text: str) -> None:
        # The caller has its 202 already; the supervisor has logged what went wrong.
        try:
            await self.fire(name, text)
        except InvocationFailed:
            return


def _describe(function: Function) -> dict[str, Any]:
    return {"name": function.name, "config": {"bindings": function.bindings}}


def _manual_message_metadata() -> dict[str, Value]:
    now = datetime.now(UTC)
    return {
        "Id": {"string": str(uuid.uuid4())},
        "DequeueCount": json_value(1),
        "InsertionTime": json_value(now.isoformat()),
        "ExpirationTime": json_value((now + timedelta(days=7)).isoformat()),
        "NextVisibleTime": json_value(now.isoformat()),
        "PopReceipt": {"string": ""},
    }
