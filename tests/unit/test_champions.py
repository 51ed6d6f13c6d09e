"""Which model serves on an endpoint now."""

import pytest

from shared.base.errors import SignalboxError, WorkspaceBusy, WorkspaceDenied, WorkspaceRefused
from shared.events.model import Workspace
from shared.twins.clock import ManualClock
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.champions import find_champion
from shared.workspaces.lineage import reference_of_model, reference_of_run
from shared.workspaces.model import (
    Deployment,
    Endpoint,
    EndpointKind,
    ModelVersion,
    RunRecord,
    State,
)

WORKSPACE = Workspace(subscription="sub", resource_group="rg", name="ws")
VERSIONS = {"blue": "1", "green": "2", "red": "3"}
REFERENCE = f"{'a' * 32}-{'f' * 32}"


@pytest.fixture
def workspaces() -> MemoryWorkspaces:
    """A workspace with three versions of a model, each deployed under a colour."""
    made = MemoryWorkspaces(ManualClock())
    for version in VERSIONS.values():
        made.register(WORKSPACE, "churn", version, tags={})
    return made


def serve(
    workspaces: MemoryWorkspaces, traffic: dict[str, int], *, model: str | None = None
) -> None:
    """Put the deployments on endpoint `churn`, with this split."""
    key = (WORKSPACE.key, "churn")
    workspaces.endpoints[key] = Endpoint(name="churn", state=State.SUCCEEDED, traffic=traffic)
    workspaces.deployments[key] = {
        name: Deployment(
            name=name,
            state=State.SUCCEEDED,
            model=model or f"{WORKSPACE.id}/models/churn/versions/{version}",
        )
        for name, version in VERSIONS.items()
    }


@pytest.mark.parametrize(
    ("traffic", "called"),
    [
        ({"blue": 100}, "churn 1"),
        ({"blue": 10, "green": 90}, "churn 2"),
        ({"blue": 60, "green": 30, "red": 10}, "churn 1"),
        ({"blue": 50, "green": 50}, "churn 2"),  # the last by name
        ({"green": 50, "blue": 50}, "churn 2"),
        ({"GREEN": 100}, "churn 2"),
        ({"blue": 0}, None),
        ({}, None),
    ],
)
def test_the_champion_has_the_most_live_traffic(
    workspaces: MemoryWorkspaces, traffic: dict[str, int], called: str | None
) -> None:
    serve(workspaces, traffic)
    found = find_champion(workspaces, WORKSPACE, "churn", EndpointKind.MANAGED)
    assert (found.called if found else None) == called


def test_nothing_serves_on_an_endpoint_that_is_not_there(workspaces: MemoryWorkspaces) -> None:
    assert find_champion(workspaces, WORKSPACE, "churn", EndpointKind.MANAGED) is None


@pytest.mark.parametrize(
    ("model", "called", "lost"),
    [
        (f"{WORKSPACE.id.upper()}/models/churn/versions/2", "churn 2", ""),
        ("azureml://locations/westeurope/workspaces/1-2/models/churn/versions/2", "churn 2", ""),
        (f"azureml:{WORKSPACE.id}/models/churn/versions/2", "churn 2", ""),
        (f"{WORKSPACE.id}/models/churn/versions/9", "churn 9", "no longer in the workspace"),
        ("azureml://registries/r/models/churn/versions/2", "deployment blue", "registries/r"),
        (f"{WORKSPACE.id}/models/churn", "deployment blue", "its model is /subscriptions"),
        ("\x1b[2J?sig=abcdef", "deployment blue", "[redacted]"),
    ],
)
def test_a_deployment_s_model_is_found_however_it_is_written(
    workspaces: MemoryWorkspaces, model: str, called: str, lost: str
) -> None:
    serve(workspaces, {"blue": 100}, model=model)
    found = find_champion(workspaces, WORKSPACE, "churn", EndpointKind.MANAGED)
    assert found is not None
    assert found.called.lower() == called
    assert lost in found.lost if lost else not found.lost


def test_an_endpoint_that_changes_while_it_is_read_is_read_again_later(
    workspaces: MemoryWorkspaces,
) -> None:
    serve(workspaces, {"white": 100})
    with pytest.raises(WorkspaceBusy, match="deployment white of churn has traffic"):
        find_champion(workspaces, WORKSPACE, "churn", EndpointKind.MANAGED)


@pytest.mark.parametrize(
    ("tags", "job_name", "requests"),
    [
        ({"signalbox_retraining": REFERENCE}, "step", 0),
        ({}, "step", 2),
        ({}, "root", 1),
        ({}, "gone", 1),
        ({}, "", 0),
    ],
)
def test_finding_a_model_s_retraining_takes_no_more_requests_than_it_needs(
    workspaces: MemoryWorkspaces, tags: dict[str, str], job_name: str, requests: int
) -> None:
    tagged = {"signalbox_retraining": REFERENCE}
    for run_id, its in (("step", {}), ("root", tagged)):
        run = RunRecord(id=run_id, status="Completed", root_id="root", tags=its)
        workspaces.add_run(WORKSPACE, run)
    asked: list[str] = []
    workspaces.before = asked.append
    model = ModelVersion(
        id="id", name="churn", version="1", kind="mlflow_model", tags=tags, job_name=job_name
    )
    found = reference_of_model(workspaces, WORKSPACE, model)
    assert found == ("" if job_name in ("gone", "") else REFERENCE)
    assert asked == ["get_run"] * requests
    if job_name and job_name != "gone":
        assert reference_of_run(workspaces, WORKSPACE, job_name) == REFERENCE


@pytest.mark.parametrize("error", [WorkspaceDenied("no role"), WorkspaceRefused("no network")])
def test_a_run_that_may_not_be_read_is_of_no_retraining(
    workspaces: MemoryWorkspaces, error: SignalboxError
) -> None:
    def refuse(_: str) -> None:
        raise error

    workspaces.before = refuse
    assert reference_of_run(workspaces, WORKSPACE, "step") == ""
