"""The base of every part of the sandbox that is started and stopped, and its listening socket."""

import socket
from abc import ABC, abstractmethod
from typing import Self

HOST = "127.0.0.1"


class Running(ABC):
    """Something that is started and stopped; as a context manager it runs for the block."""

    @abstractmethod
    def start(self) -> Self:
        """Start it."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it and wait for its end."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


def listen(port: int = 0) -> socket.socket:
    """Listen on a local port, 0 = any free one.

    Clients may connect from now on; they are answered once a server takes the socket.
    """
    # asyncio turns Nagle's delay off only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(128)
    return listener
