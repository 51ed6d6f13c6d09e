"""The app's own storage account: its clients, and the meaning of its failures.

The settings are the ones that the Functions host reads for its own connection, so that one account
is configured once: `AzureWebJobsStorage` with a connection string, or, with the app's identity,
`AzureWebJobsStorage__accountName` or `AzureWebJobsStorage__{table,queue,blob}ServiceUri`.

Its requests are made by the SDKs with their own HTTP client, not with http.py's. They sign requests
with the account's key, encode entities and messages, and read pages of lists. The account is the
app's own, so that its answers are trusted.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from shared.base.errors import SettingInvalid, StorageDenied, StorageUnavailable
from shared.base.lazy import Lazy
from shared.base.redact import redact

if TYPE_CHECKING:
    from azure.data.tables import TableServiceClient
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

#: The host's own connection.
CONNECTION = "AzureWebJobsStorage"

#: In seconds. A trigger has 20 in all.
_TIMEOUTS: Final[Mapping[str, Any]] = {"connection_timeout": 5, "read_timeout": 10}
#: Only a connection that was never made is tried again at once. The caller retries all other
#: failures later; the SDK would sleep for as long as the service says.
_RETRIES: Final[Mapping[str, Any]] = {
    "retry_total": 1,
    "retry_connect": 1,
    "retry_read": 0,
    "retry_status": 0,
}

#: The account of `UseDevelopmentStorage=true`.
_AZURITE: Final = "devstoreaccount1"
_AZURITE_HINT: Final = (
    "That is Azurite's account, on this machine: docs/start/first-half-hour.md starts it."
)
_UNREACHED_HINT: Final = "See whether the account is there, and can be reached from here."


class StorageAccount:
    """One storage account as the app settings name it."""

    def __init__(
        self,
        settings: Mapping[str, str],
        credential: Callable[[], TokenCredential],
        *,
        connection: str = CONNECTION,
    ) -> None:
        """`settings` are the app settings; `credential` is called where they hold no key."""
        self._settings: Final = settings
        self._credential: Final = credential
        self._connection: Final = connection

    def table_client(self) -> "TableServiceClient":
        """Return a new client of the account's tables.

        Raises: SettingInvalid where the settings name no account, or are no valid connection.
        """
        from azure.data.tables import TableServiceClient

        # 0 seconds, because the one retry is of a connection that failed.
        return self._connect("table", TableServiceClient, **_RETRIES, retry_backoff_factor=0)

    def queue_client(self) -> "QueueServiceClient":
        """Return a new client of the account's queues; raises as table_client does."""
        from azure.storage.queue import LinearRetry, QueueServiceClient

        retries = LinearRetry(backoff=0, random_jitter_range=0, **_RETRIES)
        return self._connect("queue", QueueServiceClient, retry_policy=retries)

    def blob_client(self) -> "BlobServiceClient":
        """Return a new client of the account's blobs; raises as table_client does."""
        from azure.storage.blob import BlobServiceClient, LinearRetry

        retries = LinearRetry(backoff=0, random_jitter_range=0, **_RETRIES)
        return self._connect("blob", BlobServiceClient, retry_policy=retries)

    def _connect[C](self, service: str, client: type[C], **options: Any) -> C:
        make: Any = client  # The three have no common base, but the same ways to be made.
        options |= {**_TIMEOUTS, "logger": _quiet_logger()}
        text = self._settings.get(self._connection, "")
        if not text:
            url = self._service_url(service)
            made: C = make(url, credential=self._credential(), **options)
            return made
        try:
            made = make.from_connection_string(text, **options)
        except ValueError:
            # No traceback, because the SDK's frames hold the key.
            raise SettingInvalid(
                f"{self._connection} is not a storage connection string",
                hint="Copy it whole from the account's access keys, or use the app's identity.",
            ) from None
        return made

    def _service_url(self, service: str) -> str:
        url = self._settings.get(f"{self._connection}__{service}ServiceUri", "")
        if url:
            return url
        account = self._settings.get(f"{self._connection}__accountName", "")
        if account:
            return f"https://{account}.{service}.core.windows.net"
        raise SettingInvalid(
            f"no app setting says which storage account holds the app's {service}s",
            hint=f"Set {self._connection}__accountName to the account's name (with the app's "
            f"identity), or {self._connection} to a connection string.",
        )


@contextmanager
def storage_errors(doing: str, connected: Lazy[Any]) -> Iterator[None]:
    """Turn errors of storage into ours, which name the account; let all others through.

    StorageUnavailable passes by itself, StorageDenied once somebody assigns the role. They have no
    cause, because the address in it may be signed.
    """
    try:
        yield
    except AttributeError as error:
        # azure-data-tables 12.7 reads an answer that it does not have where signing in failed.
        if not isinstance(error.__context__, ClientAuthenticationError):
            raise
        raise _not_signed_in(doing, connected) from None
    except ClientAuthenticationError as error:
        if error.response is None:
            raise _not_signed_in(doing, connected) from None
        raise _refused(doing, connected, error) from None
    except (ServiceRequestError, ServiceResponseError, IncompleteReadError) as error:
        raise StorageUnavailable(
            f"{_attempt(doing, connected)}: no answer ({type(error).__name__})",
            hint=_AZURITE_HINT if _name(connected) == _AZURITE else _UNREACHED_HINT,
        ) from None
    except HttpResponseError as error:
        status = error.status_code or 0
        if status in (408, 429) or status >= 500:
            raise StorageUnavailable(f"{_attempt(doing, connected)}: HTTP {status}") from None
        if status in (401, 403):
            raise _refused(doing, connected, error) from None
        raise


def _not_signed_in(doing: str, connected: Lazy[Any]) -> StorageDenied:
    return StorageDenied(f"{_attempt(doing, connected)}: no credential could sign in")


def _refused(doing: str, connected: Lazy[Any], error: HttpResponseError) -> StorageDenied:
    code = getattr(error, "error_code", None) or f"HTTP {error.status_code}"
    return StorageDenied(f"{_attempt(doing, connected)}: {redact(str(code), most=100)}")


def _attempt(doing: str, connected: Lazy[Any]) -> str:
    """Return the attempt, with the name of the account."""
    name = _name(connected)
    return f"{doing} in storage account {name}" if name else doing


def _name(connected: Lazy[Any]) -> str:
    return getattr(connected.made, "account_name", None) or ""


def _quiet_logger() -> logging.Logger:
    # The SDKs log each request at INFO, which would drown the app's own log.
    logger = logging.getLogger(f"{__name__}.http")
    logger.setLevel(logging.WARNING)
    return logger
