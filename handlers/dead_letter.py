"""Storage-queue trigger: a letter is due."""

import azure.functions as func

from handlers._binding import is_redelivered
from shared.services import services

bp = func.Blueprint()


@bp.queue_trigger(arg_name="message", queue_name="dead-letter", connection="AzureWebJobsStorage")
def dead_letter(message: func.QueueMessage) -> None:
    """Replay the letter that the message names, if it is that letter's turn."""
    app = services()
    letter = app.dead_letters.due(
        message.get_body().decode(errors="replace"), redelivered=is_redelivered(message)
    )
    if letter is not None:
        app.react.replay(letter)
