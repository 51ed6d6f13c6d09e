"""The body of a request, which the real host reads up to a limit."""

from starlette.requests import Request
from starlette.responses import Response

MAX_BYTES = 104_857_600


class BodyTooLarge(Exception):
    """The body is longer than the real host reads."""

    @property
    def response(self) -> Response:
        """Return the real host's answer."""
        return Response(status_code=500, headers={"Connection": "close"})


async def read_body(request: Request) -> bytes:
    """Return the body; BodyTooLarge as soon as that is known."""
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise BodyTooLarge
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            raise BodyTooLarge
        parts.append(part)
    return b"".join(parts)
