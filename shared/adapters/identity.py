"""The identity of the app, and its tokens."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from shared.base.redact import redact

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

#: In seconds. The platform's own endpoint is on the same machine, and begins with the app.
_TIMEOUT = 5
#: A token that ends within this many seconds is not used any more.
_TOKEN_LEFT = 300


class NoToken(Exception):
    """There is no token: the identity may not have one, or nobody answered."""

    def __init__(self, reason: str, *, is_denied: bool) -> None:
        super().__init__(reason)
        self.is_denied: Final = is_denied

    def __str__(self) -> str:
        reason = super().__str__()
        return f"the app could not sign in: {reason}" if self.is_denied else f"no answer ({reason})"


def make_credential(environ: Mapping[str, str]) -> "TokenCredential":
    """Return the app's managed identity where there is one, or a developer's own on a laptop.

    On a laptop azure-identity makes its own requests. It also starts programs and browsers there,
    to which the bounds of http.py would not apply.
    """
    if "IDENTITY_ENDPOINT" in environ:
        from azure.identity import ManagedIdentityCredential

        from shared.adapters.http import Http
        from shared.adapters.requests_adapter import transport

        return ManagedIdentityCredential(
            client_id=environ.get("AZURE_CLIENT_ID"),
            transport=transport(Http(), seconds=_TIMEOUT),
            # By default it would try for minutes.
            retry_total=1,
            retry_backoff_factor=0,
        )
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


class Tokens:
    """The app's tokens for one audience, each used until shortly before it ends."""

    def __init__(self, credential: "Callable[[], TokenCredential]", audience: str) -> None:
        """Make the credential on first use."""
        self._credential: Final = credential
        self._scope: Final = f"{audience}/.default"
        self._kept: AccessToken | None = None

    def get(self) -> str:
        """Return a token. Raises: NoToken."""
        kept = self._kept
        if kept is None or kept.expires_on - time.time() < _TOKEN_LEFT:
            try:
                kept = self._kept = self._credential().get_token(self._scope)
            except Exception as error:  # its libraries crash on answers of unknown shapes
                raise no_token(error) from error
        return kept.token

    def forget(self) -> None:
        """Ask for another one next time: the one that is kept was not accepted."""
        self._kept = None


def no_token(error: Exception) -> NoToken:
    """Return the reason why azure-identity gave no token."""
    from azure.core.exceptions import ClientAuthenticationError

    if isinstance(error, ClientAuthenticationError):
        reason = redact(str(error).partition("\n")[0], most=300)
        return NoToken(reason, is_denied=(error.status_code or 0) < 500)
    return NoToken(type(error).__name__, is_denied=False)
