"""Bodies of events as they arrived: a short one is kept in its row, a long one in a blob."""

from shared.base.outgoing import Clean, for_row
from shared.base.ports import Blobs

#: A row's string holds 32,000 UTF-16 units, which are never more than its UTF-8 bytes; a longer
#: body goes to a blob.
_INLINE_MAX = 30_000


class Bodies:
    """The long bodies of one kind of row, each in a blob with the name that the row gives it.

    Every method may raise StorageUnavailable and StorageDenied.
    """

    def __init__(self, blobs: Blobs, container: str) -> None:
        self._blobs = blobs
        self._container = container

    def put(self, name: str, body: str) -> None:
        """Write a body. The row comes after it, so that no row names a missing blob."""
        self._blobs.put(self._container, name, body.encode())

    def get(self, name: str) -> str:
        """Return a body, "" where there is none."""
        return (self._blobs.get(self._container, name) or b"").decode()

    def remove(self, name: str) -> None:
        """Delete a body, absent or not."""
        self._blobs.delete(self._container, name)


def clean(body: str) -> str:
    """Return a body without secrets, as it is kept: what takes them out can make a text longer."""
    return Clean(for_row(body))


def is_long(body: str) -> bool:
    """Return whether a row has no room for a body."""
    return len(body.encode()) > _INLINE_MAX
