"""The log: what has happened to each event so far, for other threads to read and to wait for."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sandbox.event_grid.retry import Outcome


@dataclass(frozen=True)
class Delivery:
    """One attempt: the event, the subscription, and the outcome."""

    event_id: str
    subscription: str
    attempt: int
    status: int | None
    outcome: Outcome
    time: datetime


@dataclass(frozen=True)
class Loss:
    """One event given up; `blob` is its dead letter's name, None when it was dropped."""

    event_id: str
    subscription: str
    reason: str
    blob: str | None


class Log:
    """Attempts, losses, and events still under way; safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deliveries: list[Delivery] = []
        self._delivered: defaultdict[str, list[Delivery]] = defaultdict(list)
        self._losses: list[Loss] = []
        self._pending: Counter[tuple[str, str]] = Counter()

    @property
    def deliveries(self) -> list[Delivery]:
        """Return every attempt, in order."""
        with self._changed:
            return list(self._deliveries)

    @property
    def losses(self) -> list[Loss]:
        """Return every event given up, in order."""
        with self._changed:
            return list(self._losses)

    @property
    def pending(self) -> list[tuple[str, str]]:
        """Return event id and subscription of every copy that is still under way."""
        with self._changed:
            return list(self._pending.elements())

    def is_idle(self) -> bool:
        """Return whether nothing is under way."""
        with self._changed:
            return not self._pending

    def find_delivered(self, event_id: str, subscription: str | None) -> Delivery | None:
        """Return the first successful attempt, to this or any subscription."""
        with self._changed:
            for delivery in self._delivered.get(event_id, ()):
                if subscription in {None, delivery.subscription}:
                    return delivery
        return None

    def begin(self, event_id: str, subscription: str) -> None:
        """Note that a copy is under way."""
        with self._changed:
            self._pending[event_id, subscription] += 1

    def end(self, event_id: str, subscription: str) -> None:
        """Note that a copy has arrived or is given up."""
        with self._changed:
            self._pending[event_id, subscription] -= 1
            if not self._pending[event_id, subscription]:
                del self._pending[event_id, subscription]
            self._changed.notify_all()

    def add_delivery(self, delivery: Delivery) -> None:
        """Note an attempt."""
        with self._changed:
            self._deliveries.append(delivery)
            if delivery.outcome is Outcome.DELIVERED:
                self._delivered[delivery.event_id].append(delivery)
            self._changed.notify_all()

    def add_loss(self, loss: Loss) -> None:
        """Note that an event is given up."""
        with self._changed:
            self._losses.append(loss)
            self._changed.notify_all()

    def wait_for[T](self, find: Callable[[], T], timeout: float) -> T:
        """Return the first true answer of `find`, which is asked after every change.

        Returns its last answer when the timeout, in seconds, has passed.
        """
        with self._changed:
            return self._changed.wait_for(find, timeout)
