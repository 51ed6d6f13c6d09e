"""The transport below Http: it bounds an exchange while it is under way.

httpx and httpcore apply a timeout to each piece: a server that sends a byte now and then, or one
`103` after the other, is never too late. Here each wait for the network is at most as long as the
rest of the whole exchange, and each byte is counted. The bounds travel to the sockets in place of
the timeouts, which httpcore hands on unchanged.
"""

import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final

import httpcore
import httpx

from shared.adapters.deadline import within

#: In seconds. It leaves time for another address where one does not answer at all.
CONNECT_TIMEOUT = 5
#: How long an idle connection is kept, in seconds, because some services close it after that.
_KEPT = 30
_CONNECTIONS_MAX = 100
#: The bytes that TLS sends at once.
_RECORD = 16_384
#: Only a connection that was never made is tried again at once, because nothing was sent over it.
_RETRIES = 1


class Allowance:
    """The rest of one exchange: seconds of a monotonic clock, and bytes that may arrive."""

    def __init__(self, seconds: float, most: int, monotonic: Callable[[], float]) -> None:
        self._monotonic: Final = monotonic
        self._deadline: Final = monotonic() + seconds
        self._bytes = most

    def left(self, error: type[Exception]) -> float:
        """Return the seconds that are left; raise the error where none are left."""
        left = self._deadline - self._monotonic()
        if left <= 0:
            raise error("the exchange took too long")
        return left

    def take(self, size: int) -> None:
        """Count bytes that arrived. Raises: httpcore.ReadError where there are too many."""
        self._bytes -= size
        if self._bytes < 0:
            raise httpcore.ReadError("the answer is too long")


class GuardedStream(httpcore.NetworkStream):
    """A connection whose timeouts are allowances."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream: Final = stream

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        """Return the bytes that arrive next."""
        piece = self._stream.read(max_bytes, timeout.left(httpcore.ReadTimeout))
        timeout.take(len(piece))
        return piece

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        """Send all of it."""
        for start in range(0, len(buffer), _RECORD):
            # One record at a time, because the stream would restart its timeout for each.
            piece = buffer[start : start + _RECORD]
            self._stream.write(piece, timeout.left(httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: Any = None,
    ) -> httpcore.NetworkStream:
        """Return the connection, encrypted."""
        try:
            left = min(timeout.left(httpcore.ConnectTimeout), CONNECT_TIMEOUT)
        except httpcore.ConnectTimeout:
            self.close()  # as the stream below does where it fails
            raise
        return GuardedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        """Return facts of the stream below."""
        return self._stream.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Makes connections whose timeouts are allowances."""

    def __init__(self, backend: httpcore.NetworkBackend | None = None) -> None:
        self._backend: Final = backend or httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers."""
        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in _addresses(host, port, timeout.left(httpcore.ConnectTimeout)):
            left = min(timeout.left(httpcore.ConnectTimeout), CONNECT_TIMEOUT)
            try:
                made = self._backend.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return GuardedStream(made)
        raise failure

    def sleep(self, seconds: float) -> None:
        """Do nothing, because the one retry is made at once."""


class GuardedTransport(httpx.HTTPTransport):
    """The transport of httpx's requests; their timeouts have to be allowances, see `timeouts`.

    It extends httpx's own, which is the class that OpenTelemetry instruments.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        proxy: str | None = None,
        backend: httpcore.NetworkBackend | None = None,
    ) -> None:
        super().__init__(verify=context)
        options: dict[str, Any] = {
            "ssl_context": context,
            "max_connections": _CONNECTIONS_MAX,
            "keepalive_expiry": _KEPT,
            "retries": _RETRIES,
            "network_backend": GuardedBackend(backend),
        }
        if proxy is None:
            self._pool = httpcore.ConnectionPool(**options)
            return
        parsed = httpx.Proxy(proxy)
        options |= {"proxy_auth": parsed.raw_auth, "proxy_url": str(parsed.url)}
        self._pool = httpcore.HTTPProxy(**options)


def timeouts(allowance: Allowance) -> dict[str, Any]:
    """Return the allowance in the place of httpcore's timeouts."""
    return {
        **dict.fromkeys(("connect", "read", "write"), allowance),
        "pool": allowance.left(httpcore.PoolTimeout),
    }


def _addresses(host: str, port: int, seconds: float) -> list[str]:
    try:
        # The resolver of the system has no timeout.
        found = within(
            seconds, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), name="resolve"
        )
    except TimeoutError as error:
        raise httpcore.ConnectTimeout("the host's name took too long") from error
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("the host's name is not known") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
