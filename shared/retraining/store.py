"""Where loops are kept: a row each, and in the same partition their reaction's budget."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from pydantic import TypeAdapter

from shared.base.long_documents import fits, join, split
from shared.base.ports import Row, RowChanged, RowExists, Tables, Value
from shared.events.model import Workspace
from shared.retraining.budget import Budget
from shared.retraining.model import Loop, loop_id, partition_of

TABLE = "SignalboxLoops"
_BUDGET = "budget"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLoop:
    """A loop as it was read, with the ETag that a save must present: "" where it has no row."""

    loop: Loop
    etag: str


class LoopStore:
    """Loops and budgets, kept in a table. Each call is one request, but for long queries."""

    def __init__(self, *, tables: Tables) -> None:
        self._tables = tables

    def get(self, loop_id: str) -> KeptLoop | None:
        """Return the loop of this id, or None; also where no loop can have such an id."""
        if _ID.fullmatch(loop_id) is None:
            return None
        row = self._tables.get(TABLE, loop_id[:16], loop_id)
        return None if row is None else _kept_from(row)

    def get_for(self, reaction: str, workspace: Workspace, monitor: str) -> KeptLoop:
        """Return a reaction's loop over a monitor: a new one, with no ETag, if there is none."""
        kept = self.get(loop_id(reaction, workspace, monitor))
        if kept is not None:
            return kept
        return KeptLoop(loop=Loop(reaction=reaction, workspace=workspace, monitor=monitor), etag="")

    def save(self, loop: Loop, etag: str) -> KeptLoop:
        """Write the loop if nobody has since it was read, or made one where there was none.

        A loop that is longer than a row is kept without its oldest windows, and where that is not
        enough without its oldest messages: the loop that is returned is the one that is kept.

        Raises: RowChanged.
        """
        loop, document = _fitting(loop)
        values: dict[str, Value] = {
            "kind": "loop",
            "untold": bool(loop.notices or loop.unsettled or loop.leaving),
            "running": any(item.may_run for item in loop.retrainings),
            "idle": loop.is_idle,
            **({"seen_at": loop.windows[-1].at} if loop.windows else {}),
            **split(document),
        }
        new = self._write(partition_of(loop.reaction), loop.id, values, etag)
        return KeptLoop(loop=loop, etag=new)

    def all(self) -> Iterator[KeptLoop]:
        """Yield every loop."""
        return self._query({"kind": "loop"})

    def untold(self) -> Iterator[KeptLoop]:
        """Yield the loops of which people, or the record, are still to be told something."""
        return self._query({"kind": "loop", "untold": True})

    def running(self) -> Iterator[KeptLoop]:
        """Yield the loops with a retraining whose run may not have ended."""
        return self._query({"kind": "loop", "running": True})

    def idle(self, before: datetime) -> Iterator[KeptLoop]:
        """Yield the loops that nobody waits for and whose monitor told of no window since then."""
        rows = self._tables.query(
            TABLE, equals={"kind": "loop", "idle": True}, before=("seen_at", before)
        )
        for row in rows:
            yield _kept_from(row)

    def remove(self, kept: KeptLoop) -> None:
        """Delete a loop's row, unless it has changed since it was read."""
        loop = kept.loop
        with suppress(RowChanged):
            self._tables.delete(TABLE, partition_of(loop.reaction), loop.id, etag=kept.etag)

    def budget(self, reaction: str) -> tuple[Budget, str]:
        """Return a reaction's budget and its ETag: an empty one, with none, if there is no row."""
        row = self._tables.get(TABLE, partition_of(reaction), _BUDGET)
        if row is None:
            return Budget(), ""
        return _budget_document().validate_json(join(row.values)), row.etag

    def save_budget(self, reaction: str, budget: Budget, etag: str) -> str:
        """Write a reaction's budget if nobody has since it was read; return its new ETag.

        Raises: RowChanged.
        """
        document = _budget_document().dump_json(budget, exclude_defaults=True).decode()
        values: dict[str, Value] = {"kind": "budget", "reaction": reaction, **split(document)}
        return self._write(partition_of(reaction), _BUDGET, values, etag)

    def _write(self, partition: str, key: str, values: Mapping[str, Value], etag: str) -> str:
        if etag:
            return self._tables.replace(TABLE, partition, key, values, etag=etag)
        try:
            return self._tables.insert(TABLE, partition, key, values)
        except RowExists as error:
            raise RowChanged(str(error)) from None

    def _query(self, equals: Mapping[str, Value]) -> Iterator[KeptLoop]:
        for row in self._tables.query(TABLE, equals=equals):
            yield _kept_from(row)


def _fitting(loop: Loop) -> tuple[Loop, str]:
    document = _document().dump_json(loop, exclude_defaults=True).decode()
    while not fits(document) and (loop.windows or loop.notices):
        if loop.windows:
            loop = replace(loop, windows=loop.windows[1 + len(loop.windows) // 10 :])
        else:
            left = loop.notices[1 + len(loop.notices) // 10 :]
            loop = replace(loop, notices=left, untold="not told: more messages than a row holds")
        document = _document().dump_json(loop, exclude_defaults=True).decode()
    return loop, document


@cache
def _document() -> TypeAdapter[Loop]:
    return TypeAdapter(Loop)


@cache
def _budget_document() -> TypeAdapter[Budget]:
    return TypeAdapter(Budget)


def _kept_from(row: Row) -> KeptLoop:
    return KeptLoop(loop=_document().validate_json(join(row.values)), etag=row.etag)
