"""The store of rollouts: a row each, and a lock row for each endpoint, in its partition."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.base.documents import Changed, ColumnForm, Documents, JsonForm, Kept, RowAddress
from shared.base.ports import RowExists, Tables, Value
from shared.rollouts.state.measurement import Measurement
from shared.rollouts.state.phases import EXCLUSIVE
from shared.rollouts.state.rollout import Rollout

TABLE = "SignalboxRollouts"
#: Every look at the gates: a row each, in the partition of its rollout.
MEASUREMENTS = "SignalboxMeasurements"
_LOCK = "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLock:
    """The lock of an endpoint, with the id of the rollout that has it."""

    holder: str
    kind: str = "lock"


def _columns(rollout: Rollout) -> Mapping[str, Value]:
    return {"kind": "rollout", "open": rollout.is_open, "due_at": rollout.schedule.due_at}


class RolloutStore:
    """Rollouts and endpoint locks, kept in a table."""

    def __init__(self, *, tables: Tables) -> None:
        self._rollouts = Documents(tables, TABLE, JsonForm(Rollout, _columns))
        self._locks = Documents(tables, TABLE, ColumnForm(EndpointLock))
        self._measurements = Documents(
            tables, MEASUREMENTS, JsonForm(tuple[Measurement, ...], lambda _: {})
        )

    def add(self, rollout: Rollout) -> Kept[Rollout]:
        """Add a rollout, or return the one that has its id already."""
        try:
            return self._rollouts.add(_address(rollout), rollout)
        except RowExists:
            kept = self._rollouts.get(_address(rollout))
            if kept is not None:
                return kept
            raise

    def get(self, partition: str, rollout_id: str) -> Kept[Rollout] | None:
        """Return the rollout, or None."""
        return self._rollouts.get((partition, rollout_id))

    def save(self, rollout: Rollout, *, etag: str) -> Kept[Rollout]:
        """Write the rollout if nobody has since it was read.

        Raises: RowChanged.
        """
        return self._rollouts.save(_address(rollout), rollout, etag)

    def change(
        self,
        rollout: Rollout,
        change: Callable[[Rollout | None], Rollout | None],
        *,
        known: Kept[Rollout] | None = None,
    ) -> Changed[Rollout]:
        """Change the rollout as it is by now: see `Documents.change`."""
        return self._rollouts.change(_address(rollout), change, known=known)

    def all(self) -> Iterator[Kept[Rollout]]:
        """Yield every rollout."""
        return self._find()

    def of_endpoint(self, partition: str) -> Iterator[Kept[Rollout]]:
        """Yield the rollouts of one endpoint, ended ones too, in no order."""
        return self._find(partition=partition)

    def open(self, partition: str | None = None) -> Iterator[Kept[Rollout]]:
        """Yield the rollouts that have not ended, of one endpoint or of all."""
        return self._find({"open": True}, partition=partition)

    def overdue(self, before: datetime) -> Iterator[Kept[Rollout]]:
        """Yield the rollouts whose tick was due before then and that have not ended."""
        return self._find({"open": True}, before=("due_at", before))

    def ended(self, before: datetime) -> Iterator[Kept[Rollout]]:
        """Yield the rollouts that ended before then."""
        return self._find({"open": False}, before=("due_at", before))

    def _find(
        self,
        equals: Mapping[str, Value] | None = None,
        *,
        partition: str | None = None,
        before: tuple[str, datetime] | None = None,
    ) -> Iterator[Kept[Rollout]]:
        only = {"kind": "rollout", **(equals or {})}
        return self._rollouts.find(partition=partition, equals=only, before=before)

    def add_measurements(self, rollout: Rollout, found: tuple[Measurement, ...]) -> None:
        """Keep what a look at the gates showed, once for a tick and step.

        A tick that is done again decides by what it sees then, and that is kept.
        """
        at = (rollout.id, f"{rollout.schedule.tick:08}-{rollout.step + 1:03}")
        self._measurements.change(at, lambda _: found, is_new=True)

    def measurements(self, rollout_id: str) -> tuple[Measurement, ...]:
        """Return every measurement of a rollout, the oldest first."""
        looks = sorted(self._measurements.find(partition=rollout_id), key=lambda kept: kept.at)
        return tuple(item for look in looks for item in look.value)

    def remove(self, kept: Kept[Rollout]) -> None:
        """Delete a rollout's row, and its measurements before it, unless it has changed."""
        found = self._rollouts.get(kept.at)
        if found is None or found.etag != kept.etag:
            return  # a person has it tried again
        self._measurements.remove_partition(kept.value.id)
        self._rollouts.remove(kept)

    def lock(self, rollout: Rollout) -> bool:
        """Take the endpoint for this rollout; return whether it has it.

        The lock has no lease: it is its holder's until the holder has ended or let go, so that no
        crash and no long operation can give one endpoint to two rollouts.
        """

        def take(lock: EndpointLock | None) -> EndpointLock | None:
            if lock is not None and lock.holder != rollout.id and not self._is_over(rollout, lock):
                return None
            # Its own lock is written too: a worker that read that the rollout was over finds
            # the lock changed.
            return EndpointLock(holder=rollout.id)

        return self._locks.change(_lock_of(rollout), take, is_new=True).saved is not None

    def _is_over(self, rollout: Rollout, lock: EndpointLock) -> bool:
        holder = self.get(rollout.partition, lock.holder)
        return holder is None or holder.value.phase not in EXCLUSIVE

    def find_holder(self, rollout: Rollout) -> Rollout | None:
        """Return the rollout that has the endpoint, None where none has."""
        lock = self._locks.get(_lock_of(rollout))
        kept = None if lock is None else self.get(rollout.partition, lock.value.holder)
        return None if kept is None else kept.value

    def is_free(self, rollout: Rollout) -> bool:
        """Return whether this rollout could take the endpoint now: one request, or two."""
        lock = self._locks.get(_lock_of(rollout))
        return lock is None or self._is_over(rollout, lock.value)

    def find_lock(self, rollout: Rollout) -> Kept[EndpointLock] | None:
        """Return the endpoint's lock if this rollout has it, else None."""
        lock = self._locks.get(_lock_of(rollout))
        return lock if lock is not None and lock.value.holder == rollout.id else None

    def unlock(self, lock: Kept[EndpointLock]) -> None:
        """Let go of the endpoint, if nobody has taken it over since its lock was read."""
        self._locks.remove(lock)


def _address(rollout: Rollout) -> RowAddress:
    return rollout.partition, rollout.id


def _lock_of(rollout: Rollout) -> RowAddress:
    return rollout.partition, _LOCK
