"""The keys that callers of the host must show."""

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

_BYTES = 40


def _new_key() -> str:
    """Make a key such as the real host's: 56 characters, `==` at the end, any at the beginning."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode()


@dataclass(frozen=True)
class Keys:
    """The function, master and Event Grid keys of one host."""

    #: Of the host: it opens every function.
    function: str = field(default_factory=_new_key)
    master: str = field(default_factory=_new_key)
    #: The system key `eventgrid_extension`.
    event_grid: str = field(default_factory=_new_key)


def refuse(
    request: Request, accepted: Iterable[str], *, known: Iterable[str] = ()
) -> Response | None:
    """Return None for a request with one of the accepted keys, as `x-functions-key` or `code`.

    The answer to others is 403 where the key is a `known` one, else 401. The header goes first.
    """
    shown = request.headers.get("x-functions-key") or request.query_params.get("code") or ""
    if _is_one_of(shown, accepted):
        return None
    if _is_one_of(shown, known):
        return Response(status_code=403)
    return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})


def _is_one_of(shown: str, keys: Iterable[str]) -> bool:
    return any(secrets.compare_digest(shown.encode(), key.encode()) for key in keys)
