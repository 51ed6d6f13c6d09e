"""Azure storage queues. One request per call, except that a send that finds no queue creates it."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from shared.adapters.storage.account import storage_errors
from shared.adapters.storage.limits import VISIBILITY, delay_seconds, plain_message
from shared.base.lazy import Lazy
from shared.base.ports import Message

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient, QueueServiceClient

#: The most that one request can take.
_BATCH_MAX = 32
#: By default a message is deleted after a week in which nobody could take it.
_FOREVER = -1


class AzureQueues:
    """Queues of a storage account, safe to share between threads.

    Text is sent and received unencoded, as host.json tells the host to expect. Every method may
    raise StorageUnavailable and StorageDenied.
    """

    def __init__(self, connect: Callable[[], "QueueServiceClient"]) -> None:
        """Connect on first use."""
        self._service: Final = Lazy(connect)

    def send(self, queue: str, text: str, *, delay: timedelta = timedelta(0)) -> None:
        """Add a message, invisible for `delay` (at most 7 days; a longer one is cut to that)."""
        text = plain_message(text)
        client = self._client(queue)
        seconds = delay_seconds(delay)
        with storage_errors(f"sending to queue {queue}", self._service):
            try:
                client.send_message(text, visibility_timeout=seconds, time_to_live=_FOREVER)
            except ResourceNotFoundError:
                _create(client)
                client.send_message(text, visibility_timeout=seconds, time_to_live=_FOREVER)

    def receive(self, queue: str, *, most: int = 32) -> tuple[Message, ...]:
        """Take up to `most` messages, hidden from others for five minutes; () without a queue."""
        most = min(most, _BATCH_MAX)
        with storage_errors(f"receiving from queue {queue}", self._service):
            try:
                found = self._client(queue).receive_messages(
                    max_messages=most,
                    messages_per_page=most,
                    visibility_timeout=int(VISIBILITY.total_seconds()),
                )
                # Only one page, because the SDK's iterator would go on until the queue is empty.
                page = next(found.by_page(), ())
                return tuple(
                    Message(id=item.id, text=item.content, receipt=item.pop_receipt or "")
                    for item in page
                )
            except ResourceNotFoundError:
                return ()

    def peek(self, queue: str) -> str | None:
        """Return the text of the next message, and leave it; None where none is visible."""
        with storage_errors(f"looking at queue {queue}", self._service):
            try:
                found = self._client(queue).peek_messages(max_messages=1)
            except ResourceNotFoundError:
                return None
            return found[0].content if found else None

    def delete(self, queue: str, message: Message) -> None:
        """Delete a received message, gone or not; an outdated receipt deletes nothing."""
        with storage_errors(f"deleting from queue {queue}", self._service):
            try:
                self._client(queue).delete_message(message.id, message.receipt)
            except ResourceNotFoundError:
                return
            except HttpResponseError as error:
                if getattr(error, "error_code", None) != "PopReceiptMismatch":
                    raise

    def _client(self, queue: str) -> "QueueClient":
        return self._service().get_queue_client(queue)


def _create(client: "QueueClient") -> None:
    try:
        client.create_queue()
    except ResourceExistsError:
        return
