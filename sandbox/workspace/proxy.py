"""A proxy for https: Azure's host names lead to the emulator, all others to their own hosts.

Clients that honour HTTPS_PROXY then reach the emulator under the names that the real service has,
which they put together themselves: `https://{account}.blob.core.windows.net`.
"""

import asyncio
import re
import socket
from collections.abc import Collection
from contextlib import suppress
from fnmatch import fnmatchcase

_CONNECT = re.compile(rb"CONNECT (?P<host>[A-Za-z0-9.-]+):(?P<port>\d{1,5}) HTTP/1\.[01]\r\n")
_HEAD_SECONDS = 30.0
_PIECE = 64 * 1024


class Proxy:
    """Tunnels connections, and looks at no byte in them."""

    def __init__(self, listener: socket.socket, hosts: Collection[str], port: int) -> None:
        """Take the hosts that lead to `port` on this machine: globs, in lower case."""
        self._listener = listener
        self._hosts = tuple(hosts)
        self._port = port

    async def serve(self) -> None:
        """Serve until cancelled."""
        server = await asyncio.start_server(self._answer, sock=self._listener)
        try:
            # Not `serve_forever`: cancelled, that waits for the clients to leave.
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            server.abort_clients()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._tunnel(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        match = _CONNECT.match(head)
        if match is None:
            await _send_status(writer, "405 Method Not Allowed")
            return
        host, port = match["host"].decode().lower(), int(match["port"])
        if any(fnmatchcase(host, each) for each in self._hosts):
            host, port = "127.0.0.1", self._port
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except (OSError, OverflowError):
            await _send_status(writer, "502 Bad Gateway")
            return
        try:
            await _send_status(writer, "200 Connection Established")
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        except* OSError:
            pass
        finally:
            far_writer.close()


async def _send_status(writer: asyncio.StreamWriter, status: str) -> None:
    writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
    await writer.drain()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on data until it ends, and end the other side as well."""
    while piece := await source.read(_PIECE):
        sink.write(piece)
        await sink.drain()
    with suppress(OSError):
        sink.write_eof()
