"""The HTTP server of the sandbox's parts: no connection is left when it has ended."""

import asyncio
import socket

import uvicorn

#: Aborting a connection takes the event loop a few turns.
_TURNS = 5


class Server(uvicorn.Server):
    """Ends every connection when it shuts down, also one that was accepted at the last moment.

    With `is_abrupt` those that clients keep open are cut off first, and not waited for.
    """

    is_abrupt = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and end those there are."""
        if self.is_abrupt:
            for listener in self.servers:
                listener.close()
            self._abort()
        await super().shutdown(sockets)
        # uvicorn gives up waiting for a connection that came while it was closing the others.
        self._abort()
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _abort(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class AbruptServer(Server):
    """A server whose clients keep connections open, whose TLS would take long to end."""

    is_abrupt = True
