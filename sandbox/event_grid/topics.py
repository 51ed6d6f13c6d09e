"""Topics: where publishers send events, each behind its own key or a token of Microsoft Entra."""

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
from sandbox.workspace.arm import ArmError
from sandbox.workspace.identity import check_token

MAX_REQUEST_BYTES = 1024 * 1024
API_VERSION = "2018-01-01"
#: The audience of a token of somebody who may publish.
AUDIENCE = "https://eventgrid.azure.net"

#: The names of schemas in the header of an answer to OPTIONS.
_INPUT_SCHEMAS = {Schema.EVENT_GRID: "EventGridEvent", Schema.CLOUD_EVENTS: "CloudEventV10"}

Accept = Callable[["Topic", Sequence[Event]], Awaitable[None]]


@dataclass(frozen=True)
class Topic:
    """A custom topic, which signs its events itself, or a system topic, which passes theirs on.

    `schema` is the only one that the topic takes; None takes either. `secure_endpoint` is "" where
    the Event Grid has no https.
    """

    name: str
    endpoint: str
    resource_id: str
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    system: bool = False
    schema: Schema | None = None
    secure_endpoint: str = ""

    def receive(self, fields: Mapping[str, Any], schema: Schema) -> Event:
        """Return the published event as an event of this topic."""
        own = self.resource_id
        if self.system and schema is Schema.EVENT_GRID:
            own = str(fields.get("topic") or own)
        if self.system and schema is Schema.CLOUD_EVENTS:
            own = str(fields["source"])
        return Event(schema, own, fields)


@dataclass(frozen=True)
class Refusal:
    """An answer that a topic gives in place of taking events; `retry_after` is in seconds."""

    status: int
    code: str
    message: str
    retry_after: int | None = None

    def respond(self) -> Response:
        """Return it as Event Grid writes it."""
        detail = {"code": self.code, "message": self.message}
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        body = {"error": {**detail, "details": [detail]}}
        return JSONResponse(body, status_code=self.status, headers=headers)


class Topics:
    """The topics by name, the events that were published on each, and answers that are forced."""

    def __init__(self) -> None:
        self.by_name: dict[str, Topic] = {}
        self.published: dict[str, list[Event]] = {}
        self._forced: dict[str, list[Refusal]] = {}

    def add(self, topic: Topic) -> None:
        """Add a topic, or put it in the place of the one with its name."""
        self.by_name[topic.name] = topic
        self.published.setdefault(topic.name, [])

    def refuse(self, name: str, refusal: Refusal, times: int) -> None:
        """Give this answer to the next publishers, so many times."""
        self._forced[name] = [refusal] * times

    def find_refusal(self, name: str) -> Refusal | None:
        """Return the answer that is forced on this publisher, once."""
        forced = self._forced.get(name)
        return forced.pop() if forced else None


def create_publishing_app(topics: Topics, accept: Accept) -> Starlette:
    """Return the HTTP side of the topics; `accept` takes the published events.

    Two routes are not Azure's: they list the topics, and the events published on one.
    """

    async def publish(request: Request) -> Response:
        topic = topics.by_name.get(request.path_params["name"])
        refusal = await _find_refusal(topics, topic, request)
        if refusal is not None or topic is None:
            return (refusal or _NOT_FOUND).respond()
        if request.method == "OPTIONS":
            schema = _INPUT_SCHEMAS.get(topic.schema or Schema.EVENT_GRID, "")
            return Response(
                status_code=200, headers={"Allow": "POST,OPTIONS", "aeg-input-event-schema": schema}
            )
        body = await request.body()
        if len(body) > MAX_REQUEST_BYTES:
            return _TOO_LARGE.respond()
        try:
            schema, found = parse_events(body, request.headers.get("content-type", ""))
        except MalformedEvents as error:
            return Refusal(400, "BadRequest", str(error)).respond()
        if topic.schema not in (None, schema):
            wanted = f"this topic takes events of schema {topic.schema} only"
            return Refusal(400, "BadRequest", wanted).respond()
        await accept(topic, [topic.receive(fields, schema) for fields in found])
        return Response(status_code=200)

    async def list_topics(request: Request) -> Response:
        return JSONResponse(
            {name: len(events) for name, events in topics.published.items()},
        )

    async def list_events(request: Request) -> Response:
        events = topics.published.get(request.path_params["name"])
        if events is None:
            return _NOT_FOUND.respond()
        return JSONResponse([event.written_as(event.schema) for event in list(events)])

    return Starlette(
        routes=[
            Route("/topics", list_topics, methods=["GET"]),
            Route("/topics/{name}/events", list_events, methods=["GET"]),
            Route("/topics/{name}/api/events", publish, methods=["POST", "OPTIONS"]),
        ]
    )


_NOT_FOUND = Refusal(404, "NotFound", "there is no such topic")
_TOO_LARGE = Refusal(413, "RequestEntityTooLarge", "events are limited to 1 MB in all")


async def _find_refusal(topics: Topics, topic: Topic | None, request: Request) -> Refusal | None:
    if topic is None:
        return _NOT_FOUND
    version = request.query_params.get("api-version")
    if version != API_VERSION and not topic.system:
        return Refusal(400, "BadRequest", f"the api-version is {version!r}, not {API_VERSION}")
    key = request.headers.get("aeg-sas-key")
    if key is not None or "authorization" not in request.headers:
        if not hmac.compare_digest((key or "").encode(), topic.key.encode()):
            return Refusal(401, "Unauthorized", "aeg-sas-key is not the key of this topic")
    else:
        try:
            check_token(request.headers["authorization"], (AUDIENCE,))
        except ArmError as error:
            return Refusal(401, "Unauthorized", str(error))
    return topics.find_refusal(topic.name)
