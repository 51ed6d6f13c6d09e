"""Retraining in the real worker when something fails: it is killed, refused, or has to be asked."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from manage import app as manage
from shared.journal.letters import LetterStatus
from shared.retraining.model import Retraining
from shared.retraining.model import Stage as Progress
from tests.app.arm import Json
from tests.app.kill import Step, When, killed_at_step, replaces
from tests.app.stage import DRIFT_QUEUE, Stage
from tests.app.test_drift_is_retrained import loop_of

#: The job is started just before this. In memory each call of the story is one to be killed at.
RUN_KEPT = Step("run-kept", "table", replaces("SignalboxLoops", b'"loop"'))


@pytest.fixture(scope="module")
def ready(stage: Stage) -> Stage:
    """The stage with what is trained, and a reaction that has retrained before."""
    stage.arm.put_components("fraud_train", "window_start", "window_end")
    stage.control.training(experiment="own", seconds=10)
    stage.enqueue(json.dumps(drift(stage, "own-first")), DRIFT_QUEUE)
    retrained(stage, "own-first")
    return stage


def drift(stage: Stage, monitor: str) -> Json:
    """Return an event of one's own: a monitor has found drift."""
    now = datetime.now(UTC).isoformat()
    return {
        "specversion": "1.0",
        "type": "Signalbox.DriftDetected",
        "source": "/checks",
        "id": f"drift-of-{monitor}",
        "time": now,
        "data": {
            "workspace": stage.stack.workspace_id,
            "monitor": monitor,
            "signal": "prediction_drift",
            "metrics": [{"name": "psi", "value": 0.4, "threshold": 0.2}],
            "window": {"id": "w1", "start": now, "end": now},
        },
    }


def newest(stage: Stage, monitor: str) -> Retraining | None:
    """Return the newest retraining of a monitor."""
    loop = loop_of(stage, monitor)
    return loop.last if loop is not None else None


def retrained(stage: Stage, monitor: str) -> Retraining:
    """Return the retraining of a monitor when its run has completed."""

    def over() -> Retraining | None:
        found = newest(stage, monitor)
        return found if found is not None and found.stage is Progress.TRAINED else None

    return stage.wait_for(f"{monitor} is retrained", over)


def expect_once(stage: Stage, monitor: str) -> None:
    """Check that one job was started for a monitor's drift, and that nothing is left open."""
    retraining = retrained(stage, monitor)
    loop = loop_of(stage, monitor)
    assert loop is not None
    assert len(loop.retrainings) == 1
    reference = loop.reference(retraining.id)
    runs = [each for each in stage.control.runs() if reference in json.dumps(each["tags"])]
    assert [run["id"] for run in runs] == [retraining.run_id]

    def closed() -> bool:
        letters = [each for each in stage.dead_letters.all() if monitor in each.about]
        return all(each.status is LetterStatus.CLOSED for each in letters)

    stage.wait_for("its letters close", closed)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_the_run_is_noted_one_job_is_started_all_the_same(
    ready: Stage, when: When
) -> None:
    monitor = f"own-run-kept-{when}"
    with killed_at_step(ready, RUN_KEPT, when):
        ready.enqueue(json.dumps(drift(ready, monitor)), DRIFT_QUEUE)
    expect_once(ready, monitor)


JOBS = "*/jobs/signalbox-*"


@pytest.mark.parametrize(
    ("name", "fail"),
    [
        ("down", lambda stage: stage.control.outage(times=2, path=JOBS, method="PUT")),
        ("dropped", lambda stage: stage.control.outage(times=1, drop=True, path=JOBS)),
        (
            "lost",
            lambda stage: stage.control.outage(times=1, lose_answer=True, path=JOBS, method="PUT"),
        ),
        ("throttled", lambda stage: stage.control.throttle(times=1, path=JOBS, method="PUT")),
    ],
)
def test_where_the_workspace_fails_one_job_is_started_in_the_end(
    ready: Stage, name: str, fail: Callable[[Stage], str]
) -> None:
    monitor = f"own-{name}"
    with ready.during(fail(ready)):
        ready.enqueue(json.dumps(drift(ready, monitor)), DRIFT_QUEUE)
        expect_once(ready, monitor)


def test_a_job_that_is_refused_is_told_and_started_by_its_letter_s_replay(ready: Stage) -> None:
    monitor = "own-refused"
    rule = ready.control.refuse_jobs("The limit of active jobs is reached.", experiment="own")
    block: AbstractContextManager[None] = ready.during(rule)
    with block:
        ready.enqueue(json.dumps(drift(ready, monitor)), DRIFT_QUEUE)

        def parked() -> bool:
            letters = [each for each in ready.dead_letters.all() if monitor in each.about]
            return any(each.status is LetterStatus.PARKED for each in letters)

        ready.wait_for("the letter is parked", parked)
    found = newest(ready, monitor)
    assert found is not None
    assert found.stage is Progress.FAILED
    assert "limit of active jobs" in found.reason
    ready.wait_for("it is told", lambda: ready.told(f"{monitor}: retraining failed"))
    (letter,) = [each for each in ready.dead_letters.all() if monitor in each.about]
    assert ready.dead_letters.reopen(letter)
    expect_once(ready, monitor)


def test_with_care_a_job_is_started_when_a_person_has_said_so(
    ready: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = "careful-one"
    ready.enqueue(json.dumps(drift(ready, monitor)), DRIFT_QUEUE)
    ready.wait_for("it is asked", lambda: ready.told(f"{monitor} has drifted"))
    loop = loop_of(ready, monitor)
    assert loop is not None
    assert loop.last is not None
    assert loop.last.stage is Progress.ASKED
    monkeypatch.setenv("AzureWebJobsStorage", ready.stack.azurite.connection_string)
    words = ["loops", "approve", loop.id, "--by", "mia", "--why", "it is real"]
    result = CliRunner().invoke(manage, words)
    assert result.exit_code == 0, result.output
    expect_once(ready, monitor)
