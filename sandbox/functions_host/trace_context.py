"""W3C trace context: each invocation is a span of the caller's trace, or of a new one."""

import re
import secrets
from collections.abc import Mapping

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")


def continue_trace(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the trace context to hand to a function called with these headers."""
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    trace_id, flags = match.groups() if match else (secrets.token_hex(16), "01")
    trace = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"}
    if match and "tracestate" in headers:
        trace["tracestate"] = headers["tracestate"]
    return trace


def new_trace() -> dict[str, str]:
    """Return the trace context of an invocation without a request, such as a timer's."""
    return continue_trace({})
