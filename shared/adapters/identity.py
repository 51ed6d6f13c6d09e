"""Who the app is: its managed identity, and the tokens that it is given."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from shared.base.redact import redact

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

#: In seconds. The platform's own endpoint is on the same machine, and begins with the app.
_TIMEOUT = 5


class NoToken(Exception):
    """There is no token, because the identity may not have one, or because nobody answered."""

    def __init__(self, reason: str, *, is_denied: bool) -> None:
        super().__init__(reason)
        self.is_denied: Final = is_denied

    def __str__(self) -> str:
        told = super().__str__()
        return f"the app could not sign in: {told}" if self.is_denied else f"no answer ({told})"


def make_credential(environ: Mapping[str, str]) -> "TokenCredential":
    """Return the app's managed identity where there is one, or a developer's own on a laptop."""
    if "IDENTITY_ENDPOINT" in environ:
        from azure.identity import ManagedIdentityCredential

        from shared.adapters.carrier import transport
        from shared.adapters.http import Http

        return ManagedIdentityCredential(
            client_id=environ.get("AZURE_CLIENT_ID"),
            transport=transport(Http(), seconds=_TIMEOUT),
            # By itself it would try for minutes.
            retry_total=1,
            retry_backoff_factor=0,
        )
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def get_token(credential: "Callable[[], TokenCredential]", scope: str) -> "AccessToken":
    """Return a token for a scope. Raises: NoToken."""
    from azure.core.exceptions import ClientAuthenticationError

    try:
        return credential().get_token(scope)
    except ClientAuthenticationError as error:
        reason = redact(str(error).partition("\n")[0], most=300)
        raise NoToken(reason, is_denied=(error.status_code or 0) < 500) from error
    except Exception as error:  # its libraries trip over answers of another shape than they know
        raise NoToken(type(error).__name__, is_denied=False) from error
