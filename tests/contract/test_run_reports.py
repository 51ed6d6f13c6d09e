"""Reports of runs as the service keeps them: read over HTTP, from the AML emulator."""

from typing import Any

import pytest

from sandbox.workspace.control import Control
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.events.model import Run
from shared.twins.clock import ManualClock
from shared.workspaces.run_reports import RunReports, describe
from tests.contract.conftest import WORKSPACE


def report_of(workspaces: ArmWorkspaces, clock: ManualClock, run_id: str) -> list[str]:
    """Return the lines that are told of a run."""
    reports = RunReports(workspaces=workspaces, clock=clock)
    report = reports.read(WORKSPACE, run_id, may_wait=False)
    event = Run(id=run_id, root_id=run_id, status="Failed", experiment_name="nightly")
    return describe(report, event, WORKSPACE, studio="https://ml.azure.com").splitlines()


@pytest.fixture
def monitor(control: Control) -> dict[str, Any]:
    """A monitor's run, of which a step of one signal's pipeline failed."""
    error = {"code": "UserError", "message": "TypeError: age is no number\ntoken=s3cr3t"}
    told = control.monitor_run(
        "churn-monitor",
        signals={"fine": [], "broken": {"kind": "data_drift", "error": error}},
    )
    control.advance(24 * 3600)
    return told


def test_the_error_of_a_step_two_pipelines_below_is_told(
    workspaces: ArmWorkspaces, clock: ManualClock, monitor: dict[str, Any]
) -> None:
    lines = report_of(workspaces, clock, monitor["run"])
    assert lines[0] == "Status: Failed"
    assert "Experiment: nightly" in lines
    assert any(line.startswith("Duration: ") for line in lines)
    (step,) = (line for line in lines if line.startswith("Step: "))
    assert " / " in step
    (at,) = (n for n, line in enumerate(lines) if line.startswith("Error: "))
    assert lines[at : at + 2] == [
        "Error: UserError: TypeError: age is no number",
        "token=[redacted]",
    ]
    assert lines[-1].startswith(f"https://ml.azure.com/runs/{monitor['run']}?wsid=")


def test_a_run_that_is_not_there_is_told_from_its_event(
    workspaces: ArmWorkspaces, clock: ManualClock, control: Control
) -> None:
    lines = report_of(workspaces, clock, "gone")
    assert "The run could not be read: the workspace has no such run" in lines


def test_a_run_of_a_workspace_that_does_not_answer_is_told_from_its_event(
    workspaces: ArmWorkspaces, clock: ManualClock, control: Control
) -> None:
    control.outage(times=10, path="*")
    lines = report_of(workspaces, clock, "run-1")
    assert lines[0] == "Status: Failed"
    assert any(line.startswith("The run could not be read: workspace.") for line in lines)
