"""Calls that may hang, and are then left behind."""

import contextvars
from collections.abc import Callable
from threading import Thread
from typing import Any


class Started[T]:
    """A call under way on a thread of its own, which nothing waits for when the process ends."""

    def __init__(self, call: Callable[[], T], *, name: str) -> None:
        """Start the call, with the context variables of whoever starts it."""
        self._call = call
        self._result: list[T] = []
        self._error: BaseException | None = None
        context = contextvars.copy_context()
        self._thread = Thread(target=context.run, args=(self._run,), name=name, daemon=True)
        self._thread.start()

    def result(self, seconds: float) -> T:
        """Return what the call returned, or raise what it raised.

        Raises: TimeoutError where it has not ended after so many seconds. It goes on then, and
        whatever comes of it is lost.
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
        except BaseException as error:  # noqa: BLE001 - it is raised where the call was started
            self._error = error


def within[T](seconds: float, call: Callable[[], T], *, name: str) -> T:
    """Return what a call returns; raise TimeoutError where it takes longer than so many seconds."""
    started: Started[Any] = Started(call, name=name)
    result: T = started.result(seconds)
    return result
