"""A value that is made on first use: clients cost time and memory, and no import may spend them."""

from collections.abc import Callable
from threading import Lock
from typing import Final


class Lazy[T]:
    """Makes its value once, whichever thread comes first; a failure to make it is not kept."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make: Final = make
        self._lock: Final = Lock()
        self._made: T | None = None

    @property
    def made(self) -> T | None:
        """The value if it was made already."""
        return self._made

    def __call__(self) -> T:
        """Return the value."""
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return self._made
