"""The emulator's time, which can run faster than the world's and jump ahead."""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Tells an emulated time that starts at the real time and moves `speed` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = _positive(speed)
        self._anchor = datetime.now(UTC)
        self._anchored_at = time.monotonic()

    @property
    def speed(self) -> float:
        """How many emulated seconds pass in one real second."""
        return self._speed

    def now(self) -> datetime:
        """Return the emulated time, in UTC."""
        elapsed = (time.monotonic() - self._anchored_at) * self._speed
        return self._anchor + timedelta(seconds=elapsed)

    def run_at(self, speed: float) -> None:
        """Change the speed from now on."""
        self._set(self.now(), _positive(speed))

    def advance(self, seconds: float) -> None:
        """Jump ahead by that many emulated seconds."""
        self._set(self.now() + timedelta(seconds=_positive(seconds)), self._speed)

    def real_seconds_until(self, moment: datetime) -> float:
        """Return how long the world has to wait for an emulated moment; 0 when it has passed."""
        return max(0.0, (moment - self.now()).total_seconds() / self._speed)

    def retry_after(self, seconds: float) -> str:
        """Return a Retry-After value for that many emulated seconds: real ones, at least 1."""
        return str(max(1, round(seconds / self._speed)))

    def _set(self, now: datetime, speed: float) -> None:
        self._anchor, self._anchored_at, self._speed = now, time.monotonic(), speed


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError(f"expected a positive number, not {value}")
    return value
