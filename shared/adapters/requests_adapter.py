"""Requests of libraries that make them with `requests`, carried by the guarded exchange.

azure-ai-ml and Apprise use `requests`, whose timeouts are per piece, which reads and decompresses
without limit, and which follows redirects.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from shared.adapters.http import BODY_MAX, TIMEOUT, Http, NoAnswer
from shared.base.incoming import read_json
from shared.base.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.core.pipeline.transport import RequestsTransport


class Carrier(BaseAdapter):
    """Sends each request of a session of `requests` in one guarded exchange."""

    def __init__(
        self,
        find_http: Callable[[bool], Http],
        *,
        seconds: Callable[[], float] = lambda: TIMEOUT,
        most: int = BODY_MAX,
    ) -> None:
        """`find_http` takes whether to check certificates; `seconds` returns the time it has."""
        super().__init__()
        self._find_http: Final = find_http
        self._seconds: Final = seconds
        self._most: Final = most

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Return the answer; raise requests.ConnectionError where there is none."""
        body: Any = request.body
        try:
            reply = self._find_http(verify is not False).send(
                request.method or "GET",
                request.url or "",
                headers={name: _text(value) for name, value in request.headers.items()},
                content=body.encode() if isinstance(body, str) else body,
                seconds=self._seconds(),
                most=self._most,
            )
        except NoAnswer as error:
            raise requests.ConnectionError(str(error)) from None
        response = requests.Response()
        response.status_code = reply.status
        # The body is decompressed already, and its length is not that of the header.
        left_out = ("content-encoding", "content-length", "transfer-encoding")
        kept = {name: value for name, value in reply.headers.items() if name not in left_out}
        response.headers = CaseInsensitiveDict(kept)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        response.raw = BytesIO(_usable(reply.body))
        response.url = request.url or ""
        response.request = request
        return response

    def close(self) -> None:
        """Leave the connections to their owner."""


def session(carrier: Carrier) -> requests.Session:
    """Return a session whose requests are all carried."""
    made = requests.Session()
    made.trust_env = False
    for scheme in ("https://", "http://"):
        made.mount(scheme, carrier)
    return made


def transport(http: Http, *, seconds: float = TIMEOUT) -> "RequestsTransport":
    """Return a transport with which a client of the Azure SDK sends by the guarded exchange."""
    from azure.core.pipeline.transport import RequestsTransport

    carried = session(Carrier(lambda _: http, seconds=lambda: seconds))
    return RequestsTransport(session=carried, session_owner=False)


@contextmanager
def carried(carrier: Carrier) -> "Iterator[None]":
    """Carry every session that this thread uses in the block, and follow no redirect.

    It is for libraries that can't be given a session. A subclass of Session is left as it is.
    """
    _patch()
    token = _current.set(carrier)
    try:
        yield
    finally:
        _current.reset(token)


_current: ContextVar[Carrier | None] = ContextVar("carrier", default=None)


def _usable(body: bytes) -> bytes:
    """Return the body, or b"" where it is JSON that would break its reader.

    A body that is too long is cut; its status still counts, because the request has arrived.
    """
    try:
        read_json(body)
    except (UnicodeDecodeError, json.JSONDecodeError):
        return body
    except ValueError:
        return b""
    return body


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _wrap() -> bool:
    get_adapter = requests.Session.get_adapter
    resolve_redirects = requests.Session.resolve_redirects

    def find_adapter(self: requests.Session, url: str) -> BaseAdapter:
        carrier = _current.get()
        is_ours = carrier is not None and type(self) is requests.Session
        return carrier if carrier is not None and is_ours else get_adapter(self, url)

    def resolve(self: requests.Session, *args: Any, **options: Any) -> Any:
        return iter(()) if _current.get() is not None else resolve_redirects(self, *args, **options)

    requests.Session.get_adapter = find_adapter  # type: ignore[method-assign]
    requests.Session.resolve_redirects = resolve  # type: ignore[method-assign, assignment]
    return True


#: Makes sessions look for the current carrier. To be called before one is used.
_patch: Final = Lazy(_wrap)
