"""One guarded exchange: every client of the app makes its requests with it.

The server is not trusted. One deadline holds for the whole exchange, from the lookup of the host to
the last byte of the answer. Bytes are counted as they arrive and as they are decompressed. No
redirect is followed and no cookie kept. guarded_transport.py takes the deadline to the sockets.
"""

import logging
import math
import os
import ssl
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from shared.base.lazy import Lazy

if TYPE_CHECKING:
    import httpcore
    import httpx

    from shared.adapters.guarded_transport import GuardedTransport

#: For a whole exchange, in seconds. A trigger has 20 in all.
TIMEOUT = 15
#: The bytes of an answer that are read by default.
BODY_MAX = 1024 * 1024
#: The bytes that may arrive beside the body: headers (of `103` answers too), and marks of chunks.
_BESIDE_MAX = 512 * 1024
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


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
        self._direct: Final = Lazy(lambda: self._make_transport(None))
        self._proxied: Final[dict[str, Lazy[GuardedTransport]]] = {}

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
        import httpx

        from shared.adapters.guarded_transport import Allowance, timeouts

        allowance = Allowance(min(seconds, self._longest), most + _BESIDE_MAX, self._clock)
        try:
            request = httpx.Request(
                method,
                url,
                # Not compressed, so that the bytes that arrive are the bytes of the body.
                headers={"User-Agent": "signalbox", **headers, "Accept-Encoding": "identity"},
                content=content,
                extensions={"timeout": timeouts(allowance)},
            )
            with closing(self._transport(request.url).handle_request(request)) as response:
                body, is_whole = _read(response, most)
        except (httpx.HTTPError, httpx.InvalidURL, httpcore.PoolTimeout, UnicodeError) as error:
            # Without its cause, because the text of some of these has the address.
            raise NoAnswer(type(error).__name__) from None
        return Reply(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            is_whole=is_whole,
        )

    def close(self) -> None:
        """Close the connections; only a process that goes on without them needs to."""
        for transport in (self._direct, *self._proxied.values()):
            if made := transport.made:
                made.close()

    def _transport(self, url: "httpx.URL") -> "GuardedTransport":
        proxy = getproxies().get(url.scheme)
        if not proxy or proxy_bypass(url.host):
            return self._direct()
        return self._proxied.setdefault(proxy, Lazy(lambda: self._make_transport(proxy)))()

    def _make_transport(self, proxy: str | None) -> "GuardedTransport":
        from shared.adapters.guarded_transport import GuardedTransport

        _hush()
        context = trust(self._ca_path)
        if not self._is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return GuardedTransport(context, proxy=proxy, backend=self._backend)


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


def _read(response: "httpx.Response", most: int) -> tuple[bytes, bool]:
    """Return the body, decompressed and cut to `most` bytes, and whether that is all of it."""
    stream: Any = response.stream
    body, is_whole = _join(stream, most)
    coding = response.headers.get("content-encoding", "").strip().lower()
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
