"""Storage-queue trigger: a tick of a rollout is due."""

import azure.functions as func

from handlers._binding import is_redelivered
from shared.services import services

bp = func.Blueprint()


@bp.queue_trigger(arg_name="message", queue_name="rollouts", connection="AzureWebJobsStorage")
def rollouts(message: func.QueueMessage) -> None:
    """Advance the rollout that the message names by one tick."""
    services().rollouts.advance(
        message.get_body().decode(errors="replace"), redelivered=is_redelivered(message)
    )
