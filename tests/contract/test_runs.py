"""Reading runs, the runs below them and what they logged: over the emulator and the twin."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.base.errors import WorkspaceDenied, WorkspaceThrottled, WorkspaceUnreachable
from shared.events.model import Workspace
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import RunRecord
from shared.workspaces.ports import Workspaces

WORKSPACE = Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a")
NOWHERE = replace(WORKSPACE, name="gone")

FAILURE = {"code": "UserError", "message": "ModuleNotFoundError: No module named 'xgboost'"}
COMPONENT = {"name": "churn_train", "version": "3", "type": "command", "command": "python train.py"}


@dataclass(frozen=True)
class Bench:
    """Workspaces in which a pipeline of one step has run."""

    workspaces: Workspaces
    #: Runs a pipeline `run-1` of one step; with an error the step fails.
    run: Callable[[bool], object]


def _twin(clock: Any) -> Bench:
    twin = MemoryWorkspaces(clock)

    def run(fails: bool) -> None:
        status = "Failed" if fails else "Completed"
        root = RunRecord(
            id="run-1",
            status=status,
            root_id="run-1",
            experiment="churn",
            display_name="weekly",
            tags={"team": "growth"},
            parameters={"days": "30"},
            started_at=datetime(2026, 3, 1, tzinfo=UTC),
            ended_at=datetime(2026, 3, 1, 1, tzinfo=UTC),
            error_code="UserError" if fails else "",
            error="Pipeline has some failed steps. See child run" if fails else "",
        )
        twin.add_run(WORKSPACE, root, {"auc": 0.91})
        step = replace(
            root,
            id="step-1",
            parent_id="run-1",
            step="churn_train",
            error=FAILURE["message"] if fails else "",
        )
        twin.add_run(WORKSPACE, step, {"auc": 0.91})

    return Bench(twin, run)


def _service(request: pytest.FixtureRequest) -> Bench:
    somebody, control = request.getfixturevalue("somebody"), request.getfixturevalue("control")

    def run(fails: bool) -> None:
        spec = COMPONENT | {"environment": "azureml:env:1", "inputs": {"days": {"type": "integer"}}}
        somebody.put("/environments/env/versions/1", {"image": "mcr.microsoft.com/x:1"})
        somebody.put("/components/churn_train/versions/3", {"componentSpec": spec})
        outcome: dict[str, Any] = {"outcome": "Failed", "error": FAILURE} if fails else {}
        control.training(experiment="churn", metrics={"auc": 0.91, "loss": "NaN"}, **outcome)
        days = {"job_input_type": "literal", "value": "${{parent.inputs.days}}"}
        step = {
            "type": "command",
            "componentId": f"{WORKSPACE.id}/components/churn_train/versions/3",
            "inputs": {"days": days},
        }
        pipeline = {
            "jobType": "Pipeline",
            "displayName": "weekly",
            "experimentName": "churn",
            "tags": {"team": "growth"},
            "inputs": {"days": {"jobInputType": "literal", "value": "30"}},
            "jobs": {"train": step},
            "settings": {"default_compute": "serverless"},
        }
        somebody.put("/jobs/run-1", pipeline)
        control.advance(3600)
        control.clear_requests()

    return Bench(request.getfixturevalue("workspaces"), run)


@pytest.fixture(params=["memory", "emulator"])
def bench(request: pytest.FixtureRequest, clock: Any) -> Bench:
    return _twin(clock) if request.param == "memory" else _service(request)


def read(bench: Bench, run_id: str = "run-1") -> RunRecord:
    run = bench.workspaces.get_run(WORKSPACE, run_id)
    assert run is not None
    return run


def test_a_run_is_read_with_what_is_known_of_it(bench: Bench) -> None:
    bench.run(False)
    run = read(bench)
    assert (run.id, run.root_id, run.parent_id) == ("run-1", "run-1", "")
    assert (run.status, run.display_name, run.step) == ("Completed", "weekly", "")
    assert run.tags["team"] == "growth"
    assert run.parameters == {"days": "30"}
    assert run.started_at is not None
    assert run.ended_at is not None
    assert run.started_at < run.ended_at
    assert run.experiment
    assert (run.error_code, run.error) == ("", "")


def test_the_steps_of_a_run_are_below_it(bench: Bench) -> None:
    bench.run(False)
    (step,) = bench.workspaces.list_children(WORKSPACE, "run-1")
    assert (step.parent_id, step.root_id, step.step) == ("run-1", "run-1", "churn_train")
    assert read(bench, step.id) == step
    assert bench.workspaces.list_children(WORKSPACE, step.id) == ()


def test_a_failed_run_says_why_and_its_step_says_more(bench: Bench) -> None:
    bench.run(True)
    run = read(bench)
    assert (run.status, run.error_code) == ("Failed", "UserError")
    assert run.error.startswith("Pipeline has some failed steps")
    (step,) = bench.workspaces.list_children(WORKSPACE, "run-1")
    assert (step.error_code, step.error) == (FAILURE["code"], FAILURE["message"])


def test_what_a_run_logged_is_read_but_for_what_is_no_number(bench: Bench) -> None:
    bench.run(False)
    assert bench.workspaces.get_metrics(WORKSPACE, "run-1") == {"auc": 0.91}


@pytest.mark.parametrize("workspace", [WORKSPACE, NOWHERE], ids=["no run", "no workspace"])
def test_what_is_not_there_is_none_or_empty(bench: Bench, workspace: Workspace) -> None:
    assert bench.workspaces.get_run(workspace, "gone") is None
    assert bench.workspaces.list_children(workspace, "gone") == ()
    assert bench.workspaces.get_metrics(workspace, "gone") is None


# Only the service has trouble


def test_the_workspace_s_addresses_are_read_once(request: pytest.FixtureRequest) -> None:
    bench = _service(request)
    bench.run(False)
    for _ in range(3):
        read(bench)
    bench.workspaces.get_metrics(WORKSPACE, "run-1")
    paths = [item["path"] for item in request.getfixturevalue("control").requests()]
    assert paths.count(WORKSPACE.id) == 1


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (lambda control: control.throttle(retry_after=30, path="*/runs*"), WorkspaceThrottled),
        (lambda control: control.outage(path="*/runs*"), WorkspaceUnreachable),
        (lambda control: control.outage(status=403, path="*/runs*"), WorkspaceDenied),
    ],
)
@pytest.mark.parametrize(
    "ask",
    [
        lambda workspaces: workspaces.get_run(WORKSPACE, "run-1"),
        lambda workspaces: workspaces.list_children(WORKSPACE, "run-1"),
        lambda workspaces: workspaces.get_metrics(WORKSPACE, "run-1"),
    ],
    ids=["run", "children", "metrics"],
)
def test_trouble_is_told_at_once(
    workspaces: Any, control: Any, trouble: Any, expected: type[Exception], ask: Any
) -> None:
    trouble(control)
    with pytest.raises(expected):
        ask(workspaces)


def test_the_runs_of_a_long_list_are_all_found(
    workspaces: Any, somebody: Any, control: Any
) -> None:
    spec = COMPONENT | {"environment": "azureml:env:1"}
    somebody.put("/environments/env/versions/1", {"image": "mcr.microsoft.com/x:1"})
    somebody.put("/components/churn_train/versions/3", {"componentSpec": spec})
    step = {
        "type": "command",
        "componentId": f"{WORKSPACE.id}/components/churn_train/versions/3",
    }
    control.training(component="churn_train", seconds=1)
    properties = {
        "jobType": "Pipeline",
        "jobs": {f"s{number}": step for number in range(120)},
        "settings": {"default_compute": "serverless"},
    }
    somebody.put("/jobs/run-1", properties)
    control.advance(36000)
    children = workspaces.list_children(WORKSPACE, "run-1")
    assert len({child.id for child in children}) == 120
