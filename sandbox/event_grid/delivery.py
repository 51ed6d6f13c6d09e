"""Delivery: carries each event to each subscription until it has arrived or is given up."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

from azure.core.exceptions import AzureError

from sandbox.event_grid import retry
from sandbox.event_grid.dead_letters import Failure, write_dead_letter
from sandbox.event_grid.destinations import hand_over
from sandbox.event_grid.disorder import Disorder
from sandbox.event_grid.log import Delivery, Log, Loss
from sandbox.event_grid.retry import Answer, Outcome
from sandbox.event_grid.schemas import Event
from sandbox.event_grid.subscriptions import BlobContainer, Subscription, Webhook
from sandbox.event_grid.webhooks import Webhooks

_CONCURRENT_ATTEMPTS = 32


class Courier:
    """Carries events, one task per copy, in the event loop that accept() is called in.

    `time_scale` is how many real seconds one of Event Grid's seconds takes; `response_timeout` is
    in real seconds.
    """

    def __init__(self, webhooks: Webhooks, time_scale: float, response_timeout: float) -> None:
        self.log = Log()
        self._subscriptions: dict[str, Subscription] = {}
        self._webhooks = webhooks
        self._time_scale = time_scale
        self._response_timeout = response_timeout
        self._hold_times = Disorder().hold_times()
        self._attempts = asyncio.Semaphore(_CONCURRENT_ATTEMPTS)
        self._tasks: set[asyncio.Task[None]] = set()

    def set_disorder(self, disorder: Disorder) -> None:
        """Deliver events that are accepted from now on in this disorder."""
        self._hold_times = disorder.hold_times()

    def set_subscription(self, subscription: Subscription) -> None:
        """Add the subscription, or put it in the place of the one with its name."""
        self._subscriptions[subscription.name] = subscription

    def remove_subscription(self, name: str) -> None:
        """Remove the subscription; its events are dropped at their next attempt."""
        del self._subscriptions[name]

    def accept(self, topic: str, events: Sequence[Event]) -> None:
        """Start to carry these events of the topic to every subscription that wants them."""
        for event in events:
            # Copied, because other threads add and remove subscriptions.
            for subscription in tuple(self._subscriptions.values()):
                if subscription.topic == topic and subscription.wants(event):
                    self._start(event, subscription.name)

    async def stop(self) -> None:
        """Forget all events under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._webhooks.close()

    def _start(self, event: Event, name: str) -> None:
        for hold_time in next(self._hold_times):
            self.log.begin(event.id, name)
            task = asyncio.create_task(self._carry(event, name, hold_time))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, event: Event, name: str, hold_time: float) -> None:
        published = datetime.now(UTC)
        try:
            await asyncio.sleep(hold_time)
            failure = await self._deliver(event, name, published)
            if failure is not None:
                await self._give_up(event, name, failure)
        finally:
            self.log.end(event.id, name)

    async def _deliver(self, event: Event, name: str, published: datetime) -> Failure | None:
        """Attempt until the event has arrived; return why not when it is to be given up."""
        started, attempted = time.monotonic(), published
        answer = Answer(Outcome.ABORTED)
        for attempt in count(1):
            # Looked up each time: a subscription may have been pointed elsewhere in between.
            subscription = self._subscriptions.get(name)
            if subscription is None:
                return Failure(retry.SUBSCRIPTION_GONE, attempt - 1, answer, published, attempted)
            attempted = datetime.now(UTC)
            answer = await self._attempt(event, subscription, attempt)
            if answer.delivered:
                return None
            reason = _find_reason(subscription, attempt, answer)
            if reason is None:
                await self._sleep(retry.next_delay(attempt, answer))
                lifetime = subscription.event_time_to_live.total_seconds() * self._time_scale
                if time.monotonic() - started > lifetime:
                    reason = retry.TIME_EXCEEDED
            if reason is not None:
                return Failure(reason, attempt, answer, published, attempted)
        return None

    async def _attempt(self, event: Event, subscription: Subscription, attempt: int) -> Answer:
        async with self._attempts:
            answer = await hand_over(
                event, subscription, attempt, self._webhooks, self._response_timeout
            )
        self.log.add_delivery(
            Delivery(
                event.id,
                subscription.name,
                attempt,
                answer.status,
                answer.outcome,
                datetime.now(UTC),
            )
        )
        return answer

    async def _give_up(self, event: Event, name: str, failure: Failure) -> None:
        subscription = self._subscriptions.get(name)
        blob = None
        if subscription is not None and subscription.dead_letter is not None:
            await self._sleep(retry.DEAD_LETTER_DELAY)
            blob = await self._bury(event, subscription, subscription.dead_letter, failure)
        self.log.add_loss(Loss(event.id, name, failure.reason, blob))

    async def _bury(
        self, event: Event, subscription: Subscription, container: BlobContainer, failure: Failure
    ) -> str | None:
        """Write the dead letter and return its blob's name; None when storage stays away."""
        deadline = time.monotonic() + retry.DEAD_LETTER_PATIENCE * self._time_scale
        for attempt in count(1):
            try:
                return await asyncio.to_thread(
                    write_dead_letter, container, event, subscription, failure
                )
            except AzureError:
                if time.monotonic() > deadline:
                    return None
            await self._sleep(retry.next_delay(attempt, Answer(Outcome.BUSY)))
        return None

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._time_scale)


def _find_reason(subscription: Subscription, attempts: int, answer: Answer) -> str | None:
    to_webhook = isinstance(subscription.destination, Webhook)
    final_reason = retry.find_final_reason(answer, webhook=to_webhook)
    if final_reason is None and attempts >= subscription.max_delivery_attempts:
        return retry.ATTEMPTS_EXCEEDED
    return final_reason
