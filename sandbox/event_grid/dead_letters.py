"""Dead letters: undeliverable events, written to blobs as Event Grid writes them."""

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.storage.blob import BlobServiceClient

from sandbox.event_grid.retry import Answer
from sandbox.event_grid.schemas import Event, Schema
from sandbox.event_grid.subscriptions import BlobContainer, Subscription


@dataclass(frozen=True)
class Failure:
    """The facts of an event that could not be delivered."""

    reason: str
    attempts: int
    last_answer: Answer
    published: datetime
    last_attempted: datetime


def write_dead_letter(
    container: BlobContainer, event: Event, subscription: Subscription, failure: Failure
) -> str:
    """Write one blob and return its name in the container; storage's errors pass through."""
    name = _name_blob(subscription.name, datetime.now(UTC))
    content = json.dumps([_describe(event, subscription.schema, failure)])
    with BlobServiceClient.from_connection_string(
        container.connection_string, retry_total=0
    ) as service:
        service.get_blob_client(container.container, name).upload_blob(content)
    return name


def _name_blob(subscription_name: str, now: datetime) -> str:
    date = f"{now.year}/{now.month}/{now.day}/{now.hour}"
    return f"{subscription_name.upper()}/{date}/{uuid.uuid4()}.json"


def _describe(event: Event, schema: Schema, failure: Failure) -> dict[str, Any]:
    facts = {
        "deadLetterReason": failure.reason,
        "deliveryAttempts": failure.attempts,
        "lastDeliveryOutcome": failure.last_answer.outcome.value,
        "publishTime": _write_time(failure.published),
        "lastDeliveryAttemptTime": _write_time(failure.last_attempted),
    }
    if failure.last_answer.status is not None:
        facts["lastHttpStatusCode"] = failure.last_answer.status
    if schema is Schema.CLOUD_EVENTS:
        facts = {name.lower(): value for name, value in facts.items()}
    return {**event.written_as(schema), **facts}


def _write_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
