"""The workspace's documents: what is read from them, and what is written back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.adapters.aml.documents import (
    default_of,
    new_batch_deployment,
    new_batch_endpoint,
    new_deployment,
    new_endpoint,
    parse_batch_endpoint,
    parse_deployment,
    parse_endpoint,
    parse_model,
    scaled,
    with_default,
    with_traffic,
)
from shared.base.errors import WorkspaceRefused
from shared.workspaces.model import (
    DeploymentSpec,
    EndpointKind,
    HealthProbe,
    ModelKind,
    Serving,
    State,
)

#: As the service answers it, with everything that it may hold.
ENDPOINT: dict[str, Any] = {
    "id": "/subscriptions/s/resourceGroups/g/providers/p/workspaces/w/onlineEndpoints/Churn",
    "name": "Churn",
    "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
    "location": "westeurope",
    "kind": "Managed",
    "sku": None,
    "tags": {"team": "growth", "stage": "test"},
    "systemData": {"createdAt": "2026-03-01T12:00:00Z"},
    "identity": {
        "type": "SystemAssigned,UserAssigned",
        "principalId": "p-1",
        "tenantId": "t-1",
        "userAssignedIdentities": {"/a/b": {"principalId": "p-2", "clientId": "c-2"}},
    },
    "properties": {
        "authMode": "AADToken",
        "compute": "/compute/k8s",
        "description": "who leaves",
        "keys": None,
        "mirrorTraffic": {"Green": 10},
        "properties": {
            "owner": "me",
            "AzureAsyncOperationUri": "https://management.azure.com/op",
            "azureml.onlineendpointid": "/subscriptions/s",
        },
        "provisioningState": "Succeeded",
        "publicNetworkAccess": "Disabled",
        "scoringUri": "https://churn.westeurope.inference.ml.azure.com/score",
        "swaggerUri": "https://churn.westeurope.inference.ml.azure.com/swagger.json",
        "traffic": {"Blue": 100},
        "somethingNew": {"a": 1},
    },
}


BATCH: dict[str, Any] = {
    "id": "/subscriptions/s/resourceGroups/g/providers/p/workspaces/w/batchEndpoints/churn",
    "name": "churn",
    "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints",
    "location": "westeurope",
    "tags": {"team": "growth"},
    "identity": None,
    "properties": {
        "authMode": "AADToken",
        "defaults": {"deploymentName": "Blue"},
        "description": "who leaves",
        "provisioningState": "Succeeded",
        "scoringUri": "https://churn.westeurope.inference.ml.azure.com/jobs",
        "swaggerUri": None,
    },
}


def test_an_endpoint_is_read() -> None:
    endpoint = parse_endpoint(ENDPOINT)
    assert endpoint.name == "Churn"
    assert endpoint.state is State.SUCCEEDED
    assert endpoint.traffic == {"Blue": 100}
    assert endpoint.mirror == {"Green": 10}
    assert endpoint.tags == {"team": "growth", "stage": "test"}
    assert endpoint.auth_mode == "AADToken"
    assert endpoint.document is ENDPOINT


@pytest.mark.parametrize(
    ("compute", "kind"),
    [
        (None, EndpointKind.MANAGED),
        ("", EndpointKind.MANAGED),
        ("/w/computes/k8s", EndpointKind.KUBERNETES),
    ],
)
def test_an_endpoint_that_names_a_compute_is_a_kubernetes_one(
    compute: str | None, kind: EndpointKind
) -> None:
    assert parse_endpoint({"name": "e", "properties": {"compute": compute}}).kind is kind


def test_a_batch_endpoints_default_is_read_as_the_one_with_all_traffic() -> None:
    endpoint = parse_batch_endpoint(BATCH)
    assert (endpoint.name, endpoint.kind) == ("churn", EndpointKind.BATCH)
    assert (endpoint.state, endpoint.auth_mode) == (State.SUCCEEDED, "AADToken")
    assert (endpoint.traffic, endpoint.mirror) == ({"Blue": 100}, {})
    assert endpoint.tags == {"team": "growth"}
    assert endpoint.scoring_uri.endswith("/jobs")
    assert endpoint.document is BATCH


@pytest.mark.parametrize("defaults", [None, {}, {"deploymentName": None}, {"deploymentName": ""}])
def test_a_batch_endpoint_without_a_default_has_no_traffic(defaults: Any) -> None:
    assert parse_batch_endpoint({"properties": {"defaults": defaults}}).traffic == {}


def test_setting_the_default_of_a_batch_endpoint_keeps_the_rest() -> None:
    assert with_default(BATCH, "green", {"by": "signalbox"}) == {
        "location": "westeurope",
        "tags": {"team": "growth", "by": "signalbox"},
        "properties": {
            "authMode": "AADToken",
            "defaults": {"deploymentName": "green"},
            "description": "who leaves",
        },
    }
    assert with_default(BATCH, None, {})["properties"]["defaults"] == {"deploymentName": None}


def test_setting_a_default_needs_the_document_that_was_read() -> None:
    with pytest.raises(ValueError, match="that was read"):
        with_default({}, "blue", {})


@pytest.mark.parametrize(
    ("traffic", "default"),
    [({"blue": 100}, "blue"), ({"blue": 0, "green": 100}, "green"), ({}, None), ({"a": 0}, None)],
)
def test_all_traffic_is_the_default_deployments(
    traffic: dict[str, int], default: str | None
) -> None:
    assert default_of(traffic, {"green": 0}) == default


@pytest.mark.parametrize(
    ("traffic", "mirror"),
    [({"a": 90, "b": 10}, {}), ({"a": 10}, {}), ({"a": 100, "b": 100}, {}), ({"a": 100}, {"b": 1})],
)
def test_a_batch_endpoint_shares_out_nothing(
    traffic: dict[str, int], mirror: dict[str, int]
) -> None:
    with pytest.raises(WorkspaceRefused, match="one default deployment"):
        default_of(traffic, mirror)


def test_setting_traffic_changes_the_split_and_adds_tags_and_keeps_the_rest() -> None:
    tags = {"stage": "live", "by": "signalbox"}
    body = with_traffic(ENDPOINT, {"Blue": 90, "green": 10}, tags, {"Green": 20})
    assert body == {
        "location": "westeurope",
        "kind": "Managed",
        "tags": {"team": "growth", "stage": "live", "by": "signalbox"},
        "identity": {
            "type": "SystemAssigned,UserAssigned",
            "userAssignedIdentities": {"/a/b": {}},
        },
        "properties": {
            "authMode": "AADToken",
            "compute": "/compute/k8s",
            "description": "who leaves",
            "mirrorTraffic": {"Green": 20},
            "properties": {"owner": "me"},
            "publicNetworkAccess": "Disabled",
            "traffic": {"Blue": 90, "green": 10},
            "somethingNew": {"a": 1},
        },
    }


def test_setting_traffic_leaves_what_was_read_alone() -> None:
    before = repr(ENDPOINT)
    with_traffic(ENDPOINT, {"green": 100}, {"a": "b"})
    assert repr(ENDPOINT) == before


def test_setting_traffic_replaces_the_whole_split_and_mirror() -> None:
    properties = with_traffic(ENDPOINT, {}, {})["properties"]
    assert (properties["traffic"], properties["mirrorTraffic"]) == ({}, {})


@pytest.mark.parametrize("document", [{}, {"location": "x"}, {"properties": {}}])
def test_setting_traffic_needs_the_document_that_was_read(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="that was read"):
        with_traffic(document, {"blue": 100}, {})


def test_an_endpoint_without_its_optional_parts_is_read() -> None:
    bare = {"name": "e", "properties": {"authMode": "Key", "traffic": None}, "tags": None}
    endpoint = parse_endpoint(bare)
    assert (endpoint.traffic, endpoint.mirror, endpoint.tags) == ({}, {}, {})


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ("Creating", State.CREATING),
        ("succeeded", State.SUCCEEDED),
        ("Scaling", State.SCALING),
        ("Resting", State.UPDATING),
        (None, State.UPDATING),
    ],
)
def test_a_state_that_nobody_knows_is_taken_for_work_under_way(
    found: str | None, state: State
) -> None:
    assert (
        parse_deployment({"name": "d", "properties": {"provisioningState": found}}).state is state
    )


def test_a_deployment_is_read() -> None:
    deployment = parse_deployment(
        {
            "name": "blue",
            "tags": {"a": None},
            "sku": {"name": "Default", "capacity": 3},
            "properties": {
                "provisioningState": "Failed",
                "model": "/models/churn/versions/7",
                "instanceType": "Standard_DS3_v2",
            },
        }
    )
    assert deployment.state is State.FAILED
    assert deployment.model == "/models/churn/versions/7"
    assert (deployment.instance_type, deployment.instance_count) == ("Standard_DS3_v2", 3)
    assert deployment.tags == {"a": ""}


def test_a_batch_deployment_is_read() -> None:
    deployment = parse_deployment(
        {
            "name": "blue",
            "properties": {
                "provisioningState": "Succeeded",
                "model": {"referenceType": "Id", "assetId": "/models/churn/versions/7"},
                "compute": "/computes/cpu-cluster",
                "resources": {"instanceCount": 2},
            },
        }
    )
    assert (deployment.model, deployment.instance_count) == ("/models/churn/versions/7", 2)
    assert deployment.instance_type == ""


def test_a_batch_deployment_of_a_component_has_no_model() -> None:
    deployment = parse_deployment({"name": "blue", "properties": {"model": {}, "resources": None}})
    assert (deployment.model, deployment.instance_count) == ("", 0)


def test_a_deployment_without_a_size_is_read() -> None:
    assert parse_deployment({"name": "blue", "properties": {}}).instance_count == 0


@pytest.mark.parametrize(
    ("properties", "kind"),
    [
        ({"modelType": "mlflow_model"}, ModelKind.MLFLOW),
        ({"modelType": "MLFlowModel"}, ModelKind.MLFLOW),
        ({"modelType": "TritonModel"}, ModelKind.TRITON),
        ({"modelType": "custom_model", "flavors": {"python_function": {}}}, ModelKind.CUSTOM),
        ({"modelType": "preset"}, "preset"),
        ({"flavors": {"python_function": {}}}, ModelKind.MLFLOW),
        ({"flavors": {"sklearn": {}}}, ModelKind.CUSTOM),
        ({}, ModelKind.CUSTOM),
    ],
)
def test_a_models_kind_is_read_in_every_spelling(properties: dict[str, Any], kind: str) -> None:
    assert parse_model("churn", "7", {"properties": properties}).kind == kind


@pytest.mark.parametrize(
    ("flavors", "read"),
    [
        ({"sklearn": {}, "python_function": {"data": {}}}, ("python_function", "sklearn")),
        ({}, ()),
        (None, ()),
        (["sklearn"], ()),
    ],
)
def test_a_models_flavors_are_read(flavors: Any, read: tuple[str, ...]) -> None:
    assert parse_model("churn", "7", {"properties": {"flavors": flavors}}).flavors == read


def test_a_model_is_read() -> None:
    model = parse_model(
        "churn",
        "7",
        {
            "id": "/models/churn/versions/7",
            "name": "7",
            "systemData": {"createdAt": "2026-03-01T13:00:00.1234567+01:00"},
            "properties": {"tags": {"a": "b"}, "properties": {"c": "d"}, "isArchived": True},
        },
    )
    assert (model.id, model.name, model.version) == ("/models/churn/versions/7", "churn", "7")
    assert (model.tags, model.properties, model.archived) == ({"a": "b"}, {"c": "d"}, True)
    assert model.created_at == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    "created", [None, "", "yesterday", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"]
)
def test_a_model_without_a_readable_date_has_none(created: str | None) -> None:
    assert parse_model("m", "1", {"systemData": {"createdAt": created}}).created_at is None


def test_a_date_without_a_zone_is_in_utc() -> None:
    document = {"systemData": {"createdAt": "2026-03-01T12:00:00"}}
    assert parse_model("m", "1", document).created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_new_deployment_has_neither_code_nor_environment_nor_traffic() -> None:
    spec = DeploymentSpec(
        model_id="/m/1", instance_type="Standard_DS3_v2", instance_count=2, tags={"a": "b"}
    )
    assert new_deployment("westeurope", spec) == {
        "location": "westeurope",
        "tags": {"a": "b"},
        "sku": {"name": "Default", "capacity": 2},
        "properties": {
            "endpointComputeType": "Managed",
            "model": "/m/1",
            "instanceType": "Standard_DS3_v2",
            "scaleSettings": {"scaleType": "Default"},
            "appInsightsEnabled": False,
        },
    }


@pytest.mark.parametrize(
    ("serving", "written"),
    [
        (Serving(), {}),
        (
            Serving(request_timeout=timedelta(milliseconds=1500)),
            {"requestSettings": {"requestTimeout": "PT1.5S"}},
        ),
        (
            Serving(
                request_timeout=timedelta(minutes=3),
                liveness=HealthProbe(initial_delay=timedelta(minutes=10), failure_threshold=3),
                readiness=HealthProbe(period=timedelta(seconds=20), timeout=timedelta(seconds=9)),
            ),
            {
                "requestSettings": {"requestTimeout": "PT180S"},
                "livenessProbe": {"initialDelay": "PT600S", "failureThreshold": 3},
                "readinessProbe": {"period": "PT20S", "timeout": "PT9S"},
            },
        ),
    ],
)
def test_a_new_deployment_says_how_it_serves_only_where_that_is_known(
    serving: Serving, written: dict[str, Any]
) -> None:
    spec = DeploymentSpec(model_id="/m/1", instance_type="x", instance_count=1, serving=serving)
    properties = new_deployment("westeurope", spec)["properties"]
    settings = ("requestSettings", "livenessProbe", "readinessProbe")
    assert {name: properties[name] for name in settings if name in properties} == written


@pytest.mark.parametrize(
    ("auth_mode", "written"),
    [("key", "Key"), ("aml_token", "AMLToken"), ("aad_token", "AADToken")],
)
def test_a_new_endpoint_has_an_identity_of_its_own(auth_mode: str, written: str) -> None:
    assert new_endpoint("westeurope", auth_mode, {"a": "b"}) == {
        "location": "westeurope",
        "tags": {"a": "b"},
        "identity": {"type": "SystemAssigned"},
        "properties": {"authMode": written},
    }


def test_a_kubernetes_endpoint_names_its_cluster() -> None:
    body = new_endpoint("westeurope", "key", {}, compute="/w/computes/k8s")
    assert body["properties"] == {"authMode": "Key", "compute": "/w/computes/k8s"}


@pytest.mark.parametrize(
    ("instance_type", "written"),
    [("gpu-small", {"instanceType": "gpu-small"}), ("", {})],
)
def test_a_kubernetes_deployment_may_leave_its_machines_to_the_cluster(
    instance_type: str, written: dict[str, str]
) -> None:
    spec = DeploymentSpec(
        model_id="/m/1",
        instance_type=instance_type,
        instance_count=2,
        kind=EndpointKind.KUBERNETES,
        compute="k8s",
    )
    assert new_deployment("westeurope", spec)["properties"] == {
        "endpointComputeType": "Kubernetes",
        "model": "/m/1",
        "scaleSettings": {"scaleType": "Default"},
        "appInsightsEnabled": False,
        **written,
    }


def test_a_new_batch_endpoint_is_called_with_tokens_of_entra() -> None:
    assert new_batch_endpoint("westeurope", "aad_token", {"a": "b"}) == {
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {"authMode": "AADToken"},
    }


def test_a_new_batch_deployment_runs_its_model_on_a_cluster() -> None:
    spec = DeploymentSpec(
        model_id="/m/1",
        instance_type="",
        instance_count=2,
        kind=EndpointKind.BATCH,
        compute="cpu-cluster",
        tags={"a": "b"},
    )
    assert new_batch_deployment("westeurope", spec, "/w/computes/cpu-cluster") == {
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {
            "model": {"referenceType": "Id", "assetId": "/m/1"},
            "compute": "/w/computes/cpu-cluster",
            "resources": {"instanceCount": 2},
        },
    }


def test_scaling_says_nothing_but_the_size() -> None:
    assert scaled(3) == {"sku": {"capacity": 3}}
