"""How long to wait before the next try: exponential, capped, jittered, and as the service asks."""

import random
from collections.abc import Callable
from datetime import timedelta

#: The first wait; each further one is twice as long.
BASE = timedelta(seconds=10)
#: No wait of ours is longer than this.
CAP = timedelta(hours=1)
#: A longer wait that a service asks for is cut to this.
RETRY_AFTER_CAP = timedelta(hours=6)


def backoff(
    attempt: int,
    *,
    retry_after: timedelta | None = None,
    base: timedelta = BASE,
    cap: timedelta = CAP,
    draw: Callable[[], float] = random.random,
) -> timedelta:
    """Return the wait before try number `attempt` + 1, where the first try is number 1.

    Half of the wait is fixed and half is random, so that what failed together does not come back
    together. The wait is at least `retry_after`, because the service asked for that, but no more
    than RETRY_AFTER_CAP on its account.
    """
    exponent = min(max(attempt - 1, 0), 32)  # beyond that the cap holds anyway
    ceiling = min(base * float(2**exponent), cap)
    wait = ceiling / 2 + ceiling / 2 * draw()
    if retry_after is None:
        return wait
    return max(wait, min(retry_after, RETRY_AFTER_CAP))
