"""Storage-queue trigger: the same events, where Event Grid delivers to a queue."""

import azure.functions as func

from handlers._binding import traceparent_of
from shared import telemetry
from shared.services import services

bp = func.Blueprint()


@bp.queue_trigger(
    arg_name="message", queue_name="workspace-events", connection="AzureWebJobsStorage"
)
def workspace_events(message: func.QueueMessage, context: func.Context) -> None:
    """React to the events in a message: one object or an array, in base64 or raw."""
    with telemetry.caused_by(traceparent_of(context)):
        services().react.react_to_body(message.get_body())
