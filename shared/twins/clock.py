"""A clock that moves only when it is set."""

from datetime import UTC, datetime, timedelta

_START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class ManualClock:
    """A clock that stands still until a test sets `time`, or lets some pass.

    >>> clock = ManualClock()
    >>> clock.pass_time(timedelta(minutes=5))
    >>> print(clock.now())
    2026-03-02 09:05:00+00:00
    """

    def __init__(self, time: datetime = _START) -> None:
        self.time = time

    def now(self) -> datetime:
        """Return the time that was set, in UTC."""
        return self.time

    def pass_time(self, span: timedelta) -> None:
        """Let time pass."""
        self.time += span
