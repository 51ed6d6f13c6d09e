"""Storage-queue trigger: drift that a check of one's own tells of, through a custom topic."""

import azure.functions as func

from handlers._binding import react_to_message
from shared.events.envelopes import OF_CHECKS

bp = func.Blueprint()


@bp.queue_trigger(arg_name="message", queue_name="drift-events", connection="AzureWebJobsStorage")
def drift_events(message: func.QueueMessage, context: func.Context) -> None:
    """React to the events in a message."""
    react_to_message(message, context, takes=OF_CHECKS)
