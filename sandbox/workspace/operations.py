"""Long-running operations: who is busy, until when, and how it ended."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sandbox.workspace.arm import Json, conflict, timestamp
from sandbox.workspace.clock import Clock
from sandbox.workspace.rules import Subject

#: Emulated seconds that a client is asked to wait between two polls.
POLL_INTERVAL = 10


class Lockable(Protocol):
    """Something that operations change, one at a time."""

    workspace: str
    operation_url: str

    @property
    def entity(self) -> str:
        """The name under which operations lock it."""

    def subject(self) -> Subject:
        """Return what rules match on."""


type Finish = Callable[["Operation"], None]
type Result = Callable[[], Json | None]


@dataclass(slots=True, kw_only=True)
class Operation:
    """One accepted change of one entity, which ends by itself at `ends_at`."""

    id: str
    kind: str
    workspace: str
    entity: str
    started_at: datetime
    ends_at: datetime
    finish: Finish
    result: Result
    outcome: str
    error: Json | None
    #: The container's log, if it is the reason for a failure.
    logs: tuple[str, ...]
    is_over: bool = False

    @property
    def status(self) -> str:
        """InProgress, Succeeded, Failed or Canceled."""
        return self.outcome if self.is_over else "InProgress"

    def document(self, path: str) -> Json:
        """Return the status document that clients poll."""
        document: Json = {
            "id": path,
            "name": self.id,
            "status": self.status,
            "startTime": timestamp(self.started_at),
        }
        if self.is_over:
            document["endTime"] = timestamp(self.ends_at)
            if self.error:
                document["error"] = self.error
        return document


class Operations:
    """All operations; each ends when its time has come, whether anyone asks or not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: dict[str, Operation] = {}
        self._running: dict[str, Operation] = {}
        self._changed = asyncio.Event()

    def begin(
        self,
        kind: str,
        workspace: str,
        entity: str,
        *,
        seconds: float,
        finish: Finish,
        result: Result,
        outcome: str = "Succeeded",
        error: Json | None = None,
        logs: tuple[str, ...] = (),
    ) -> Operation:
        """Accept a change of an entity; `finish` is called once, at its end.

        `result` is the document of the entity then, None if it is gone.
        """
        now = self._clock.now()
        service, level = "b" if "batch" in kind else "o", "d" if "deployment" in kind else "e"
        operation = Operation(
            id=f"{service}{level}idp:{uuid.uuid4()}:{uuid.uuid4()}",
            kind=kind,
            workspace=workspace,
            entity=entity,
            started_at=now,
            ends_at=now + timedelta(seconds=seconds),
            finish=finish,
            result=result,
            outcome=outcome,
            error=error,
            logs=logs,
        )
        self._all[operation.id] = self._running[operation.id] = operation
        self._changed.set()
        return operation

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation by its id."""
        return self._all.get(operation_id)

    def clear(self) -> None:
        """Forget all operations, finished or not."""
        self._all.clear()
        self._running.clear()

    def refuse_if_busy(self, workspace: str, *entities: str) -> None:
        """Raise the service's conflict when an operation runs on one of the entities."""
        for operation in self._running.values():
            if operation.workspace == workspace and operation.entity in entities:
                raise conflict(
                    "Conflict of operation, another operation on same entity is already "
                    f"running in workspace {workspace}.",
                    operation.entity,
                )

    def settle(self) -> None:
        """End every operation whose time has come, in the order of their ends."""
        now = self._clock.now()
        due = [o for o in self._running.values() if o.ends_at <= now]
        for operation in sorted(due, key=lambda o: o.ends_at):
            operation.is_over = True
            del self._running[operation.id]
            operation.finish(operation)

    async def settle_forever(self) -> None:
        """End operations on time, until cancelled."""
        while True:
            self._changed.clear()
            self.settle()
            ends = [operation.ends_at for operation in self._running.values()]
            wait = self._clock.real_seconds_until(min(ends)) if ends else None
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue

    def wake(self) -> None:
        """Look at the clock again: it was changed."""
        self._changed.set()
