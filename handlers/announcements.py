"""Storage-queue trigger: announcements for other systems are to be published.

The app has it only if a setting names a topic for them, because even an idle queue is looked at.
"""

import azure.functions as func

from shared.services import services

bp = func.Blueprint()


@bp.queue_trigger(arg_name="message", queue_name="announcements", connection="AzureWebJobsStorage")
def announcements(message: func.QueueMessage) -> None:
    """Publish the announcements of the message."""
    services().announcement_publisher.publish(message.get_body().decode(errors="replace"))
