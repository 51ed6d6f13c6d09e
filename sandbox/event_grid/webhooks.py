"""Webhooks: posting notifications over connections that are kept, at little cost for each."""

import ssl
from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, urlsplit

from sandbox.wire import Connection

#: The characters of a header's value; any other would end the header or the head.
_HEADER_SAFE = " !#$%&'()*+,/:;=?@[]~"


class Webhooks:
    """Posts notifications; one connection is used by one notification at a time."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._idle: defaultdict[str, list[Connection]] = defaultdict(list)

    async def post(self, url: str, headers: Mapping[str, str], content: bytes) -> int:
        """Return the status of the answer.

        A webhook that is gone raises OSError, one that leaves midway asyncio.IncompleteReadError.
        """
        target = urlsplit(url)
        idle = self._idle[f"{target.scheme}://{target.netloc}"]
        connection = idle.pop() if idle else self._connect(target)
        lives_on = False
        try:
            _, status, lives_on = await connection.ask(
                _write_request(target, headers, content), "POST"
            )
        finally:
            if lives_on:
                idle.append(connection)
            else:
                connection.drop()
        return status

    def close(self) -> None:
        """Drop the connections that are kept."""
        for idle in self._idle.values():
            while idle:
                idle.pop().drop()

    def _connect(self, target: SplitResult) -> Connection:
        secure = target.scheme == "https"
        port = target.port or (443 if secure else 80)
        return Connection(target.hostname or "", port, self._tls if secure else None)


def _write_request(target: SplitResult, headers: Mapping[str, str], content: bytes) -> bytes:
    path = f"{target.path or '/'}{'?' if target.query else ''}{target.query}"
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {target.netloc}",
        f"Content-Length: {len(content)}",
        *(f"{name}: {quote(value, safe=_HEADER_SAFE)}" for name, value in headers.items()),
    ]
    return "\r\n".join((*lines, "", "")).encode() + content
