"""Values that are made on first use: clients cost time and memory, and no import may spend them."""

from collections.abc import Callable
from threading import Lock
from typing import Final, Self, overload


class Lazy[T]:
    """Makes its value once, in the first thread that asks; a failure is not remembered."""

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


class once[S, T]:
    """A property whose value is made on first use, by a Lazy, and is an attribute from then on.

    `functools.cached_property` lets two threads make two values, and the worker has several.
    """

    def __init__(self, make: Callable[[S], T]) -> None:
        self.make: Final = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: S, owner: type) -> T: ...
    def __get__(self, instance: S | None, owner: type) -> Self | T:
        if instance is None:
            return self
        attributes = vars(instance)
        # `setdefault` is atomic: threads that come at the same time get the same Lazy.
        lazy = attributes.setdefault(f"{self._name} (lazy)", Lazy(lambda: self.make(instance)))
        made: T = lazy()
        attributes[self._name] = made
        return made
