"""Plain classes in place of the generated protobuf module that the worker library expects.

The library only builds these by keyword and reads their fields back, so no gRPC is needed.
"""

import base64
from types import SimpleNamespace
from typing import Any

from sandbox.functions_host.protocol import Value, bytes_value


class StatusResult(SimpleNamespace):
    """How a request ended."""

    Failure = 0
    Success = 1


class BindingInfo(SimpleNamespace):
    """One binding of a function; the numbers are those of the SDK's BindingDirection."""

    undefined = 0
    out = 1
    inout = 2


class TypedData(SimpleNamespace):
    """One value, held under the name of its kind."""

    def WhichOneof(self, _group: str) -> str | None:
        return next(iter(vars(self)), None)


class ParameterBinding(SimpleNamespace):
    """A named value on its way into or out of a function."""

    def WhichOneof(self, _group: str) -> str:
        return "data"


class RpcHttpCookie(SimpleNamespace):
    """One cookie of an HTTP response."""

    SameSite = SimpleNamespace(**{"None": None, "Lax": "lax", "Strict": "strict"})
    SameSite.ExplicitNone = "none"


class RpcException(SimpleNamespace):
    """The error that a function raised."""


class RpcHttp(SimpleNamespace):
    """An HTTP request or response."""


class RpcFunctionMetadata(SimpleNamespace):
    """One function, as indexed."""


class RpcRetryOptions(SimpleNamespace):
    """A function's retry policy."""


class WorkerMetadata(SimpleNamespace):
    """Versions of the worker."""


class WorkerInitResponse(SimpleNamespace):
    """Answer to the init request."""


class FunctionMetadataResponse(SimpleNamespace):
    """Answer to the metadata request."""


class FunctionLoadResponse(SimpleNamespace):
    """Answer to the load request."""


class InvocationResponse(SimpleNamespace):
    """Answer to an invocation request."""


class NullableString(SimpleNamespace):
    """A cookie's optional text."""


class NullableBool(SimpleNamespace):
    """A cookie's optional flag."""


class NullableDouble(SimpleNamespace):
    """A cookie's optional number."""


class NullableTimestamp(SimpleNamespace):
    """A cookie's optional time."""


class Timestamp(SimpleNamespace):
    """Seconds since 1970."""


def typed_data(value: Value) -> TypedData:
    """A value from the wire as the object that the library decodes."""
    ((kind, content),) = value.items()
    if kind == "bytes":
        content = base64.b64decode(content)
    elif kind == "http":
        content = RpcHttp(**{**content, "body": typed_data(content["body"])})
    return TypedData(**{kind: content})


def wire_value(data: TypedData | None) -> Value | None:
    """A value that the library encoded, ready for the wire."""
    kind = data.WhichOneof("data") if data is not None else None
    if data is None or kind is None:
        return None
    content = getattr(data, kind)
    if kind == "bytes":
        return bytes_value(content)
    if kind == "http":
        return {"http": _wire_http(content)}
    return {kind: content}


def _wire_http(http: RpcHttp) -> dict[str, Any]:
    return {
        "status_code": int(http.status_code),
        "headers": http.headers,
        "cookies": [_wire_cookie(cookie) for cookie in http.cookies or ()],
        "body": wire_value(http.body),
    }


def _wire_cookie(cookie: RpcHttpCookie) -> dict[str, Any]:
    fields = {name: getattr(field, "value", field) for name, field in vars(cookie).items()}
    if isinstance(fields["expires"], Timestamp):
        fields["expires"] = fields["expires"].seconds
    return fields
