"""Messages that an action sends itself, because it starts nothing that would send them later."""

from collections.abc import Iterable

from shared.messages.notice import Text, notices_to
from shared.messages.outbox import Outbox


def tell_once(outbox: Outbox, channels: Iterable[str], text: Text) -> str:
    """Send a message to each channel; return in brackets what was not sent, "" if all was."""
    unsent = outbox.send(notices_to(channels, text))
    left = ", ".join(channel for notice in unsent.left for channel in notice.attempts)
    untold = unsent.given_up or (f"{left} did not take the message" if left else "")
    return f" ({untold})" if untold else ""
