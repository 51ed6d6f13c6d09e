"""The worker's process is killed at one of its steps: the rollout still ends as if it had not been.

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

import pytest

from sandbox.tap import Request
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.phases import Phase
from tests.app.arm import Json
from tests.app.stage import Stage

When = Literal["before", "after"]

#: How long a write waits at the workspace's door, in seconds: longer than it takes to kill.
_HELD = 0.5


@dataclass(frozen=True)
class Step:
    """A request to storage: the how many-th that matches, of one service."""

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


def _inserts(table: str, holding: bytes = b"") -> Callable[[Request], bool]:
    return lambda request: (
        request.method == "POST" and request.path.endswith(table) and holding in request.body
    )


def _replaces(table: str, holding: bytes = b"") -> Callable[[Request], bool]:
    return lambda request: (
        request.method == "PUT" and f"{table}(" in request.path and holding in request.body
    )


def _sends(queue: str) -> Callable[[Request], bool]:
    return lambda request: request.method == "POST" and request.path.endswith(f"/{queue}/messages")


STEPS = [
    Step("claim", "table", _inserts("SignalboxLedger")),
    Step("rollout-row", "table", _inserts("SignalboxRollouts", b'"rollout"')),
    Step("first-tick-message", "queue", _sends("rollouts")),
    Step("claim-completed", "table", _replaces("SignalboxLedger", b'"done"')),
    Step("event-record", "table", _inserts("SignalboxEvents")),
    Step("tick-begun", "table", _replaces("SignalboxRollouts")),
    Step("tick-saved", "table", _replaces("SignalboxRollouts"), nth=2),
    Step("second-tick-message", "queue", _sends("rollouts"), nth=2),
    Step("outcome-recorded", "table", _replaces("SignalboxEvents")),
]
WRITES = [
    Write("deployment", "PUT", "/deployments/*"),
    Write("traffic", "PUT", ""),
]
DELETION = Write("deletion", "DELETE", "/deployments/*")
ENDPOINT = Write("endpoint", "PUT", "")

#: Where the outcome is recorded: of the reaction that deletes the old version, and that keeps it.
STEP = "deploy-tagged-models/deploy"
KEEPING = "deploy-and-keep-the-old/deploy"


def model_of(step: Step | Write, when: When) -> str:
    """Return the model, and so the endpoint, that one case has to itself."""
    return f"kill-{when[0]}-{step.name}"


@pytest.fixture(scope="module")
def served(stage: Stage) -> Stage:
    """The stage with the first version of every case's model live."""
    cases = (*STEPS, *WRITES, DELETION)
    names = [model_of(case, when) for case in cases for when in ("before", "after")]
    for name in names:
        stage.register(name, "1")
    for name in names:
        stage.wait_live(name, "1")
    return stage


@contextmanager
def killed_at_step(stage: Stage, step: Step, when: When) -> Iterator[None]:
    """Kill the worker once in the block: at this request to storage."""
    tap = stage.stack.taps[step.service]
    strike = tap.strike(step.matches, when, stage.kill_worker, nth=step.nth)
    yield
    assert strike.wait(30), f"no such request\n{stage}"


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
        stage.wait_for("the write", seen, seconds=30)
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


def expect_done_once(
    stage: Stage, event: Json, version: str, *, at: Phase = Phase.DONE, of: str = STEP
) -> None:
    """Wait until the version serves, and check that nothing was done twice or left behind."""
    name = event["data"]["modelName"]
    rollout = stage.wait_live(name, version, at=at)
    assert len(stage.rollouts(name, version)) == 1
    versions = stage.versions(name)
    assert [name for name, found in versions.items() if found == version] == [rollout.deployment]
    assert len(versions) == (2 if at is Phase.LIVE else 1)
    assert stage.traffic(name) == {rollout.deployment: 100}
    created = ("PUT", f"/deployments/{rollout.deployment}", 201)
    assert stage.writes(name).count(created) == 1
    stage.wait_recorded(event, OutcomeStatus.DONE, of)
    stage.wait_letters_closed(event)
    assert stage.told(f"{name} {version} is live")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_killed_at_a_step_the_new_version_still_takes_over_once(
    served: Stage, step: Step, when: When
) -> None:
    with killed_at_step(served, step, when):
        event = served.register(model_of(step, when), "2", keep="true")
    expect_done_once(served, event, "2", at=Phase.LIVE, of=KEEPING)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.name)
def test_killed_at_a_write_the_new_version_still_takes_over_once(
    served: Stage, write: Write, when: When
) -> None:
    name = model_of(write, when)
    with killed_at_write(served, name, write, when):
        event = served.register(name, "2", keep="true")
    expect_done_once(served, event, "2", at=Phase.LIVE, of=KEEPING)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_the_deletion_of_the_old_version_it_is_still_deleted_once(
    served: Stage, when: When
) -> None:
    name = model_of(DELETION, when)
    with killed_at_write(served, name, DELETION, when):
        event = served.register(name, "2")
    expect_done_once(served, event, "2")


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_the_endpoint_is_made_the_first_version_still_goes_live_once(
    stage: Stage, when: When
) -> None:
    name = model_of(ENDPOINT, when)
    with killed_at_write(stage, name, ENDPOINT, when):
        event = stage.register(name, "1")
    expect_done_once(stage, event, "1")
