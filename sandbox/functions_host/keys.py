"""The keys that callers of the host must show."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.requests import Request


def _new_key() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Keys:
    """The function, master and Event Grid keys of one host."""

    function: str = field(default_factory=_new_key)
    master: str = field(default_factory=_new_key)
    #: The system key `eventgrid_extension`.
    event_grid: str = field(default_factory=_new_key)


def shows_key(request: Request, accepted: Iterable[str]) -> bool:
    """Tell whether the request carries one of these keys, as `code` or `x-functions-key`."""
    shown = request.headers.get("x-functions-key") or request.query_params.get("code") or ""
    return any(secrets.compare_digest(shown.encode(), key.encode()) for key in accepted)
