"""The wire between host and worker: JSON objects, each preceded by its length in four bytes.

Host to worker: `{"type": "invoke", "id", "function_id", "input", "data", "metadata", "trace"}`.
Worker to host: `{"type": "started", "functions"}`, `{"type": "failed", "message", "stack_trace"}`,
`{"type": "result", "id", "error", "return_value"}`.

A value travels as a one-entry object, as in the real host's TypedData: `{"json": text}`,
`{"string": text}`, `{"bytes": base64}` or `{"http": {...}}`.
"""

import asyncio
import base64
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

type Message = dict[str, Any]
type Value = dict[str, Any]

_LENGTH = struct.Struct(">I")


def encode(message: Message) -> bytes:
    """One message as the bytes that travel."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


async def receive(reader: asyncio.StreamReader) -> Message | None:
    """The next message, or None when the other side is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        message: Message = json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return message


def messages(sock: socket.socket) -> Iterator[Message]:
    """Every message until the other side is gone, for a thread that may block."""
    with sock.makefile("rb") as stream:
        while len(header := stream.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(header)
            body = stream.read(length)
            if len(body) < length:
                return
            yield json.loads(body)


def json_value(content: Any) -> Value:
    """A JSON document as a value."""
    return {"json": json.dumps(content)}


def bytes_value(content: bytes) -> Value:
    """Raw bytes as a value."""
    return {"bytes": base64.b64encode(content).decode()}
