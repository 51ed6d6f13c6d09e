"""What the Event Grid binding hands over, as the envelope that arrived."""

from typing import Any

import azure.functions as func

from shared import services, telemetry


def react(event: func.EventGridEvent | func.CloudEvent, context: func.Context) -> None:
    """React to an event that came through an Event Grid trigger.

    Raises: what keeps the event from being recorded, so that Event Grid delivers it again.
    """
    with telemetry.caused_by(traceparent_of(context)):
        services.services().react.react(envelope_of(event))


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
