"""The worker's process is killed at one of its steps: the rollout still ends as if it had not been.

In memory each call of a story is a moment to be killed at (`tests/stories/kill.py`). Here, with
real leases, redeliveries and restarts, there is one of each kind: a claim, a message, a row that is
replaced, and each kind of write to the workspace.
"""

import pytest

from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.phases import Phase
from tests.app.arm import Json
from tests.app.kill import (
    Step,
    When,
    Write,
    inserts,
    killed_at_step,
    killed_at_write,
    replaces,
    sends,
)
from tests.app.stage import Stage

STEPS = [
    Step("claim", "table", inserts("SignalboxLedger")),
    Step("tick-message", "queue", sends("rollouts")),
    Step("tick-saved", "table", replaces("SignalboxRollouts"), nth=2),
]
WRITES = [
    Write("deployment", "PUT", "/deployments/*"),
    Write("traffic", "PUT", ""),
]
DELETION = Write("deletion", "DELETE", "/deployments/*")

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
