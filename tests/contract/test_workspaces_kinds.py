"""The contract of Workspaces for kinds of endpoint, mirrors, sizes and capacity, in the emulator.

The rules of each, which the twin keeps as well, are in test_rules_of_the_service and
test_rules_of_kinds; here is what only the service's own documents and requests show.
"""

import pytest

from sandbox.workspace.control import Control
from sandbox.workspace.server import WorkspaceEmulator
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.base.errors import WorkspaceDenied, WorkspaceRefused
from shared.events.model import Workspace
from shared.workspaces.model import DeploymentSpec, EndpointKind
from tests.contract.conftest import WORKSPACE, Somebody
from tests.contract.test_workspaces import ROWS, SECONDS, Stage

BATCH, KUBERNETES = EndpointKind.BATCH, EndpointKind.KUBERNETES
LOCATION = "/subscriptions/sub-1/providers/Microsoft.MachineLearningServices/locations/westeurope"


@pytest.fixture
def stage(workspaces: ArmWorkspaces, control: Control, emulator: WorkspaceEmulator) -> Stage:
    return Stage(workspaces, control, emulator)


def requests(stage: Stage) -> list[tuple[str, str]]:
    """Return the method and the path below the workspace of what was asked since it was cleared."""
    return [
        (request["method"], request["path"].removeprefix(WORKSPACE.id))
        for request in stage.control.requests()
    ]


def have_batch(stage: Stage, *deployments: str) -> None:
    stage.put_model()
    stage.workspaces.create_endpoint(
        WORKSPACE, "ep-1", auth_mode="aad_token", tags={"team": "growth"}, kind=BATCH
    )
    stage.pass_time()
    for name in deployments:
        spec = stage.spec(kind=BATCH, compute="cpu-cluster", instance_count=2)
        stage.workspaces.create_deployment(WORKSPACE, "ep-1", name, spec)
        stage.pass_time()


def have_kubernetes(stage: Stage, *deployments: str) -> None:
    stage.put_model()
    stage.workspaces.create_endpoint(
        WORKSPACE, "ep-1", auth_mode="key", tags={}, kind=KUBERNETES, compute="k8s"
    )
    stage.pass_time()
    for name in deployments:
        spec = stage.spec(kind=KUBERNETES, compute="k8s", instance_type="")
        stage.workspaces.create_deployment(WORKSPACE, "ep-1", name, spec)
        stage.pass_time()


# Reading


def test_what_is_not_there_is_none_or_empty_for_every_kind(workspaces: ArmWorkspaces) -> None:
    assert workspaces.list_endpoints(WORKSPACE) == ()
    for kind in EndpointKind:
        assert workspaces.get_endpoint(WORKSPACE, "ep-1", kind=kind) is None
        assert workspaces.list_deployments(WORKSPACE, "ep-1", kind=kind) == ()
        assert workspaces.delete_deployment(WORKSPACE, "ep-1", "blue", kind=kind).url == ""


def test_a_models_flavors_are_read(stage: Stage) -> None:
    stage.put_model(flavors={"sklearn": {}, "python_function": {}})
    assert stage.model().flavors == ("python_function", "sklearn")


def test_endpoints_are_listed_as_they_are_read(stage: Stage) -> None:
    stage.have("blue")
    stage.workspaces.set_traffic(WORKSPACE, stage.endpoint(), {"blue": 100}, {"a": "b"})
    stage.pass_time()
    stage.control.clear_requests()
    (endpoint,) = stage.workspaces.list_endpoints(WORKSPACE)
    assert requests(stage) == [("GET", "/onlineEndpoints")]
    assert endpoint == stage.endpoint()


def test_an_absent_workspace_has_no_endpoints(workspaces: ArmWorkspaces) -> None:
    nowhere = Workspace(subscription="sub-1", resource_group="rg-1", name="gone")
    assert workspaces.list_endpoints(nowhere) == ()


# Traffic and size


def test_the_mirror_that_somebody_else_set_is_replaced(stage: Stage) -> None:
    stage.have("blue", "green", "red")
    stage.workspaces.set_traffic(WORKSPACE, stage.endpoint(), {"blue": 100}, {}, mirror={"red": 20})
    stage.pass_time()
    endpoint = stage.endpoint()
    stage.workspaces.set_traffic(WORKSPACE, endpoint, {"blue": 100}, {}, mirror={"green": 10})
    stage.pass_time()
    assert stage.endpoint().mirror == {"green": 10}
    stage.workspaces.set_traffic(WORKSPACE, stage.endpoint(), {"blue": 100}, {})
    stage.pass_time()
    assert stage.endpoint().mirror == {}


def test_scaling_is_one_request_and_keeps_what_others_set(stage: Stage, somebody: Somebody) -> None:
    stage.have("blue")
    path = "/onlineEndpoints/ep-1/deployments/blue"
    document = somebody.get(path)
    settings = document["properties"] | {"environmentVariables": {"THREADS": "4"}}
    del settings["provisioningState"]
    somebody.put(path, settings, location="westeurope", sku=document["sku"], tags={"a": "b"})
    stage.pass_time()
    before = somebody.get(path)
    stage.control.clear_requests()
    stage.workspaces.scale_deployment(WORKSPACE, "ep-1", "blue", 3)
    assert requests(stage) == [("PATCH", path)]
    stage.pass_time()
    after = somebody.get(path)
    assert after["sku"]["capacity"] == 3
    assert after["tags"] == {"a": "b"}
    for part in ("environmentVariables", "model", "instanceType", "scaleSettings"):
        assert after["properties"][part] == before["properties"][part]


# Kubernetes


def test_a_kubernetes_endpoint_runs_on_its_cluster_and_answers(stage: Stage) -> None:
    have_kubernetes(stage, "blue")
    endpoint = stage.endpoint()
    assert endpoint.kind is KUBERNETES
    assert endpoint.document["properties"]["compute"] == f"{WORKSPACE.id}/computes/k8s"
    (blue,) = stage.workspaces.list_deployments(WORKSPACE, "ep-1", kind=KUBERNETES)
    assert blue.instance_type == "defaultinstancetype"
    score = stage.workspaces.score(WORKSPACE, endpoint, "blue", ROWS, timeout=SECONDS)
    assert score.status == 200


def test_setting_traffic_keeps_the_cluster(stage: Stage) -> None:
    have_kubernetes(stage, "blue")
    stage.workspaces.set_traffic(WORKSPACE, stage.endpoint(), {"blue": 100}, {})
    stage.pass_time()
    endpoint = stage.endpoint()
    assert endpoint.traffic == {"blue": 100}
    assert endpoint.document["properties"]["compute"] == f"{WORKSPACE.id}/computes/k8s"


def test_a_cluster_that_is_not_attached_is_refused(stage: Stage) -> None:
    with pytest.raises(WorkspaceRefused, match="no attached Kubernetes cluster"):
        stage.workspaces.create_endpoint(
            WORKSPACE, "ep-1", auth_mode="key", tags={}, kind=KUBERNETES, compute="elsewhere"
        )


# Batch


def test_a_batch_deployment_runs_its_model_on_its_cluster(stage: Stage, somebody: Somebody) -> None:
    have_batch(stage, "blue")
    (blue,) = stage.workspaces.list_deployments(WORKSPACE, "ep-1", kind=BATCH)
    assert (blue.model, blue.instance_count) == (stage.model().id, 2)
    properties = somebody.get("/batchEndpoints/ep-1/deployments/blue")["properties"]
    assert properties["compute"] == f"{WORKSPACE.id}/computes/cpu-cluster"


def test_a_batch_deployment_without_a_cluster_is_refused(stage: Stage) -> None:
    have_batch(stage)
    spec: DeploymentSpec = stage.spec(kind=BATCH)
    with pytest.raises(WorkspaceRefused):
        stage.workspaces.create_deployment(WORKSPACE, "ep-1", "blue", spec)


def test_setting_the_default_keeps_what_others_set(stage: Stage, somebody: Somebody) -> None:
    have_batch(stage, "Blue", "green")
    path = "/batchEndpoints/ep-1"
    settings = {
        "authMode": "AADToken",
        "description": "who leaves",
        "defaults": {"deploymentName": "Blue"},
        "properties": {"owner": "me"},
    }
    somebody.put(path, settings, location="westeurope", tags={"team": "growth"})
    stage.pass_time()
    endpoint = stage.workspaces.get_endpoint(WORKSPACE, "ep-1", kind=BATCH)
    assert endpoint is not None
    assert endpoint.traffic == {"Blue": 100}
    stage.control.clear_requests()
    stage.workspaces.set_traffic(WORKSPACE, endpoint, {"green": 100}, {"step": "1"})
    assert requests(stage) == [("PUT", path)]
    stage.pass_time()
    after = somebody.get(path)
    assert after["tags"] == {"team": "growth", "step": "1"}
    properties = after["properties"]
    assert properties["defaults"] == {"deploymentName": "green"}
    assert (properties["description"], properties["properties"]["owner"]) == ("who leaves", "me")


def test_a_batch_endpoint_is_never_asked_to_score(stage: Stage) -> None:
    have_batch(stage, "blue")
    endpoint = stage.workspaces.get_endpoint(WORKSPACE, "ep-1", kind=BATCH)
    assert endpoint is not None
    with pytest.raises(WorkspaceRefused):
        stage.workspaces.score(WORKSPACE, endpoint, "blue", ROWS, timeout=SECONDS)
    assert stage.control.runs() == []


# Capacity


def test_capacity_is_two_requests_and_its_sizes_are_read_once(stage: Stage) -> None:
    stage.have_endpoint()
    stage.control.clear_requests()
    for _ in range(2):
        stage.workspaces.find_capacity(WORKSPACE, "standard_ds3_V2")
    assert requests(stage) == [
        ("GET", f"{LOCATION}/vmSizes"),
        ("GET", f"{LOCATION}/usages"),
        ("GET", f"{LOCATION}/usages"),
    ]


def test_capacity_that_may_not_be_read_is_told_as_that(stage: Stage) -> None:
    stage.control.outage(status=403, path="*/usages")
    with pytest.raises(WorkspaceDenied, match="reading the quota of region westeurope"):
        stage.workspaces.find_capacity(WORKSPACE, "Standard_DS3_v2")
