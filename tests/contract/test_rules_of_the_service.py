"""The rules of the service that rollouts lean on: the same in the emulator and in the twin."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest

from sandbox.workspace.control import Control
from shared.adapters.memory_workspaces import MemoryWorkspaces
from shared.errors import WorkspaceBusy, WorkspaceRefused
from shared.events import Workspace
from shared.workspaces import (
    Deployment,
    DeploymentSpec,
    Endpoint,
    Operation,
    OperationResult,
    OperationStatus,
    State,
    Workspaces,
)
from tests.contract.conftest import WORKSPACE, FakeClock
from tests.contract.test_workspaces import Stage

HOUR = timedelta(hours=1)


@dataclass
class Site:
    """A workspace with model churn 1, ways to let time pass in it, and to make it fail."""

    workspaces: Workspaces
    pass_time: Callable[[], None]
    break_deployments: Callable[[], None]
    break_traffic: Callable[[], None]
    workspace: Workspace = WORKSPACE

    def endpoint(self) -> Endpoint:
        """Return the endpoint, which must be there."""
        found = self.workspaces.get_endpoint(self.workspace, "churn")
        assert found is not None
        return found

    def deployments(self) -> Mapping[str, Deployment]:
        """Return the endpoint's deployments by name."""
        found = self.workspaces.list_deployments(self.workspace, "churn")
        return {deployment.name: deployment for deployment in found}

    def make_endpoint(self) -> None:
        """Create the endpoint, and wait until it is there."""
        self.workspaces.create_endpoint(self.workspace, "churn", auth_mode="key", tags={"a": "1"})
        self.pass_time()

    def deploy(self, name: str) -> Operation:
        """Start creating a deployment."""
        model = self.workspaces.get_model(self.workspace, "churn", "1")
        assert model is not None
        spec = DeploymentSpec(
            model_id=model.id, instance_type="Standard_DS3_v2", instance_count=1, tags={"b": "2"}
        )
        return self.workspaces.create_deployment(self.workspace, "churn", name, spec)

    def set_traffic(self, traffic: Mapping[str, int]) -> Operation:
        """Start setting the split."""
        return self.workspaces.set_traffic(self.workspace, self.endpoint(), traffic, {"c": "3"})

    def result(self, operation: Operation) -> OperationResult:
        """Return where an operation stands."""
        return self.workspaces.get_operation(operation)


def _twin(clock: FakeClock) -> Site:
    twin = MemoryWorkspaces(clock)
    twin.register(WORKSPACE, "churn", "1", tags={})
    twin.behaviour.takes = HOUR / 2

    class Everything(dict[str, tuple[str, str]]):
        def get(self, key: str, default: object = None) -> tuple[str, str]:  # type: ignore[override]
            return ("ResourceNotReady", "crashed")

    def break_deployments() -> None:
        twin.behaviour.broken = Everything()

    def break_traffic() -> None:
        twin.behaviour.stuck_traffic = ("InternalServerError", "no")

    return Site(twin, lambda: clock.advance(HOUR), break_deployments, break_traffic)


def _emulator(stage: Stage, control: Control) -> Site:
    stage.put_model()
    control.provisioning(1800)

    def break_deployments() -> None:
        control.fail_deployment(code="ResourceNotReady", message="crashed")

    def break_traffic() -> None:
        control.fail_endpoint(code="InternalServerError", message="no")

    return Site(stage.workspaces, stage.pass_time, break_deployments, break_traffic)


@pytest.fixture(params=["twin", "emulator"])
def site(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Site]:
    """Each of the two, with model churn 1 in it."""
    if request.param == "twin":
        yield _twin(clock)
        return
    emulator, control, workspaces = (
        request.getfixturevalue(name) for name in ("emulator", "control", "workspaces")
    )
    yield _emulator(Stage(workspaces, control, emulator), control)


def test_an_endpoint_is_there_at_once_and_ready_later(site: Site) -> None:
    operation = site.workspaces.create_endpoint(WORKSPACE, "churn", auth_mode="key", tags={})
    assert site.endpoint().state is State.CREATING
    assert site.result(operation).status is OperationStatus.RUNNING
    site.pass_time()
    assert site.result(operation).status is OperationStatus.SUCCEEDED
    assert site.endpoint().state is State.SUCCEEDED


def test_a_deployment_is_made_without_traffic(site: Site) -> None:
    site.make_endpoint()
    site.deploy("blue")
    assert site.deployments()["blue"].state is State.CREATING
    site.pass_time()
    blue = site.deployments()["blue"]
    assert (blue.state, blue.tags) == (State.SUCCEEDED, {"b": "2"})
    assert (blue.instance_type, blue.instance_count) == ("Standard_DS3_v2", 1)
    assert not any(site.endpoint().traffic.values())


def test_while_a_deployment_is_made_nothing_else_is_done_on_its_endpoint(site: Site) -> None:
    site.make_endpoint()
    site.deploy("blue")
    with pytest.raises(WorkspaceBusy):
        site.workspaces.delete_deployment(WORKSPACE, "churn", "blue")
    with pytest.raises(WorkspaceBusy):
        site.set_traffic({})


def test_while_traffic_is_being_set_no_deployment_is_made(site: Site) -> None:
    site.make_endpoint()
    site.deploy("blue")
    site.pass_time()
    site.set_traffic({"blue": 100})
    assert site.endpoint().state is State.UPDATING
    with pytest.raises(WorkspaceBusy):
        site.deploy("green")


def test_traffic_is_set_whole_and_tags_are_merged(site: Site) -> None:
    site.make_endpoint()
    site.deploy("blue")
    site.pass_time()
    site.set_traffic({"blue": 100})
    site.pass_time()
    assert site.endpoint().traffic == {"blue": 100}
    assert site.endpoint().tags == {"a": "1", "c": "3"}
    site.set_traffic({})
    site.pass_time()
    assert not any(site.endpoint().traffic.values())


@pytest.mark.parametrize("traffic", [{"blue": 90}, {"blue": 130}, {"nobody": 100}])
def test_a_split_that_cannot_be_is_refused(site: Site, traffic: Mapping[str, int]) -> None:
    site.make_endpoint()
    site.deploy("blue")
    site.pass_time()
    with pytest.raises(WorkspaceRefused):
        site.set_traffic(traffic)


def test_a_deployment_with_traffic_is_not_deleted_and_without_it_is(site: Site) -> None:
    site.make_endpoint()
    site.deploy("blue")
    site.pass_time()
    site.set_traffic({"blue": 100})
    site.pass_time()
    with pytest.raises(WorkspaceRefused):
        site.workspaces.delete_deployment(WORKSPACE, "churn", "blue")
    site.set_traffic({})
    site.pass_time()
    site.workspaces.delete_deployment(WORKSPACE, "churn", "blue")
    assert site.deployments()["blue"].state is State.DELETING
    site.pass_time()
    assert site.deployments() == {}


def test_a_failed_deployment_stays_and_only_the_operation_says_why(site: Site) -> None:
    site.make_endpoint()
    site.break_deployments()
    operation = site.deploy("blue")
    site.pass_time()
    assert site.deployments()["blue"].state is State.FAILED
    result = site.result(operation)
    assert result.status is OperationStatus.FAILED
    assert result.code == "ResourceNotReady"
    assert "crashed" in result.message


def test_traffic_that_could_not_be_set_stays_as_it_was_on_a_failed_endpoint(site: Site) -> None:
    site.make_endpoint()
    site.deploy("blue")
    site.pass_time()
    site.break_traffic()
    operation = site.set_traffic({"blue": 100})
    site.pass_time()
    assert site.result(operation).status is OperationStatus.FAILED
    assert site.endpoint().state is State.FAILED
    assert not any(site.endpoint().traffic.values())
    with pytest.raises(WorkspaceRefused):
        site.deploy("green")
