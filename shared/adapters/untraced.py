"""Requests with secret addresses, which must not be in any trace."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def untraced() -> Iterator[None]:
    """Run the block without spans of HTTP clients, because a span has the whole address.

    The worker instruments the clients where Application Insights is on. Elsewhere they make no
    spans, and the import would cost a cold start 80 ms.
    """
    if "opentelemetry.instrumentation.utils" not in sys.modules:
        yield
        return
    from opentelemetry.instrumentation.utils import suppress_http_instrumentation

    with suppress_http_instrumentation():
        yield
