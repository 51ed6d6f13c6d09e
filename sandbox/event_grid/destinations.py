"""Destinations: handing one event to a webhook or a storage queue, and a webhook's handshake."""

import asyncio
import base64
import json
import socket
import uuid
from datetime import UTC, datetime
from functools import lru_cache

import httpx
from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.queue import QueueClient

from sandbox.event_grid.retry import Answer, Outcome
from sandbox.event_grid.schemas import (
    CLOUD_EVENT,
    EVENT_GRID_EVENTS,
    METADATA_VERSION,
    Event,
    Schema,
)
from sandbox.event_grid.subscriptions import StorageQueue, Subscription, Webhook
from sandbox.event_grid.webhooks import Webhooks

ORIGIN = "eventgrid.azure.net"
MAX_QUEUE_MESSAGE_BYTES = 64 * 1024

_VALIDATION_TYPE = "Microsoft.EventGrid.SubscriptionValidationEvent"


class HandshakeFailed(RuntimeError):
    """The webhook did not prove that it wants events; the message has its answer."""


async def hand_over(
    event: Event,
    subscription: Subscription,
    attempt: int,
    webhooks: Webhooks,
    timeout: float,
) -> Answer:
    """Make one attempt, the first being number 1, and return the destination's answer.

    A webhook has `timeout` seconds to answer.
    """
    if isinstance(subscription.destination, StorageQueue):
        message = json.dumps(event.written_as(subscription.schema))
        return await asyncio.to_thread(_put_into_queue, message, subscription.destination)
    content, headers = _write_notification(event, subscription, attempt)
    url = subscription.destination.url
    try:
        async with asyncio.timeout(timeout):
            status = await webhooks.post(url, headers, content)
    except TimeoutError:
        return Answer(Outcome.TIMED_OUT)
    except socket.gaierror:
        return Answer(Outcome.RESOLUTION_ERROR)
    except (OSError, asyncio.IncompleteReadError):
        return Answer(Outcome.SOCKET_ERROR)
    return Answer.of_status(status)


async def shake_hands(subscription: Subscription, client: httpx.AsyncClient) -> None:
    """Return when the webhook agrees to receive events, or raise HandshakeFailed."""
    if not isinstance(subscription.destination, Webhook):
        return
    url = subscription.destination.url
    try:
        if subscription.schema is Schema.CLOUD_EVENTS:
            await _ask_for_origin(url, client)
        else:
            await _ask_for_code(url, subscription, client)
    except httpx.HTTPError as error:
        raise HandshakeFailed(f"no answer to the handshake from {url}: {error!r}") from error


def _write_notification(
    event: Event, subscription: Subscription, attempt: int
) -> tuple[bytes, dict[str, str]]:
    written = event.written_as(subscription.schema)
    headers = {
        "aeg-event-type": "Notification",
        "aeg-subscription-name": subscription.name.upper(),
        "aeg-delivery-count": str(attempt - 1),
        "aeg-output-event-id": event.id,
        "aeg-data-version": event.data_version,
        "aeg-metadata-version": METADATA_VERSION,
    }
    if subscription.schema is Schema.CLOUD_EVENTS:
        headers["content-type"] = f"{CLOUD_EVENT}; charset=utf-8"
        return json.dumps(written).encode(), headers
    headers["content-type"] = f"{EVENT_GRID_EVENTS}; charset=utf-8"
    return json.dumps([written]).encode(), headers


async def _ask_for_code(url: str, subscription: Subscription, client: httpx.AsyncClient) -> None:
    code = str(uuid.uuid4())
    event = {
        "id": str(uuid.uuid4()),
        "topic": subscription.topic,
        "subject": "",
        "eventType": _VALIDATION_TYPE,
        "eventTime": datetime.now(UTC).isoformat(),
        "data": {"validationCode": code},
        "dataVersion": "1",
        "metadataVersion": METADATA_VERSION,
    }
    headers = {
        "aeg-event-type": "SubscriptionValidation",
        "aeg-subscription-name": subscription.name.upper(),
        "aeg-delivery-count": "0",
    }
    response = await client.post(url, json=[event], headers=headers)
    if not response.is_success or _read_validation_response(response) != code:
        raise HandshakeFailed(
            f"{url} answered the validation event with {response.status_code} "
            f"{response.text[:200]!r}, not with its code"
        )


def _read_validation_response(response: httpx.Response) -> object:
    try:
        content = response.json()
    except ValueError:
        return None
    return content.get("validationResponse") if isinstance(content, dict) else None


async def _ask_for_origin(url: str, client: httpx.AsyncClient) -> None:
    response = await client.options(url, headers={"WebHook-Request-Origin": ORIGIN})
    allowed = response.headers.get("WebHook-Allowed-Origin")
    if not response.is_success or allowed not in {"*", ORIGIN}:
        raise HandshakeFailed(
            f"{url} answered OPTIONS with {response.status_code} and allowed {allowed!r}"
        )


def _put_into_queue(content: str, destination: StorageQueue) -> Answer:
    message = base64.b64encode(content.encode()).decode()
    if len(message) > MAX_QUEUE_MESSAGE_BYTES:
        return Answer(Outcome.PAYLOAD_TOO_LARGE, 413)
    try:
        _queue_client(destination).send_message(message)
    except HttpResponseError as error:
        return Answer.of_status(error.status_code or 500)
    except AzureError:
        return Answer(Outcome.SOCKET_ERROR)
    return Answer.of_status(201)


@lru_cache(maxsize=32)
def _queue_client(destination: StorageQueue) -> QueueClient:
    # The client's own retries are off: each of its tries would be an attempt that no log shows.
    return QueueClient.from_connection_string(
        destination.connection_string, destination.queue, retry_total=0
    )
