"""The app, as its services build it, on ports in memory, and on a clock that jumps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.events.envelopes import parse_workspace
from shared.services import Ports, Services
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryBlobs, MemoryChannels, MemoryQueues, MemoryTables
from shared.twins.workspaces import MemoryWorkspaces

_WORKSPACE = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
)


class Counted:
    """A port of which every call is counted: one request each."""

    def __init__(self, port: Any, note: Callable[[str], None]) -> None:
        self._port = port
        self._note = note

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        def counted(*given: Any, **named: Any) -> Any:
            self._note(name)
            return call(*given, **named)

        return counted


class Twin:
    """The app and what it runs on; `storage` and `aml` collect what it asks these for."""

    def __init__(
        self,
        reactions: Path,
        workspaces: Callable[[ManualClock], MemoryWorkspaces] = MemoryWorkspaces,
    ) -> None:
        self.storage: list[str] = []
        self.aml: list[str] = []
        self.clock = ManualClock()
        self.workspace = parse_workspace(_WORKSPACE)
        self.workspaces = workspaces(self.clock)
        self.workspaces.before = self.aml.append
        self.queues = MemoryQueues(self.clock)
        self.services = Services(
            {"SIGNALBOX_WORKSPACE": _WORKSPACE, "SIGNALBOX_REACTIONS": str(reactions)},
            Ports(
                clock=self.clock,
                tables=Counted(MemoryTables(), self.storage.append),
                queues=Counted(self.queues, self.storage.append),
                blobs=Counted(MemoryBlobs(), self.storage.append),
                channels=MemoryChannels(),
                workspaces=self.workspaces,
            ),
        )

    def work(self, queue: str, do: Callable[[str], None]) -> None:
        """Have each message of a queue handled when it is due, until there are none."""
        while waiting := self.queues.waiting(queue):
            self.clock.time = max(self.clock.time, min(waiting)[0])
            for message in self.queues.take(queue):
                do(message)
