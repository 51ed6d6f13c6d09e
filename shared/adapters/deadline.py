"""Calls that may hang: each has a limit in seconds, and is then left behind."""

import contextvars
from collections.abc import Callable
from threading import Thread
from typing import Any


class Started[T]:
    """A call under way on a thread of its own; the end of the process does not wait for it."""

    def __init__(self, call: Callable[[], T], *, name: str) -> None:
        """Start the call, with the context variables of the caller."""
        self._call = call
        self._result: list[T] = []
        self._error: BaseException | None = None
        context = contextvars.copy_context()
        self._thread = Thread(target=context.run, args=(self._run,), name=name, daemon=True)
        self._thread.start()

    def result(self, seconds: float) -> T:
        """Return the result of the call, or raise its error.

        Raises: TimeoutError if it has not ended after that. It goes on then, and its
        result is lost.
        """
        self._thread.join(max(seconds, 0))
        if self._thread.is_alive():
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._call())
        except BaseException as error:  # noqa: BLE001 - result() raises it
            self._error = error


def within[T](seconds: float, call: Callable[[], T], *, name: str) -> T:
    """Return the result of a call; raise TimeoutError if it takes longer than `seconds`."""
    started: Started[Any] = Started(call, name=name)
    result: T = started.result(seconds)
    return result
