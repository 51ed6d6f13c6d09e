"""Where rollouts are kept: a row each, and a lock row for each endpoint, in its partition."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import batched

from pydantic import TypeAdapter

from shared.base.long_documents import join, split
from shared.base.ports import BATCH_MAX, Row, RowChanged, RowExists, Tables, Value
from shared.rollouts.state.measurement import Measurement
from shared.rollouts.state.phases import EXCLUSIVE
from shared.rollouts.state.rollout import Rollout

TABLE = "SignalboxRollouts"
#: Every look at the gates: a row each, in the partition of its rollout.
MEASUREMENTS = "SignalboxMeasurements"
_LOCK = "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRollout:
    """A rollout as it was read, with the ETag that a conditional write must present."""

    rollout: Rollout
    etag: str


class RolloutStore:
    """Rollouts and endpoint locks, kept in a table."""

    def __init__(self, *, tables: Tables) -> None:
        self._tables = tables

    def add(self, rollout: Rollout) -> KeptRollout:
        """Add a rollout, or return the one that has its id already."""
        try:
            etag = self._tables.insert(TABLE, rollout.partition, rollout.id, _values(rollout))
        except RowExists:
            kept = self.get(rollout.partition, rollout.id)
            if kept is not None:
                return kept
            raise
        return KeptRollout(rollout=rollout, etag=etag)

    def get(self, partition: str, rollout_id: str) -> KeptRollout | None:
        """Return the rollout, or None."""
        row = self._tables.get(TABLE, partition, rollout_id)
        return None if row is None else _kept_from(row)

    def save(self, rollout: Rollout, *, etag: str) -> KeptRollout:
        """Write the rollout if nobody has since it was read.

        Raises: RowChanged.
        """
        new = self._tables.replace(
            TABLE, rollout.partition, rollout.id, _values(rollout), etag=etag
        )
        return KeptRollout(rollout=rollout, etag=new)

    def all(self) -> Iterator[KeptRollout]:
        """Yield every rollout."""
        for row in self._tables.query(TABLE, equals={"kind": "rollout"}):
            yield _kept_from(row)

    def open(self, partition: str | None = None) -> Iterator[KeptRollout]:
        """Yield the rollouts that have not ended, of one endpoint or of all."""
        rows = self._tables.query(
            TABLE, partition=partition, equals={"kind": "rollout", "open": True}
        )
        for row in rows:
            yield _kept_from(row)

    def overdue(self, before: datetime) -> Iterator[KeptRollout]:
        """Yield the rollouts whose tick was due before then and that have not ended."""
        rows = self._tables.query(
            TABLE, equals={"kind": "rollout", "open": True}, before=("due_at", before)
        )
        for row in rows:
            yield _kept_from(row)

    def ended(self, before: datetime) -> Iterator[KeptRollout]:
        """Yield the rollouts that ended before then."""
        rows = self._tables.query(
            TABLE, equals={"kind": "rollout", "open": False}, before=("due_at", before)
        )
        for row in rows:
            yield _kept_from(row)

    def add_measurements(self, rollout: Rollout, found: tuple[Measurement, ...]) -> None:
        """Keep what a look at the gates showed, once for a tick and step."""
        document = _measurements().dump_json(found, exclude_defaults=True).decode()
        key = f"{rollout.tick:08}-{rollout.step + 1:03}"
        try:
            self._tables.insert(MEASUREMENTS, rollout.id, key, split(document))
        except RowExists:
            # A tick that is done again: what it decides by is what it sees now.
            row = self._tables.get(MEASUREMENTS, rollout.id, key)
            if row is not None:
                values = split(document)
                self._tables.replace(MEASUREMENTS, rollout.id, key, values, etag=row.etag)

    def measurements(self, rollout_id: str) -> tuple[Measurement, ...]:
        """Return every measurement of a rollout, the oldest first."""
        rows = sorted(
            self._tables.query(MEASUREMENTS, partition=rollout_id), key=lambda row: row.key
        )
        return tuple(
            item for row in rows for item in _measurements().validate_json(join(row.values))
        )

    def remove(self, kept: KeptRollout) -> None:
        """Delete a rollout's row, and its measurements before it, unless it has changed."""
        found = self.get(kept.rollout.partition, kept.rollout.id)
        if found is None or found.etag != kept.etag:
            return  # a person has it tried again
        rows = self._tables.query(MEASUREMENTS, partition=kept.rollout.id)
        for batch in batched(rows, BATCH_MAX, strict=False):
            self._tables.delete_all(MEASUREMENTS, batch)
        with suppress(RowChanged):
            self._tables.delete(TABLE, kept.rollout.partition, kept.rollout.id, etag=kept.etag)

    def lock(self, rollout: Rollout) -> bool:
        """Take the endpoint for this rollout; say whether it has it.

        The lock has no lease: it is its holder's until the holder has ended or let go, so that no
        crash and no long operation can let two rollouts at one endpoint.
        """
        values: dict[str, Value] = {"kind": "lock", "holder": rollout.id}
        try:
            self._tables.insert(TABLE, rollout.partition, _LOCK, values)
        except RowExists:
            return self._take_over(rollout, values)
        return True

    def _take_over(self, rollout: Rollout, values: dict[str, Value]) -> bool:
        row = self._tables.get(TABLE, rollout.partition, _LOCK)
        if row is None:
            return False
        holder_id = str(row.values["holder"])
        if holder_id != rollout.id:
            holder = self.get(rollout.partition, holder_id)
            if holder is not None and holder.rollout.phase in EXCLUSIVE:
                return False
        try:
            # Its own as well: whoever read that it was over finds that it isn't.
            self._tables.replace(TABLE, rollout.partition, _LOCK, values, etag=row.etag)
        except RowChanged:
            return False
        return True

    def find_holder(self, rollout: Rollout) -> Rollout | None:
        """Return the rollout that has the endpoint, None where none has."""
        row = self._tables.get(TABLE, rollout.partition, _LOCK)
        kept = None if row is None else self.get(rollout.partition, str(row.values["holder"]))
        return None if kept is None else kept.rollout

    def is_free(self, rollout: Rollout) -> bool:
        """Say whether this rollout could take the endpoint now: one request, or two."""
        row = self._tables.get(TABLE, rollout.partition, _LOCK)
        if row is None:
            return True
        holder = self.get(rollout.partition, str(row.values["holder"]))
        return holder is None or holder.rollout.phase not in EXCLUSIVE

    def find_lock(self, rollout: Rollout) -> str:
        """Return the ETag of the endpoint's lock if this rollout has it, else ""."""
        row = self._tables.get(TABLE, rollout.partition, _LOCK)
        return row.etag if row is not None and row.values["holder"] == rollout.id else ""

    def unlock(self, rollout: Rollout, etag: str) -> None:
        """Let go of the endpoint, if nobody has taken it over since its lock was read."""
        with suppress(RowChanged):
            self._tables.delete(TABLE, rollout.partition, _LOCK, etag=etag)


@cache
def _document() -> TypeAdapter[Rollout]:
    return TypeAdapter(Rollout)


@cache
def _measurements() -> TypeAdapter[tuple[Measurement, ...]]:
    return TypeAdapter(tuple[Measurement, ...])


def _values(rollout: Rollout) -> dict[str, Value]:
    document = _document().dump_json(rollout, exclude_defaults=True).decode()
    return {
        "kind": "rollout",
        "open": rollout.is_open,
        "due_at": rollout.due_at,
        **split(document),
    }


def _kept_from(row: Row) -> KeptRollout:
    return KeptRollout(rollout=_document().validate_json(join(row.values)), etag=row.etag)
