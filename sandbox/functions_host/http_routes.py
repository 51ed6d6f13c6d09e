"""HTTP triggers: from a request's path to a function, and from its answer to a response."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.functions_host.bodies import BodyTooLarge, read_body
from sandbox.functions_host.errors import HostError, InvocationFailed
from sandbox.functions_host.functions import HTTP, Function
from sandbox.functions_host.keys import Keys, refuse
from sandbox.functions_host.protocol import Value, bytes_value
from sandbox.functions_host.supervisor import Input, Supervisor
from sandbox.functions_host.trace_context import continue_trace

_PARAMETER = re.compile(r"\{(\*{0,2})(\w+)(?::(\w+))?(\?)?\}")
_CONSTRAINTS = {
    None: r"[^/]+",
    "alpha": r"[A-Za-z]+",
    "bool": r"[Tt]rue|[Ff]alse",
    "guid": r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}",
    "int": r"-?\d+",
    "long": r"-?\d+",
}


@dataclass(frozen=True)
class Route:
    """One HTTP function and the paths that lead to it."""

    function: Function
    pattern: re.Pattern[str]
    #: Lower goes first: literal segments before parameters, those before catch-alls.
    rank: tuple[int, ...]

    @property
    def methods(self) -> frozenset[str]:
        """Return the accepted methods; empty = every method."""
        return frozenset(map(str.upper, self.function.trigger.get("methods") or ()))

    @property
    def auth_level(self) -> str:
        """Return `anonymous`, `function` or `admin`."""
        return str(self.function.trigger.get("authLevel", "function")).lower()


class HttpRoutes:
    """Answers the requests that HTTP functions are there for."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        prefix: str,
        keys: Keys,
        supervisor: Supervisor,
    ) -> None:
        routes = (make_route(each, prefix) for each in functions.values() if each.kind == HTTP)
        self._routes = sorted(routes, key=lambda route: route.rank)
        self._keys = keys
        self._supervisor = supervisor

    async def answer(self, request: Request) -> Response:
        """Answer one request: 404 without a route, 401 without a key, 500 when it raised."""
        for route in self._routes:
            match = route.pattern.fullmatch(request.scope["path"].strip("/"))
            if match and (not route.methods or request.method in route.methods):
                return await self._call(route, match, request)
        return Response(status_code=404)

    async def _call(self, route: Route, match: re.Match[str], request: Request) -> Response:
        accepted = {
            "function": (self._keys.function, self._keys.master),
            "admin": (self._keys.master,),
        }
        if route.auth_level != "anonymous":
            refusal = refuse(request, accepted[route.auth_level])
            if refusal is not None:
                return refusal
        parameters = {name: text for name, text in match.groupdict().items() if text is not None}
        try:
            value = await _request_value(request, parameters)
        except BodyTooLarge as error:
            return error.response
        trace = continue_trace(request.headers)
        try:
            answer = await self._supervisor.invoke(route.function, Input(value, trace=trace))
        except InvocationFailed:
            # The real host gives the caller no reason; the log has it.
            return Response(status_code=500)
        return _response(answer)


def make_route(function: Function, prefix: str) -> Route:
    """Read a function's route template; HostError if it uses a feature that this host lacks."""
    template = function.trigger.get("route") or function.name
    segments = [segment for segment in (prefix + "/" + template).split("/") if segment]
    pattern, rank = "", []
    for segment in segments:
        parameter = _PARAMETER.fullmatch(segment)
        if parameter is None:
            if "{" in segment:
                raise HostError(f"function {function.name}: route segment {segment!r}")
            piece, optional = re.escape(segment), False
        else:
            piece, optional = _parameter_pattern(function, parameter)
        # The separator belongs to the segment, because both can be absent.
        piece = f"/{piece}" if pattern else piece
        pattern += f"(?:{piece})?" if optional else piece
        rank.append(0 if parameter is None else 2 if parameter[1] else 1)
    return Route(function, re.compile(pattern, re.IGNORECASE), tuple(rank))


def _parameter_pattern(function: Function, parameter: re.Match[str]) -> tuple[str, bool]:
    stars, name, constraint, optional = parameter.groups()
    if constraint not in _CONSTRAINTS:
        raise HostError(f"function {function.name}: route constraint {constraint!r} is not known")
    if stars:
        return f"(?P<{name}>.*)", True
    return f"(?P<{name}>{_CONSTRAINTS[constraint]})", optional is not None


async def _request_value(request: Request, parameters: Mapping[str, str]) -> Value:
    query = {name: ",".join(request.query_params.getlist(name)) for name in request.query_params}
    return {
        "http": {
            "method": request.method,
            "url": str(request.url),
            "headers": dict(request.headers),
            "params": parameters,
            "query": query,
            "body": bytes_value(await read_body(request)),
        }
    }


def _response(answer: Value | None) -> Response:
    if answer is None:
        return Response(status_code=204)
    ((kind, content),) = answer.items()
    if kind != "http":
        body = base64.b64decode(content) if kind == "bytes" else content
        return Response(body, media_type="text/plain")
    response = Response(_body(content["body"]), content["status_code"])
    for name, text in content["headers"].items():
        if name.lower() != "content-length":
            response.headers[name] = text
    for cookie in content["cookies"]:
        _set_cookie(response, cookie)
    return response


def _body(value: Value | None) -> bytes:
    return base64.b64decode(value["bytes"]) if value else b""


def _set_cookie(response: Response, cookie: Mapping[str, Any]) -> None:
    max_age, expires = cookie["max_age"], cookie["expires"]
    response.set_cookie(
        cookie["name"],
        cookie["value"],
        max_age=None if max_age is None else int(max_age),
        expires=None if expires is None else datetime.fromtimestamp(expires, UTC),
        path=cookie["path"] or "/",
        domain=cookie["domain"] or None,
        secure=bool(cookie["secure"]),
        httponly=bool(cookie["http_only"]),
        samesite=cookie["same_site"],
    )
