"""Storage-queue trigger: a workspace's events, where Event Grid delivers to a queue, and alerts."""

import azure.functions as func

from handlers._binding import react_to_message
from shared.events.envelopes import OF_WORKSPACES

bp = func.Blueprint()


@bp.queue_trigger(
    arg_name="message", queue_name="workspace-events", connection="AzureWebJobsStorage"
)
def workspace_events(message: func.QueueMessage, context: func.Context) -> None:
    """React to the events in a message."""
    react_to_message(message, context, takes=OF_WORKSPACES)
