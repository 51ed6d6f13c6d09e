"""Keeps launches: a row each, in the partition of their reaction."""

from collections.abc import Callable, Iterator
from datetime import datetime

from shared.base.documents import Changed, Documents, JsonForm, Kept
from shared.base.ports import Tables, Value
from shared.launches.model import Launch

TABLE = "SignalboxLaunches"


def _columns(launch: Launch) -> dict[str, Value]:
    return {"open": launch.is_open, "changed_at": launch.changed_at}


class LaunchStore:
    """Launches, kept in a table. Each call is one request, except long queries."""

    def __init__(self, *, tables: Tables) -> None:
        self._launches = Documents(tables, TABLE, JsonForm(Launch, _columns))

    def get(self, partition: str, launch_id: str) -> Kept[Launch] | None:
        """Return the launch of this id, or None."""
        return self._launches.get((partition, launch_id))

    def save(self, launch: Launch, etag: str) -> Kept[Launch]:
        """Write the launch, unless its row was changed since it was read, or made if new.

        Raises: RowChanged.
        """
        return self._launches.save((launch.partition, launch.id), launch, etag)

    def change(
        self, partition: str, launch_id: str, change: Callable[[Launch | None], Launch | None]
    ) -> Changed[Launch]:
        """Change the launch as it is by now: see `Documents.change`."""
        return self._launches.change((partition, launch_id), change)

    def open(self) -> Iterator[Kept[Launch]]:
        """Yield the launches that run, or whose end is still to be recorded or told."""
        return self._launches.find(equals={"open": True})

    def old(self, before: datetime) -> Iterator[Kept[Launch]]:
        """Yield the launches of which nothing more has come since then."""
        return self._launches.find(equals={"open": False}, before=("changed_at", before))

    def remove(self, kept: Kept[Launch]) -> None:
        """Delete a launch's row, unless it has changed since it was read."""
        self._launches.remove(kept)
