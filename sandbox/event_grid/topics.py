"""Topics: where publishers send events, each behind its own key."""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.event_grid.schemas import Event, MalformedEvents, Schema, parse_events

MAX_REQUEST_BYTES = 1024 * 1024

Accept = Callable[["Topic", Sequence[Event]], Awaitable[None]]


@dataclass(frozen=True)
class Topic:
    """A custom topic, which signs its events itself, or a system topic, which passes theirs on."""

    name: str
    endpoint: str
    resource_id: str
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    system: bool = False

    def receive(self, fields: Mapping[str, Any], schema: Schema) -> Event:
        """Return the published event as an event of this topic."""
        own = self.resource_id
        if self.system and schema is Schema.EVENT_GRID:
            own = str(fields.get("topic") or own)
        if self.system and schema is Schema.CLOUD_EVENTS:
            own = str(fields["source"])
        return Event(schema, own, fields)


def create_publishing_app(topics: Mapping[str, Topic], accept: Accept) -> Starlette:
    """Return the HTTP side of the topics; `accept` takes the published events."""

    async def publish(request: Request) -> Response:
        topic = topics.get(request.path_params["name"])
        if topic is None:
            return _refusal(404, "NotFound", "there is no such topic")
        key = request.headers.get("aeg-sas-key", "")
        if not hmac.compare_digest(key.encode(), topic.key.encode()):
            return _refusal(401, "Unauthorized", "aeg-sas-key is not the key of this topic")
        body = await request.body()
        if len(body) > MAX_REQUEST_BYTES:
            return _refusal(413, "RequestEntityTooLarge", "events are limited to 1 MB in all")
        try:
            schema, found = parse_events(body, request.headers.get("content-type", ""))
        except MalformedEvents as error:
            return _refusal(400, "BadRequest", str(error))
        await accept(topic, [topic.receive(fields, schema) for fields in found])
        return Response(status_code=200)

    return Starlette(routes=[Route("/topics/{name}/api/events", publish, methods=["POST"])])


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)
