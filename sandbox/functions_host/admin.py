"""The admin API: what runs here, and running a function by hand."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sandbox.functions_host.bodies import BodyTooLarge, read_body
from sandbox.functions_host.errors import HostError, InvocationFailed
from sandbox.functions_host.functions import EVENT_GRID, QUEUE, TIMER, Function
from sandbox.functions_host.keys import Keys, refuse
from sandbox.functions_host.queue_metadata import manual_metadata
from sandbox.functions_host.supervisor import Input, Supervisor
from sandbox.functions_host.timers import Timer

_OPEN = (["host", "ping"], ["warmup"])


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
        path = request.scope["path"].strip("/").split("/")[1:]
        if path in _OPEN:
            return Response(status_code=200)
        known = (self._keys.function, self._keys.event_grid)
        if refusal := refuse(request, (self._keys.master,), known=known):
            return refusal
        match request.method, path:
            case "GET", ["host", "status"]:
                return JSONResponse(
                    {"state": "Running", "workerRestarts": self._supervisor.restarts}
                )
            case "GET", ["functions"]:
                return JSONResponse([_describe(each) for each in self._functions.values()])
            case "POST", ["functions", name] if function := self._find(name):
                return await self._start(function, request)
        return Response(status_code=404)

    async def fire(self, name: str, text: str = "") -> None:
        """Run a function with this input and wait for it; InvocationFailed when it raises."""
        function = self._functions.get(name)
        if function is None:
            raise HostError(f"there is no function {name!r}")
        if function.kind == TIMER:
            await self._timers[name].fire()
        elif function.kind == QUEUE:
            await self._supervisor.invoke(function, Input({"string": text}, manual_metadata(text)))
        elif function.kind == EVENT_GRID:
            await self._supervisor.invoke(function, Input({"json": text}))
        else:
            raise HostError(f"function {name!r} is called by its own URL")

    def _find(self, name: str) -> Function | None:
        """Return a function, its name in any case: here, unlike at the webhook."""
        functions = self._functions.values()
        return next((each for each in functions if each.name.casefold() == name.casefold()), None)

    async def _start(self, function: Function, request: Request) -> Response:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip()
        if media_type.casefold() != "application/json":
            return Response(status_code=415)
        try:
            body: Any = json.loads(await read_body(request))
            text = body.get("input", "")
        except BodyTooLarge as error:
            return error.response
        except (ValueError, AttributeError):
            return PlainTextResponse('the body must be {"input": "..."}', status_code=400)
        task = asyncio.create_task(self._fire_unseen(function.name, text))
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
