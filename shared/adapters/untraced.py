"""Requests whose addresses are secrets, and so must not be in any trace."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def untraced() -> Iterator[None]:
    """Run the block without spans of HTTP clients, which have the whole address.

    Where Application Insights is on, the worker has the clients instrumented. Where nobody has,
    there is nothing to keep from it, and the import would cost a cold start 80 ms.
    """
    if "opentelemetry.instrumentation.utils" not in sys.modules:
        yield
        return
    from opentelemetry.instrumentation.utils import suppress_http_instrumentation

    with suppress_http_instrumentation():
        yield
