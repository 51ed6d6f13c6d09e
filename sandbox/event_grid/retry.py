"""The retry policy: answers that count as delivered or final, and the time of the next attempt.

Source: the delivery-and-retry page of the Event Grid documentation. All times are in Event Grid's
own seconds; the caller scales them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

RESPONSE_TIMEOUT = 30.0
DEAD_LETTER_DELAY = 5 * 60.0
DEAD_LETTER_PATIENCE = 4 * 3600.0

_DELIVERED = frozenset({200, 201, 202, 203, 204})
_DELAYS = (10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 3 * 3600.0, 6 * 3600.0)
_LAST_DELAY = 12 * 3600.0
_SHORTEST_DELAYS = {401: 300.0, 404: 300.0, 408: 120.0, 503: 30.0}
#: Statuses after which nothing is tried again, and the reason that the dead letter then gives.
_FINAL_REASONS = {
    400: "UndeliverableDueToHttpBadRequest",
    401: "UndeliverableDueToHttpUnauthorized",
    403: "UndeliverableDueToHttpForbidden",
    413: "UndeliverableDueToHttpRequestEntityTooLarge",
}
ATTEMPTS_EXCEEDED = "MaxDeliveryAttemptsExceeded"
TIME_EXCEEDED = "TimeToLiveExceeded"
SUBSCRIPTION_GONE = "EventSubscriptionDeleted"


class Outcome(StrEnum):
    """The outcome of one attempt, in the words of a dead letter's lastDeliveryOutcome."""

    DELIVERED = "Delivered"
    NOT_FOUND = "NotFound"
    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    BAD_REQUEST = "BadRequest"
    PAYLOAD_TOO_LARGE = "PayloadTooLarge"
    TIMED_OUT = "TimedOut"
    BUSY = "Busy"
    SOCKET_ERROR = "SocketError"
    RESOLUTION_ERROR = "ResolutionError"
    ABORTED = "Aborted"


_OUTCOMES = {
    400: Outcome.BAD_REQUEST,
    401: Outcome.UNAUTHORIZED,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    408: Outcome.TIMED_OUT,
    413: Outcome.PAYLOAD_TOO_LARGE,
    429: Outcome.BUSY,
}


@dataclass(frozen=True)
class Answer:
    """A destination's answer; no status if it did not answer."""

    outcome: Outcome
    status: int | None = None

    @classmethod
    def of_status(cls, status: int) -> Self:
        """Return the answer that an HTTP status amounts to."""
        if status in _DELIVERED:
            return cls(Outcome.DELIVERED, status)
        return cls(
            _OUTCOMES.get(status, Outcome.BUSY if status >= 500 else Outcome.ABORTED), status
        )

    @property
    def delivered(self) -> bool:
        """Return whether the destination has the event."""
        return self.outcome is Outcome.DELIVERED


def find_final_reason(answer: Answer, *, webhook: bool) -> str | None:
    """Return why this answer ends all attempts, or None when the event is to be tried again."""
    if answer.status == 401 and not webhook:
        return None  # only a webhook's 401 is final: roles on Azure resources take time to arrive
    return _FINAL_REASONS.get(answer.status or 0)


def next_delay(attempts: int, answer: Answer) -> float:
    """Return how long to wait after this many attempts, the last of which got this answer."""
    delay = _DELAYS[attempts - 1] if attempts <= len(_DELAYS) else _LAST_DELAY
    return max(delay, _SHORTEST_DELAYS.get(answer.status or 0, 0.0))
