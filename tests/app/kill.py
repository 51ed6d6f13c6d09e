"""Kills the worker's process, once, at a chosen request of its own.

A step of storage is met at the tap, before the request has passed or after it has. A write to the
workspace is held at its door: there the worker is killed and the write dropped, or the worker is
frozen, and killed when the write has been done and answered.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from sandbox.tap import Request
from tests.app.stage import Stage
from tests.timing import PATIENCE

When = Literal["before", "after"]

#: How long a write waits at the workspace's door, in seconds: longer than it takes to kill.
_HELD = 0.5


@dataclass(frozen=True)
class Step:
    """The nth request to a service of the storage that matches."""

    name: str
    service: str
    matches: Callable[[Request], bool]
    nth: int = 1


@dataclass(frozen=True)
class Write:
    """A write to the workspace, about an endpoint or what is below it."""

    name: str
    method: str
    below: str


def inserts(table: str, holding: bytes = b"") -> Callable[[Request], bool]:
    """Match the insertion of a row that holds this into a table."""
    return lambda request: (
        request.method == "POST" and request.path.endswith(table) and holding in request.body
    )


def replaces(table: str, holding: bytes = b"") -> Callable[[Request], bool]:
    """Match the replacement of a row of a table by one that holds this."""
    return lambda request: (
        request.method == "PUT" and f"{table}(" in request.path and holding in request.body
    )


def sends(queue: str) -> Callable[[Request], bool]:
    """Match a message to a queue."""
    return lambda request: request.method == "POST" and request.path.endswith(f"/{queue}/messages")


@contextmanager
def killed_at_step(stage: Stage, step: Step, when: When) -> Iterator[None]:
    """Kill the worker once in the block: at this request to storage."""
    tap = stage.stack.taps[step.service]
    strike = tap.strike(step.matches, when, stage.kill_worker, nth=step.nth)
    yield
    assert strike.wait(PATIENCE), f"no such request\n{stage}"


@contextmanager
def killed_at_write(stage: Stage, endpoint: str, write: Write, when: When) -> Iterator[None]:
    """Kill the worker once in the block: at this write to the workspace."""
    door = {"path": f"*/onlineEndpoints/{endpoint}{write.below}", "method": write.method}
    rules = [stage.control.rule("latency", {}, seconds=_HELD, times=1, **door)]
    if when == "before":
        rules.append(stage.control.outage(drop=True, times=1, **door))
    earlier = len(_writes(stage, endpoint, write))

    def seen() -> list[tuple[str, str, int]]:
        return _writes(stage, endpoint, write)[earlier:]

    with stage.during(*rules):
        yield
        stage.wait_for("the write", seen)
        if when == "before":
            stage.kill_worker()
            stage.wait_for("the write is dropped", lambda: stage.is_used(rules[-1]))
        else:
            os.kill(stage.stack.host.worker_pid, signal.SIGSTOP)
            stage.wait_for("the write is done", lambda: seen()[0][2])
            stage.kill_worker()


def _writes(stage: Stage, endpoint: str, write: Write) -> list[tuple[str, str, int]]:
    start = write.below.removesuffix("*")
    return [
        found
        for found in stage.writes(endpoint)
        if found[0] == write.method and (found[1].startswith(start) if start else not found[1])
    ]
