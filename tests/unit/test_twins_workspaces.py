"""The twin of the workspaces beyond its port: the behaviour that tests set."""

from datetime import timedelta

import pytest

from shared.base.errors import WorkspaceRefused
from shared.events.model import Workspace
from shared.twins.clock import ManualClock
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import Capacity, DeploymentSpec, Endpoint, EndpointKind, Score, State

WORKSPACE = Workspace(subscription="s", resource_group="g", name="w")
SECOND = timedelta(seconds=1)


@pytest.fixture
def twin() -> MemoryWorkspaces:
    """A twin with endpoint churn, where blue serves and green does not."""
    made = MemoryWorkspaces(ManualClock())
    made.create_endpoint(WORKSPACE, "churn", auth_mode="key", tags={"a": "1"})
    for name in ("blue", "green"):
        made.get_endpoint(WORKSPACE, "churn")
        spec = DeploymentSpec(
            model_id="/m/1", instance_type="Standard_DS3_v2", instance_count=1, tags={"b": "2"}
        )
        made.create_deployment(WORKSPACE, "churn", name, spec)
    made.change_traffic(WORKSPACE, "churn", {"blue": 100})
    return made


def endpoint(twin: MemoryWorkspaces) -> Endpoint:
    found = twin.get_endpoint(WORKSPACE, "churn")
    assert found is not None
    return found


def states(twin: MemoryWorkspaces) -> dict[str, tuple[State, int]]:
    found = twin.list_deployments(WORKSPACE, "churn")
    return {each.name: (each.state, each.instance_count) for each in found}


def test_somebody_else_changes_traffic_at_once(twin: MemoryWorkspaces) -> None:
    twin.behaviour.takes = timedelta(hours=1)
    twin.change_traffic(WORKSPACE, "churn", {"blue": 100}, mirror={"green": 10}, tags={"c": "3"})
    found = endpoint(twin)
    assert (found.state, found.traffic, found.mirror) == (
        State.SUCCEEDED,
        {"blue": 100},
        {"green": 10},
    )
    assert found.tags == {"a": "1", "c": "3"}


def test_the_rules_of_traffic_are_for_everybody(twin: MemoryWorkspaces) -> None:
    with pytest.raises(WorkspaceRefused):
        twin.change_traffic(WORKSPACE, "churn", {"nobody": 100})
    with pytest.raises(WorkspaceRefused):
        twin.remove_deployment(WORKSPACE, "churn", "blue")
    assert list(states(twin)) == ["blue", "green"]


def test_somebody_else_removes_scales_and_breaks_deployments_at_once(
    twin: MemoryWorkspaces,
) -> None:
    twin.behaviour.takes = timedelta(hours=1)
    twin.remove_deployment(WORKSPACE, "churn", "green")
    twin.scale(WORKSPACE, "churn", "blue", 5)
    assert states(twin) == {"blue": (State.SUCCEEDED, 5)}
    twin.fail_deployment(WORKSPACE, "churn", "blue")
    assert states(twin) == {"blue": (State.FAILED, 5)}
    assert endpoint(twin).traffic == {"blue": 100}


def test_what_somebody_else_does_is_no_request(twin: MemoryWorkspaces) -> None:
    asked: list[str] = []
    twin.before = asked.append
    twin.change_traffic(WORKSPACE, "churn", {})
    twin.scale(WORKSPACE, "churn", "blue", 2)
    twin.fail_deployment(WORKSPACE, "churn", "green")
    twin.remove_deployment(WORKSPACE, "churn", "green")
    assert asked == []


def test_a_failed_deployment_takes_no_more_traffic(twin: MemoryWorkspaces) -> None:
    twin.fail_deployment(WORKSPACE, "churn", "green")
    with pytest.raises(WorkspaceRefused):
        twin.set_traffic(WORKSPACE, endpoint(twin), {"blue": 90, "green": 10}, {})
    twin.set_traffic(WORKSPACE, endpoint(twin), {"blue": 100, "green": 0}, {})


def test_deployments_can_answer_differently(twin: MemoryWorkspaces) -> None:
    twin.behaviour.scores = {"gr*": Score(status=424, model_status=500), "*": Score(status=429)}
    answers = {
        name: twin.score(WORKSPACE, endpoint(twin), name, b"", timeout=SECOND).status
        for name in ("blue", "green")
    }
    assert answers == {"blue": 429, "green": 424}
    twin.behaviour.scores = {"red": Score(status=429)}
    assert twin.score(WORKSPACE, endpoint(twin), "blue", b"", timeout=SECOND).status == 200


def test_capacity_is_without_a_limit_until_a_test_sets_one(twin: MemoryWorkspaces) -> None:
    found = twin.find_capacity(WORKSPACE, "Standard_DS3_v2")
    assert found == Capacity(family="standardDSv2Family", cores=4)
    twin.behaviour.capacity = Capacity(family="f", cores=8, used=10, limit=100)
    found = twin.find_capacity(WORKSPACE, "Standard_DS3_v2")
    assert found == Capacity(family="f", cores=8, used=10 + 2 * 16, limit=100)


def test_a_batch_endpoint_is_kept_apart(twin: MemoryWorkspaces) -> None:
    kind = EndpointKind.BATCH
    twin.create_endpoint(WORKSPACE, "churn", auth_mode="aad_token", tags={}, kind=kind)
    twin.get_endpoint(WORKSPACE, "churn")
    spec = DeploymentSpec(
        model_id="/m/1", instance_type="", instance_count=2, kind=kind, compute="cluster"
    )
    twin.create_deployment(WORKSPACE, "churn", "red", spec)
    twin.change_traffic(WORKSPACE, "churn", {"red": 100}, kind=kind)
    assert twin.endpoints[WORKSPACE.key, "batch/churn"].traffic == {"red": 100}
    assert endpoint(twin).traffic == {"blue": 100}
