"""Makes the envelope that arrived from the event of the Event Grid binding."""

import json
from typing import Any

import azure.functions as func

from shared import services
from shared.base import telemetry
from shared.events.envelopes import Taken

_COUNT = "dequeuecount"


def react(
    event: func.EventGridEvent | func.CloudEvent, context: func.Context, *, takes: frozenset[Taken]
) -> None:
    """React to an event of these types that came through an Event Grid trigger.

    Raises: StorageUnavailable; Event Grid then delivers the event again.
    """
    with telemetry.caused_by(traceparent_of(context)):
        services.services().react.react(envelope_of(event), takes=takes)


def react_to_message(
    message: func.QueueMessage, context: func.Context, *, takes: frozenset[Taken]
) -> None:
    """React to the events of these types in a message: one object or an array, in base64 or raw.

    Raises: StorageUnavailable; the message must then stay in its queue.
    """
    with telemetry.caused_by(traceparent_of(context)):
        count = _count_of(message)
        services.services().react.react_to_body(
            message.get_body(), takes=takes, is_again=count is None or count > 1
        )


def is_redelivered(message: func.QueueMessage) -> bool:
    """Say whether the queue is known to have handed out this message before."""
    return (_count_of(message) or 0) > 1


def _count_of(message: func.QueueMessage) -> int | None:
    """Return how often the queue has handed out this message; None where that is not known.

    The host puts the members of a message that is a JSON object before what it knows of the message
    itself. A count that the message brought along, which none of ours does, is nobody's.
    """
    try:
        content = json.loads(message.get_body())
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and any(name.lower() == _COUNT for name in content):
        return None
    return message.dequeue_count or 0


def traceparent_of(context: func.Context) -> str:
    """Return the trace in which the host runs this function; "" where it told none.

    The worker (1.3.0) sets it on its event loop, and runs functions on threads that don't have it.
    """
    return context.trace_context.trace_parent or ""


def envelope_of(event: func.EventGridEvent | func.CloudEvent) -> dict[str, Any]:
    """Return the envelope in the schema in which it arrived; the worker has parsed it already."""
    if isinstance(event, func.CloudEvent):
        return {
            "specversion": event.specversion,
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "subject": event.subject,
            "time": event.time.isoformat() if event.time else None,
            "data": event.get_json(),
        }
    return {
        "id": event.id,
        "topic": event.topic,
        "subject": event.subject,
        "eventType": event.event_type,
        "eventTime": event.event_time.isoformat() if event.event_time else None,
        "dataVersion": event.data_version,
        "data": event.get_json(),
    }
