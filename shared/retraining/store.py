"""Keeps loops: a row each, and their reaction's budget in the same partition."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from shared.base.documents import Changed, Documents, JsonForm, Kept, RowAddress
from shared.base.ports import Tables, Value
from shared.events.model import Workspace
from shared.retraining.budget import Budget
from shared.retraining.model import Loop, loop_id, partition_of

TABLE = "SignalboxLoops"
_ID = re.compile(r"[0-9a-f]{32}")


def _columns(loop: Loop) -> dict[str, Value]:
    return {
        "kind": "loop",
        "untold": bool(loop.notices or loop.unsettled or loop.leaving),
        "running": any(item.may_run for item in loop.retrainings),
        "idle": loop.is_idle,
        **({"seen_at": loop.windows[-1].at} if loop.windows else {}),
    }


_LOOP = JsonForm(Loop, _columns)


class LoopStore:
    """Loops and budgets, kept in a table. Each call is one request, except long queries."""

    def __init__(self, *, tables: Tables) -> None:
        self._tables = tables
        self._loops = Documents(tables, TABLE, _LOOP)

    def get(self, loop_id: str) -> Kept[Loop] | None:
        """Return the loop of this id, or None, also for an id that no loop can have."""
        return None if _ID.fullmatch(loop_id) is None else self._loops.get(_address(loop_id))

    def get_for(self, reaction: str, workspace: Workspace, monitor: str) -> Kept[Loop]:
        """Return a reaction's loop over a monitor: a new one, with no ETag, if there is none."""
        at = _address(loop_id(reaction, workspace, monitor))
        new = Loop(reaction=reaction, workspace=workspace, monitor=monitor)
        return self._loops.get(at) or Kept(at=at, value=new)

    def save(self, loop: Loop, etag: str) -> Kept[Loop]:
        """Write the loop, unless its row was changed since it was read, or made if there was none.

        A loop that is longer than a row is kept without its oldest windows, and if that is not
        enough without its oldest messages. The returned loop is the one that is kept.

        Raises: RowChanged.
        """
        return self._loops.save(_address(loop.id), _fitting(loop), etag)

    def change(
        self,
        loop_id: str,
        change: Callable[[Loop | None], Loop | None],
        *,
        known: Kept[Loop] | None = None,
    ) -> Changed[Loop]:
        """Change the loop as it is by now, and keep it as `save` does: see `Documents.change`."""

        def fitting(found: Loop | None) -> Loop | None:
            loop = change(found)
            return None if loop is None else _fitting(loop)

        return self._loops.change(_address(loop_id), fitting, known=known)

    def all(self) -> Iterator[Kept[Loop]]:
        """Yield every loop."""
        return self._loops.find(equals={"kind": "loop"})

    def untold(self) -> Iterator[Kept[Loop]]:
        """Yield the loops with messages to send or outcomes to record."""
        return self._loops.find(equals={"kind": "loop", "untold": True})

    def running(self) -> Iterator[Kept[Loop]]:
        """Yield the loops with a retraining whose run may not have ended."""
        return self._loops.find(equals={"kind": "loop", "running": True})

    def idle(self, before: datetime) -> Iterator[Kept[Loop]]:
        """Yield the loops that nobody waits for and whose monitor has reported no window since."""
        return self._loops.find(equals={"kind": "loop", "idle": True}, before=("seen_at", before))

    def remove(self, kept: Kept[Loop]) -> None:
        """Delete a loop's row, unless it has changed since it was read."""
        self._loops.remove(kept)

    def budget(self, reaction: str) -> Kept[Budget]:
        """Return a reaction's budget: an empty one, with no ETag, if there is no row."""
        at = _budget_of(reaction)
        return self._budgets(reaction).get(at) or Kept(at=at, value=Budget())

    def save_budget(self, reaction: str, budget: Budget, etag: str) -> Kept[Budget]:
        """Write a reaction's budget, unless it was changed since it was read.

        Raises: RowChanged.
        """
        return self._budgets(reaction).save(_budget_of(reaction), budget, etag)

    def change_budget(self, reaction: str, change: Callable[[Budget], Budget]) -> Changed[Budget]:
        """Change a reaction's present budget; write it only if that makes a difference."""

        def changed(found: Budget | None) -> Budget | None:
            before = found or Budget()
            after = change(before)
            return None if after == before else after

        return self._budgets(reaction).change(_budget_of(reaction), changed)

    def _budgets(self, reaction: str) -> Documents[Budget]:
        form = JsonForm(Budget, lambda _: {"kind": "budget", "reaction": reaction})
        return Documents(self._tables, TABLE, form)


def _address(loop_id: str) -> RowAddress:
    return loop_id[:16], loop_id


def _budget_of(reaction: str) -> RowAddress:
    return partition_of(reaction), "budget"


def _fitting(loop: Loop) -> Loop:
    while not _LOOP.has_room(loop) and (loop.windows or loop.notices):
        if loop.windows:
            loop = replace(loop, windows=loop.windows[1 + len(loop.windows) // 10 :])
        else:
            left = loop.notices[1 + len(loop.notices) // 10 :]
            loop = replace(loop, notices=left, given_up="not told: more messages than a row holds")
    return loop
