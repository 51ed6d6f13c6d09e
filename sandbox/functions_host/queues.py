"""Queue triggers: poll a storage queue, run the function, delete, release or bury the message."""

import asyncio
import base64
import binascii
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.queue import LinearRetry, QueueClient, QueueMessage

from sandbox.functions_host.errors import HostError, InvocationFailed, WorkerExited
from sandbox.functions_host.functions import QUEUE, Function
from sandbox.functions_host.host_json import QueueOptions
from sandbox.functions_host.queue_metadata import message_metadata
from sandbox.functions_host.settings import connection_string, resolve
from sandbox.functions_host.supervisor import Input, Supervisor

#: An empty queue is asked again after this long, then twice as long, up to maxPollingInterval.
FIRST_POLLING_INTERVAL = timedelta(milliseconds=100)
#: No more threads than the storage client keeps connections.
_THREADS = 10

_logger = logging.getLogger(__name__)


@dataclass
class Held:
    """A message that this host works on; its receipt changes whenever the lease is renewed."""

    message: QueueMessage

    @property
    def attempt(self) -> int:
        """Return which attempt this is, the first being 1."""
        return self.message.dequeue_count or 0


class QueueListener:
    """Feeds one function from its queue."""

    def __init__(
        self,
        function: Function,
        settings: Mapping[str, str],
        options: QueueOptions,
        lease: timedelta,
        supervisor: Supervisor,
    ) -> None:
        queue = resolve(function.trigger["queueName"], settings).lower()
        connection = connection_string(function.trigger.get("connection"), settings)
        retry = LinearRetry(backoff=1, retry_total=2, random_jitter_range=0)
        try:
            self._queue, self._poison = (
                QueueClient.from_connection_string(connection, name, retry_policy=retry)
                for name in (queue, f"{queue}-poison")
            )
        except ValueError:
            setting = function.trigger.get("connection") or "AzureWebJobsStorage"
            raise HostError(f"app setting {setting!r} is no storage connection string") from None
        self._function = function
        self._options = options
        self._lease_seconds = max(1, math.ceil(lease.total_seconds()))
        self._supervisor = supervisor
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"queue-{queue}")
        self._tasks: set[asyncio.Task[None]] = set()
        self._let_go = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def held(self) -> int:
        """Return how many messages are being worked on."""
        return len(self._tasks)

    async def run(self) -> None:
        """Poll until stop_polling() is called."""
        interval = FIRST_POLLING_INTERVAL
        while await self._has_room():
            messages = await self._receive()
            for message in messages:
                self._take(Held(message))
            if messages:
                interval = FIRST_POLLING_INTERVAL
                continue
            interval = min(interval, self._options.max_polling_interval)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), interval.total_seconds())
            interval *= 2

    def stop_polling(self) -> None:
        """Let run() end. It is not cancelled: a batch on its way would be hidden from everyone."""
        self._stopping.set()
        self._let_go.set()

    async def drain(self, limit: timedelta) -> None:
        """Wait until the messages that are being worked on are settled, but no longer than this."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit.total_seconds())

    async def close(self) -> None:
        """Let go of every message, once the worker has ended; unsettled ones stay leased."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.to_thread(self._threads.shutdown)
        self._queue.close()
        self._poison.close()

    async def _has_room(self) -> bool:
        while self.held > self._options.new_batch_threshold and not self._stopping.is_set():
            self._let_go.clear()
            await self._let_go.wait()
        return not self._stopping.is_set()

    def _take(self, held: Held) -> None:
        work = self._release(held, 0) if self._stopping.is_set() else self._work_on(held)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._let_go.set()
        if not task.cancelled() and (error := task.exception()):
            # The message comes back when its lease ends.
            _logger.error("%s: could not settle a message", self._function.name, exc_info=error)

    async def _receive(self) -> list[QueueMessage]:
        def first_page() -> list[QueueMessage]:
            size = self._options.batch_size
            # Polling again is the retry.
            pages = self._queue.receive_messages(
                messages_per_page=size, visibility_timeout=self._lease_seconds, retry_total=0
            ).by_page()
            return list(next(pages, ()))

        try:
            return await self._call(first_page)
        except ResourceNotFoundError:
            return []
        except AzureError as error:
            _logger.warning("cannot poll queue %s: %s", self._queue.queue_name, error)
            return []

    async def _work_on(self, held: Held) -> None:
        if held.attempt > self._options.max_dequeue_count:
            await self._bury(held)
            return
        try:
            content = decode(held.message.content, self._options.message_encoding)
        except ValueError:
            _logger.warning("message %s is not base64", held.message.id)
            await self._bury(held)
            return
        try:
            text = content.decode()
        except UnicodeDecodeError:
            # The function never sees it, and yet each time counts as a failure of it.
            _logger.warning("message %s is no text", held.message.id)
            await self._release_or_bury(held)
            return
        try:
            async with self._renewed_lease(held):
                metadata = message_metadata(held.message, text, self._function.name)
                await self._supervisor.invoke(self._function, Input({"string": text}, metadata))
        except WorkerExited:
            # As when the whole instance is lost, the message is not released.
            return
        except InvocationFailed:
            await self._release_or_bury(held)
            return
        await self._delete(held)

    async def _release_or_bury(self, held: Held) -> None:
        if held.attempt >= self._options.max_dequeue_count:
            await self._bury(held)
            return
        await self._release(held, int(self._options.visibility_timeout.total_seconds()))

    async def _release(self, held: Held, delay_seconds: int) -> None:
        await self._tolerating_loss(
            lambda: self._queue.update_message(held.message, visibility_timeout=delay_seconds)
        )

    async def _bury(self, held: Held) -> None:
        _logger.warning(
            "message %s goes to %s after %d attempts",
            held.message.id,
            self._poison.queue_name,
            held.attempt,
        )
        # The text is copied as it is: undecodable messages can be looked at, too.
        await self._call(self._copy_to_poison, held.message.content)
        await self._delete(held)

    def _copy_to_poison(self, text: str) -> None:
        try:
            self._poison.send_message(text)
        except ResourceNotFoundError:
            # Of two messages that are buried at once, either may be the first.
            with suppress(ResourceExistsError):
                self._poison.create_queue()
            self._poison.send_message(text)

    async def _delete(self, held: Held) -> None:
        await self._tolerating_loss(lambda: self._queue.delete_message(held.message))

    async def _tolerating_loss(self, change: Callable[[], Any]) -> None:
        try:
            await self._call(change)
        except HttpResponseError as error:
            # Gone, or leased by someone else since: theirs to settle now.
            if error.status_code not in (400, 404):
                raise
            _logger.warning("message of %s was lost: %s", self._function.name, error.reason)

    @asynccontextmanager
    async def _renewed_lease(self, held: Held) -> AsyncIterator[None]:
        ended = asyncio.Event()
        renewal = asyncio.create_task(self._renew_until(ended, held))
        try:
            yield
        finally:
            # Never cancelled half-way: the receipt that settles the message must be the last one.
            ended.set()
            await renewal

    async def _renew_until(self, ended: asyncio.Event, held: Held) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), self._lease_seconds / 2)
                return
            try:
                held.message = await self._call(
                    lambda: self._queue.update_message(
                        held.message, visibility_timeout=self._lease_seconds
                    )
                )
            except AzureError as error:
                _logger.warning("cannot renew message of %s: %s", self._function.name, error)

    async def _call[T](self, function: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)


def make_listeners(
    functions: Mapping[str, Function],
    settings: Mapping[str, str],
    options: QueueOptions,
    lease: timedelta,
    supervisor: Supervisor,
) -> list[QueueListener]:
    """Make a listener for each queue function; HostError if its settings are missing."""
    return [
        QueueListener(function, settings, options, lease, supervisor)
        for function in functions.values()
        if function.kind == QUEUE
    ]


def decode(text: str, encoding: str) -> bytes:
    """Return a message's content; ValueError when it is not encoded as host.json says."""
    if encoding == "none":
        return text.encode()
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError("the message is not base64") from error
