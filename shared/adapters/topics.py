"""Event Grid's custom topics, through azure-eventgrid: a topic's name leads to its app settings."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from shared.adapters.http import Http, is_https
from shared.adapters.identity import NoToken, Tokens
from shared.adapters.refusals import TOPIC, parse_retry_after, refusal
from shared.base.clock import Clock, SystemClock
from shared.base.errors import (
    SettingInvalid,
    SignalboxError,
    TopicDenied,
    TopicRefused,
    TopicUnknown,
    TopicUnreachable,
)
from shared.base.incoming import read_json
from shared.base.outgoing import for_event
from shared.base.ports import Publication

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential
    from azure.core.exceptions import HttpResponseError

_PREFIX = "SIGNALBOX_TOPIC_"
_PATH = "/api/events"
#: The audience of tokens for topics.
_AUDIENCE = "https://eventgrid.azure.net"
#: For one request, in seconds. A trigger has 20 in all.
_TIMEOUT = 10
#: Event Grid's limit for a request, and so for an event, in bytes.
EVENT_MAX = 1024 * 1024
#: The brackets and commas of an array, and the characters that the client writes otherwise.
_BESIDE = 4 * 1024


class TopicSchema(StrEnum):
    """The schemas of events, by the names that Azure has for them."""

    CLOUD_EVENTS = "CloudEventSchemaV1_0"
    EVENT_GRID = "EventGridSchema"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlace:
    """A topic as the app settings have it; with no key the app signs in as itself."""

    endpoint: str
    schema: TopicSchema
    key: str = ""


class EventGridTopics:
    """The topics that the app settings name, safe to share between threads.

    A topic's key is a secret: it is in no error and no log.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        credential: "Callable[[], TokenCredential]",
        *,
        http: Http | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Look topics up in these app settings, when they are used."""
        self._environ: Final = environ
        self._tokens: Final = Tokens(credential, _AUDIENCE)
        self._http: Final = http or Http()
        self._clock: Final = clock or SystemClock()

    def publish(self, topic: str, events: Sequence[Publication]) -> None:
        """Publish the events, in as few requests as their size allows.

        Raises: SettingInvalid, and any TopicError.
        """
        place = find_place(self._environ, topic)
        doing = f"publish on topic {topic!r}"
        for batch in in_batches(events, place.schema, doing):
            self._send(place, batch, doing)

    def _send(self, place: TopicPlace, batch: list[dict[str, Any]], doing: str) -> None:
        from azure.core.credentials import AzureKeyCredential
        from azure.core.exceptions import AzureError, HttpResponseError
        from azure.eventgrid import EventGridPublisherClient

        from shared.adapters.requests_adapter import Carrier, carried

        credential: Any = AzureKeyCredential(place.key) if place.key else self._signed_in(doing)
        # The client warns for each event that the options below are no attributes of it.
        logging.getLogger("azure.eventgrid").setLevel(logging.ERROR)
        # The client (4.22) drops a transport and options that it is given when it is made.
        carrier = Carrier(lambda _: self._http, seconds=lambda: _TIMEOUT)
        with carried(carrier), EventGridPublisherClient(place.endpoint, credential) as client:
            try:
                # A letter tries again, after as long a wait as the topic asks for.
                client.send(batch, retry_total=0, permit_redirects=False)
            except HttpResponseError as error:
                # The client raises another error for 404, without the answer.
                cause = error.__cause__
                refused = cause if isinstance(cause, HttpResponseError) else error
                raise self._refusal(refused, place, doing) from None
            except AzureError as error:
                kind = type(error).__name__
                raise TopicUnreachable(f"{doing}: no answer ({kind})") from None

    def _signed_in(self, doing: str) -> "_SignedIn":
        try:
            return _SignedIn(self._tokens.get())
        except NoToken as error:
            kind = TopicDenied if error.is_denied else TopicUnreachable
            raise kind(f"{doing}: {error}") from error

    def _refusal(self, error: "HttpResponseError", place: TopicPlace, doing: str) -> SignalboxError:
        status = error.status_code or 0
        answer: Any = error.response
        if status == 401:
            self._tokens.forget()
        headers = {} if answer is None else {str(k).lower(): v for k, v in answer.headers.items()}
        wait = parse_retry_after(headers, self._clock)
        document = {} if answer is None else _parse_refusal(answer.body(), place.key)
        return refusal(TOPIC, doing, status, document, retry_after=wait)


class _SignedIn:
    """A credential of azure-core with a token that is there already."""

    def __init__(self, token: str) -> None:
        self._token: Final = token

    def get_token(self, *_: str, **__: Any) -> "AccessToken":
        from azure.core.credentials import AccessToken

        return AccessToken(self._token, int(time.time()) + 600)


def topic_setting(topic: str) -> str:
    """Return the name of the app setting that holds the topic's endpoint."""
    return _PREFIX + topic.upper().replace("-", "_")


def find_place(environ: Mapping[str, str], topic: str) -> TopicPlace:
    """Return the topic as the app settings have it.

    Raises: TopicUnknown, and SettingInvalid. No value of a setting is in the message.
    """
    setting = topic_setting(topic)
    endpoint = environ.get(setting, "").strip()
    if not endpoint:
        raise TopicUnknown(f"no topic {topic!r}: {setting} is not set")
    fault = _find_fault(endpoint)
    if fault:
        raise SettingInvalid(f"{setting} {fault}", hint=TopicUnknown.default_hint)
    name = f"{setting}_SCHEMA"
    schema = environ.get(name, "").strip() or TopicSchema.CLOUD_EVENTS
    if schema not in set(TopicSchema):
        raise SettingInvalid(
            f"{name} names no schema", hint=f"{name} takes {' or '.join(TopicSchema)}."
        )
    return TopicPlace(
        endpoint=endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH,
        schema=TopicSchema(schema),
        key=environ.get(f"{setting}_KEY", "").strip(),
    )


def find_topic_fault(environ: Mapping[str, str], topic: str) -> tuple[str, str] | None:
    """Return the fault of a topic's app settings and how to correct it, or None.

    Nothing is sent, and nothing of a setting's value is returned.
    """
    setting = topic_setting(topic)
    if environ.get(setting, "").strip().startswith("@Microsoft.KeyVault("):
        return None  # the platform puts the vault's value in its place
    try:
        find_place(environ, topic)
    except TopicUnknown:
        return f"the app setting `{setting}` is not set", f"Set it to the endpoint of '{topic}'."
    except SettingInvalid as error:
        name, _, fault = error.message.partition(" ")
        return f"the app setting `{name}` {fault}", error.hint
    return None


def _find_fault(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "is no address"
    if not is_https(endpoint) or not is_whole:
        return "is no https:// address"
    if parts.username is not None or parts.query or parts.fragment:
        return "has more in it than the address of a topic"
    return ""


def written_as(event: Publication, schema: TopicSchema) -> dict[str, Any]:
    """Return an event as the schema has it, without secrets; Event Grid sets the topic itself."""
    common = {"id": event.id, "subject": event.subject, "data": for_event(event.data)}
    at = event.time.isoformat()
    if schema is TopicSchema.EVENT_GRID:
        return {**common, "eventType": event.type, "eventTime": at, "dataVersion": "1"}
    return {
        **common,
        "specversion": "1.0",
        "type": event.type,
        "source": event.source,
        "time": at,
        "datacontenttype": "application/json",
    }


def in_batches(
    events: Sequence[Publication], schema: TopicSchema, doing: str
) -> Iterator[list[dict[str, Any]]]:
    """Yield the events as the schema has them, as many at a time as one request may have.

    Raises: TopicRefused, before the first batch, for an event that is too long for any.
    """
    sized = []
    for event in events:
        written = written_as(event, schema)
        size = len(json.dumps(written))
        if size > EVENT_MAX - _BESIDE:
            raise TopicRefused(
                f"{doing}: event {event.type} has {size:,} bytes, and Event Grid takes"
                f" {EVENT_MAX:,} at the most",
                hint="Leave something out of `data:`, or name the place where it is.",
            )
        sized.append((written, size + len(", ")))
    batch: list[dict[str, Any]] = []
    left = EVENT_MAX - _BESIDE
    for written, size in sized:
        if batch and size > left:
            yield batch
            batch, left = [], EVENT_MAX - _BESIDE
        batch.append(written)
        left -= size
    if batch:
        yield batch


def _parse_refusal(body: bytes, key: str) -> Any:
    try:
        text = body.decode(errors="replace")
        return read_json(text.replace(key, "[redacted]") if key else text)
    except ValueError:
        return {}
