"""The Event Grid webhook: the handshakes, and one invocation per delivered event."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sandbox.functions_host import newtonsoft
from sandbox.functions_host.bodies import BodyTooLarge, read_body
from sandbox.functions_host.errors import InvocationFailed
from sandbox.functions_host.functions import EVENT_GRID, Function, find_function
from sandbox.functions_host.keys import Keys, refuse
from sandbox.functions_host.supervisor import Input, Supervisor
from sandbox.functions_host.trace_context import continue_trace

#: The origin that Event Grid may call from, in every answer.
_ORIGIN = "eventgrid.azure.net"
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "OPTIONS"})


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
        if request.method not in _METHODS:
            return Response(status_code=404)
        accepted = (self._keys.event_grid, self._keys.master)
        if refusal := refuse(request, accepted, known=(self._keys.function,)):
            return refusal
        name = request.query_params.get("functionName", "")
        function = find_function(self._functions, name, EVENT_GRID)
        if function is None:
            return PlainTextResponse(f"cannot find function: '{name}'", status_code=404)
        if request.method == "OPTIONS":
            return Response(headers={"Webhook-Allowed-Origin": _ORIGIN})
        try:
            return await self._answer_delivery(function, request)
        except BodyTooLarge as error:
            return error.response
        except ValueError:
            # Not a 400, after which Event Grid would not come again.
            return Response(status_code=500)

    async def answer_other(self, request: Request) -> Response:
        """Answer a request to the webhook of an extension that this app has not."""
        known = (self._keys.function, self._keys.event_grid)
        refusal = refuse(request, (self._keys.master,), known=known)
        return refusal or Response(status_code=404)

    async def _answer_delivery(self, function: Function, request: Request) -> Response:
        match request.headers.get("aeg-event-type", "").casefold():
            case "notification":
                trace = continue_trace(request.headers)
                return await self._notify(function, await _read_events(request), trace)
            case "subscriptionvalidation":
                return _answer_handshake(await _read_events(request))
            case "unsubscribe":
                return Response(status_code=202)
            case _:
                return Response(status_code=400)

    async def _notify(
        self, function: Function, events: list[dict[str, Any]], trace: Mapping[str, str]
    ) -> Response:
        outcomes = await asyncio.gather(
            *(
                self._supervisor.invoke(
                    function, Input({"json": newtonsoft.write(event)}, trace=trace)
                )
                for event in events
            ),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, InvocationFailed):
                return PlainTextResponse(outcome.public_text(function.name), status_code=500)
            if isinstance(outcome, BaseException):
                raise outcome
        return Response(status_code=202)


def _answer_handshake(events: list[dict[str, Any]]) -> Response:
    data = events[0].get("data") if events else None
    if not isinstance(data, dict):
        raise ValueError("a handshake without data")  # noqa: TRY004 - of what was sent
    answer = newtonsoft.write({"validationResponse": data.get("validationCode")})
    return PlainTextResponse(answer)


async def _read_events(request: Request) -> list[dict[str, Any]]:
    """Return the objects of a body; ValueError if it is neither an object nor an array of them."""
    content = await read_body(request)
    value = newtonsoft.read(_decode(content, request.headers.get("content-type", "")))
    events = value if isinstance(value, list) else [value]
    if not all(isinstance(event, dict) for event in events):
        raise ValueError("no object, nor an array of them")
    return events


def _decode(content: bytes, content_type: str) -> str:
    _, _, charset = content_type.partition("charset=")
    try:
        return content.decode(charset.partition(";")[0].strip(' "') or "utf-8", errors="replace")
    except LookupError:
        raise ValueError("an unknown charset") from None
