"""arm_requests_per_deployment_…: what one blue/green switch asks of Azure Resource Manager.

Counted from the event to the deletion of the old deployment, by how long the new deployment takes
to be made. `_base` is counted by the AML emulator, whose operations end before anyone looks at
them. The others are counted by the in-memory twin of the workspaces, on a clock that jumps from
one message to the next; of the `_retry_after_10s` one the service says to look again after 10 s,
of the rest it says nothing.

Floor: what any switch has to ask, however long it takes. Read the model; read the endpoint and its
deployments; create the deployment, and see once that it is made; read the endpoint again, because
its whole document is written; write the traffic, see once that it is done, and read it back; see
that the old deployment has no traffic, delete it, and see once that it is gone.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bench.app import REACTIONS, Bench, open_bench
from bench.events import model_registered
from bench.figure import BenchFailed, Figure, note
from bench.twin import Twin
from sandbox.stack import Pace
from shared.rollouts.engine.advance import QUEUE
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import Operation, OperationResult, OperationStatus

FLOOR = 12
FIGURES = (
    "arm_requests_per_deployment_base",
    "arm_requests_per_deployment_1m",
    "arm_requests_per_deployment_5m",
    "arm_requests_per_deployment_10m",
    "arm_requests_per_deployment_30m",
    "arm_requests_per_deployment_30m_retry_after_10s",
)
TINY: Mapping[str, Any] = {}

#: How long the service takes over a split or a deletion, in the twin.
_SHORT = timedelta(seconds=20)
_MODEL = "churn"
_PATIENCE = 60.0


def measure() -> Iterator[Figure]:
    """Count each switch once: nothing about it is left to chance."""
    yield _figure(FIGURES[0], _count_in_sandbox())
    for name in FIGURES[1:]:
        minutes, _, told = name.removeprefix("arm_requests_per_deployment_").partition("m")
        wait = timedelta(seconds=10) if told else None
        yield _figure(name, _Switch(timedelta(minutes=int(minutes)), wait).count())


def _figure(name: str, requests: list[str]) -> Figure:
    kinds = {kind: requests.count(kind) for kind in dict.fromkeys(requests)}
    note(f"{name}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    return Figure(name=name, value=len(requests), unit="requests", floor=FLOOR)


# In the sandbox


def _count_in_sandbox() -> list[str]:
    with open_bench(Pace()) as bench:
        bench.stack.control.provisioning(0.1)
        bench.start(settings={"SIGNALBOX_REACTIONS": str(bench.reactions(keep_old="1s"))})
        _switch(bench, "1")
        bench.stack.control.clear_requests()
        _switch(bench, "2")
        seen = bench.stack.control.requests()
    ours = [each for each in seen if "signalbox" in (each["userAgent"] or "")]
    return [f"{each['method']} {_kind(each['path'])}" for each in ours]


def _switch(bench: Bench, version: str) -> None:
    bench.send("model_registered", [bench.register(_MODEL, version)])
    deadline = time.monotonic() + _PATIENCE
    while bench.open_rollouts():
        if time.monotonic() > deadline:
            raise BenchFailed(f"version {version} was not deployed within {_PATIENCE:.0f} s")
        time.sleep(0.1)


def _kind(path: str) -> str:
    """Return what a request is about: the collection that its path ends in."""
    parts = path.split("/")
    return parts[-1] if parts[-1] == "deployments" else parts[-2]


# In memory


class _Workspaces(MemoryWorkspaces):
    """The twin, where a service that is asked too early may say when to ask again."""

    wait: timedelta | None = None

    def get_operation(self, operation: Operation) -> OperationResult:
        """Return where the operation stands."""
        result = super().get_operation(operation)
        is_running = result.status is OperationStatus.RUNNING
        return replace(result, retry_after=self.wait) if is_running else result


class _Switch:
    """A blue/green switch in the twin."""

    def __init__(self, takes: timedelta, wait: timedelta | None) -> None:
        self._takes = takes
        self._twin = Twin(REACTIONS, _Workspaces)
        self._workspaces = self._twin.workspaces
        assert isinstance(self._workspaces, _Workspaces)
        self._workspaces.wait = wait
        self._workspaces.before = self._note

    def count(self) -> list[str]:
        """Deploy two versions, one after the other; return what the second asked for."""
        self._deploy("1")
        self._twin.aml.clear()
        self._deploy("2")
        key = self._twin.workspace.key
        ended = self._workspaces.deployments[key, _MODEL].values()
        if [each.model.rsplit("/", 1)[-1] for each in ended] != ["2"]:
            raise BenchFailed("the second version did not take the first one's place")
        return list(self._twin.aml)

    def _deploy(self, version: str) -> None:
        twin = self._twin
        tags = {"deploy": "true"}
        self._workspaces.register(twin.workspace, _MODEL, version, tags=tags)
        event = model_registered(twin.workspace.id, _MODEL, version, at=twin.clock.now())
        twin.services.react.react(event)
        twin.work(QUEUE, twin.services.rollouts.advance)

    def _note(self, request: str) -> None:
        # Scoring goes to the endpoint's own address, a model's file to the artifact service.
        if request not in ("score", "read_model_file"):
            self._twin.aml.append(request)
        is_long = request == "create_deployment"
        self._workspaces.behaviour.takes = self._takes if is_long else _SHORT
