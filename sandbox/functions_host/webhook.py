"""The Event Grid webhook: the handshakes, and one invocation per delivered event."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sandbox.functions_host.errors import InvocationFailed
from sandbox.functions_host.functions import EVENT_GRID, Function, find_function
from sandbox.functions_host.keys import Keys, shows_key
from sandbox.functions_host.protocol import json_value
from sandbox.functions_host.supervisor import Input, Supervisor
from sandbox.functions_host.trace_context import continue_trace


class EventGridWebhook:
    """Answers what Event Grid sends to the app."""

    def __init__(
        self, functions: Mapping[str, Function], keys: Keys, supervisor: Supervisor
    ) -> None:
        self._functions = functions
        self._keys = keys
        self._supervisor = supervisor

    async def answer(self, request: Request) -> Response:
        """Answer one request: 202 when every event's function succeeded, 500 when any failed."""
        if not shows_key(request, (self._keys.event_grid, self._keys.master)):
            return Response(status_code=401)
        name = request.query_params.get("functionName", "")
        function = find_function(self._functions, name, EVENT_GRID)
        if function is None:
            return PlainTextResponse(f"cannot find function: '{name}'", status_code=404)
        if request.method == "OPTIONS":
            return _answer_cloud_events_handshake(request)
        if request.method != "POST":
            return Response(status_code=405)
        try:
            return await self._answer_post(function, request)
        except (json.JSONDecodeError, UnicodeDecodeError, LookupError, TypeError) as error:
            return PlainTextResponse(f"malformed body: {error!r}", status_code=400)

    async def _answer_post(self, function: Function, request: Request) -> Response:
        match request.headers.get("aeg-event-type", "").casefold():
            case "notification":
                trace = continue_trace(request.headers)
                return await self._notify(function, await request.json(), trace)
            case "subscriptionvalidation":
                code = (await request.json())[0]["data"]["validationCode"]
                return JSONResponse({"validationResponse": code})
            case "subscriptiondeletion" | "unsubscribe":
                return Response(status_code=202)
            case unknown:
                return PlainTextResponse(f"unknown aeg-event-type {unknown!r}", status_code=400)

    async def _notify(self, function: Function, body: Any, trace: Mapping[str, str]) -> Response:
        events = body if isinstance(body, list) else [body]
        outcomes = await asyncio.gather(
            *(
                self._supervisor.invoke(function, Input(json_value(event), trace=trace))
                for event in events
            ),
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if not isinstance(failure, InvocationFailed):
                raise failure
        if failures:
            return PlainTextResponse("; ".join(map(str, failures)), status_code=500)
        return Response(status_code=202)


def _answer_cloud_events_handshake(request: Request) -> Response:
    origin = request.headers.get("WebHook-Request-Origin")
    if origin is None:
        return PlainTextResponse("WebHook-Request-Origin is missing", status_code=400)
    return Response(headers={"WebHook-Allowed-Origin": origin})
