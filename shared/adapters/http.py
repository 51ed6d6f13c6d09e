"""One guarded exchange: every client of the app makes its requests with it.

The server is not trusted. One deadline holds for the whole exchange, from the lookup of the host to
the last byte of the answer. Bytes are counted as they arrive and as they are decompressed. No
redirect is followed and no cookie kept. guard.py takes the deadline to the sockets.
"""

import logging
import math
import os
import ssl
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote, urlsplit
from urllib.request import getproxies, proxy_bypass

from shared.adapters.untraced import is_untraced
from shared.base import telemetry
from shared.base.lazy import Lazy

if TYPE_CHECKING:
    import httpcore

#: For a whole exchange, in seconds. A trigger has 20 in all.
TIMEOUT = 15
#: The bytes of an answer that are read by default.
BODY_MAX = 1024 * 1024
#: The bytes that may arrive beside the body: headers (of `103` answers too), and marks of chunks.
_BESIDE_MAX = 512 * 1024
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
#: Methods whose requests say that they have no body where they have none.
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
#: Stays in the path and the query of an address as it is; a `%` begins what is quoted already.
_UNQUOTED = "%/?:@!$&'()*+,;=~[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a request, of any status.

    Header names are in lower case. Unless `is_whole`, the body is only the beginning of the one
    that was sent, or b"" where that can't be decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool = True


class NoAnswer(Exception):
    """No answer came, or none in time. Its text names the kind of failure and nothing else."""


class Http:
    """Makes requests, one exchange each; safe to share between threads."""

    def __init__(
        self,
        *,
        ca_path: str | None = None,
        is_verified: bool = True,
        longest: float = math.inf,
        backend: "httpcore.NetworkBackend | None" = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Connect on first use.

        `ca_path` names a PEM file of authorities in place of the usual ones; without `is_verified`,
        any certificate is accepted. No exchange takes more than `longest` seconds of the monotonic
        `clock`, even if a call asks for more. `backend` makes the connections, for tests.
        """
        self._ca_path: Final = ca_path
        self._is_verified: Final = is_verified
        self._longest: Final = longest
        self._backend: Final = backend
        self._clock: Final = clock
        self._direct: Final = Lazy(lambda: self._make_pool(None))
        self._proxied: Final[dict[str, Lazy[httpcore.ConnectionPool]]] = {}

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        seconds: float = TIMEOUT,
        most: int = BODY_MAX,
    ) -> Reply:
        """Send a request and return its answer, and of the body `most` bytes, within `seconds`.

        Raises: NoAnswer.
        """
        import httpcore

        from shared.adapters.guard import Allowance, timeouts

        allowance = Allowance(min(seconds, self._longest), most + _BESIDE_MAX, self._clock)
        if content is None and method in _WITH_BODY:
            content = b""
        try:
            address, host = _address(url)
            sent = {
                "Host": host,
                "User-Agent": "signalbox",
                **headers,
                # Not compressed, so that the bytes that arrive are the bytes of the body.
                "Accept-Encoding": "identity",
            }
            with (
                _traced(method, url) as note,
                self._pool(urlsplit(url)).stream(
                    method,
                    address,
                    headers=[(name.encode(), sent[name].encode("ascii")) for name in sent],
                    content=content,
                    extensions={"timeout": timeouts(allowance)},
                ) as response,
            ):
                note(response.status)
                told = _joined(response.headers)
                body, is_whole = _read(response.iter_stream(), told, most)
        except (
            httpcore.TimeoutException,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.ProxyError,
            httpcore.UnsupportedProtocol,
            ValueError,  # an address or a header that can't be sent
        ) as error:
            # Without its cause, because the text of some of these has the address.
            raise NoAnswer(type(error).__name__) from None
        return Reply(status=response.status, headers=told, body=body, is_whole=is_whole)

    def close(self) -> None:
        """Close the connections; only a process that goes on without them needs to."""
        for pool in (self._direct, *self._proxied.values()):
            if made := pool.made:
                made.close()

    def _pool(self, url: SplitResult) -> "httpcore.ConnectionPool":
        proxy = getproxies().get(url.scheme)
        if not proxy or proxy_bypass(url.hostname or ""):
            return self._direct()
        return self._proxied.setdefault(proxy, Lazy(lambda: self._make_pool(proxy)))()

    def _make_pool(self, proxy: str | None) -> "httpcore.ConnectionPool":
        from shared.adapters.guard import make_pool

        _hush()
        context = trust(self._ca_path)
        if not self._is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return make_pool(context, proxy=proxy, backend=self._backend)


def trust(ca_path: str | None = None) -> ssl.SSLContext:
    """Return the settings by which certificates are checked.

    The authorities are those of the PEM file, else of the file that SSL_CERT_FILE or
    REQUESTS_CA_BUNDLE names, else the usual ones.
    """
    if ca_path is None:
        import certifi

        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        ca_path = next((os.environ[name] for name in names if os.environ.get(name)), None)
        ca_path = ca_path or certifi.where()
    return ssl.create_default_context(cafile=ca_path)


def is_https(url: str) -> bool:
    """Say whether an address is an https:// address, to which a secret may be sent."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname)
    except ValueError:  # a broken IPv6 address
        return False


def _address(url: str) -> "tuple[httpcore.URL, str]":
    """Return where a request goes, and its Host header. Raises: ValueError."""
    import httpcore

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no address of http")
    query = f"?{parts.query}" if parts.query else ""
    address = httpcore.URL(
        scheme=parts.scheme,
        host=parts.hostname.encode("ascii" if parts.hostname.isascii() else "idna"),
        port=parts.port,
        target=quote(f"{parts.path or '/'}{query}", safe=_UNQUOTED),
    )
    host = address.host.decode()
    name = f"[{host}]" if ":" in host else host
    return address, name if parts.port in (None, _PORTS[parts.scheme]) else f"{name}:{parts.port}"


@contextmanager
def _traced(method: str, url: str) -> Iterator[Callable[[int], None]]:
    """Run the block in a span, unless the address is a secret; yield what takes the status."""
    if is_untraced():
        yield lambda status: None
        return
    parts = urlsplit(url)
    # A query may hold a signature, and what stands before an @ a password.
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    with telemetry.request_span(method, shown) as span:
        yield partial(telemetry.request_answered, span)


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name in lower case; those of one name become one, with commas."""
    found: dict[str, str] = {}
    for raw, value in headers:
        name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _read(stream: Iterable[bytes], headers: Mapping[str, str], most: int) -> tuple[bytes, bool]:
    """Return the body, decompressed and cut to `most` bytes, and whether that is all of it."""
    body, is_whole = _join(stream, most)
    coding = headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        return body, is_whole
    if coding not in _CODINGS:
        return b"", False
    try:
        # 47 stands for gzip or zlib, by the header.
        unfolding = zlib.decompressobj(wbits=47)
        unfolded = unfolding.decompress(body, most)
    except zlib.error:
        return b"", False
    return unfolded, is_whole and unfolding.eof


def _join(pieces: Iterable[bytes], most: int) -> tuple[bytes, bool]:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > most:
            return bytes(body[:most]), False
    return bytes(body), True


def _hush() -> None:
    """Keep addresses and the headers of answers out of the log, even at DEBUG."""
    noisy = logging.getLogger("httpcore")
    if noisy.getEffectiveLevel() < logging.INFO:
        noisy.setLevel(logging.INFO)
