"""Azure blobs. One request per call, except that a write that finds no container creates it."""

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from shared.adapters.storage.account import storage_errors
from shared.adapters.storage.limits import plain_body
from shared.base.lazy import Lazy

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobServiceClient


class AzureBlobs:
    """Blobs of a storage account, safe to share between threads.

    Every method may raise StorageUnavailable and StorageDenied.
    """

    def __init__(self, connect: Callable[[], "BlobServiceClient"]) -> None:
        """Connect on first use."""
        self._service: Final = Lazy(connect)

    def put(self, container: str, name: str, body: bytes) -> None:
        """Write the blob, whether or not there is one."""
        client, body = self._client(container, name), plain_body(body)
        with storage_errors(f"writing a blob of {container}", self._service):
            try:
                client.upload_blob(body, overwrite=True)
            except ResourceNotFoundError:
                self._create(container)
                client.upload_blob(body, overwrite=True)

    def get(self, container: str, name: str) -> bytes | None:
        """Return the blob's bytes, or None."""
        with storage_errors(f"reading a blob of {container}", self._service):
            try:
                return self._client(container, name).download_blob().readall()
            except ResourceNotFoundError:
                return None

    def delete(self, container: str, name: str) -> None:
        """Delete the blob, absent or not."""
        with storage_errors(f"deleting a blob of {container}", self._service):
            try:
                self._client(container, name).delete_blob()
            except ResourceNotFoundError:
                return

    def names(self, container: str, *, prefix: str = "", most: int = 100) -> tuple[str, ...]:
        """Return up to `most` names in order; () without a container."""
        client = self._service().get_container_client(container)
        with storage_errors(f"listing the blobs of {container}", self._service):
            try:
                found = client.list_blob_names(name_starts_with=prefix, results_per_page=most)
                return tuple(islice(found, most))
            except ResourceNotFoundError:
                return ()

    def _client(self, container: str, name: str) -> "BlobClient":
        return self._service().get_blob_client(container, name)

    def _create(self, container: str) -> None:
        try:
            self._service().create_container(container)
        except ResourceExistsError:
            return
