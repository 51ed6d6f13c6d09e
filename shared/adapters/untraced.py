"""Requests whose addresses are secrets, and so must not be in any trace."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_IS_UNTRACED: Final = ContextVar("is_untraced", default=False)


@contextmanager
def untraced() -> Iterator[None]:
    """Run the block without spans of HTTP requests, which have the whole address.

    Where Application Insights is on, the worker has the clients of libraries instrumented. Where
    it is off, there is nothing to keep from it, and the import would cost a cold start 80 ms.
    """
    token = _IS_UNTRACED.set(True)
    try:
        if "opentelemetry.instrumentation.utils" not in sys.modules:
            yield
            return
        from opentelemetry.instrumentation.utils import suppress_http_instrumentation

        with suppress_http_instrumentation():
            yield
    finally:
        _IS_UNTRACED.reset(token)


def is_untraced() -> bool:
    """Say whether this runs inside `untraced`."""
    return _IS_UNTRACED.get()
