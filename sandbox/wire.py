"""HTTP/1.1 on the wire: heads and bodies byte for byte, and one connection to a server."""

import asyncio
import ssl
from collections.abc import Mapping

#: The longest head, in bytes; a body may be of any length.
HEAD_LIMIT = 1 << 20

_NO_BODY_STATUSES = frozenset({204, 304})


class Connection:
    """One connection to a server, opened on first use and again after the server has left."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, method: str) -> tuple[bytes, int, bool]:
        """Send a whole request; return the raw response, its status, and whether to go on here.

        A server that is gone raises OSError, one that leaves midway asyncio.IncompleteReadError.
        """
        reader, writer = await self._connect()
        writer.write(request)
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            start_line, headers = parse_head(head)
            status = int(start_line.split(" ", 2)[1])
            if status >= 200:
                break
        lives_on = headers.get("connection", "").lower() != "close"
        if method == "HEAD" or status in _NO_BODY_STATUSES:
            return head, status, lives_on
        body = await read_body(reader, headers)
        if body is None:  # no length given: the server ends the body by closing
            return head + await reader.read(), status, False
        return head + body, status, lives_on

    def drop(self) -> None:
        """Close without ceremony."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # Servers close idle connections, often long before their clients give them up.
        if self._streams is not None:
            reader, writer = self._streams
            if reader.at_eof() or writer.is_closing():
                self.drop()
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                self._host, self._port, ssl=self._tls, limit=HEAD_LIMIT
            )
        return self._streams


def parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    """Return the first line and the headers, their names in lower case."""
    start_line, *lines = head[:-4].decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return start_line, headers


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes | None:
    """Return the body byte for byte, chunk framing included; None if no length is given."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _read_chunks(reader)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return None


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    size = -1
    while size != 0:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        parts.append(line)
        if size:
            parts.append(await reader.readexactly(size + 2))
    trailer = b""
    while trailer != b"\r\n":
        trailer = await reader.readuntil(b"\r\n")
        parts.append(trailer)
    return b"".join(parts)
