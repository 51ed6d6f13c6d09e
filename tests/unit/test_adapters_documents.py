"""The workspace's documents: what is read from them, and what is written back."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.adapters.documents import (
    new_deployment,
    new_endpoint,
    parse_deployment,
    parse_endpoint,
    parse_model,
    with_traffic,
)
from shared.workspaces import DeploymentSpec, ModelKind, State

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


def test_an_endpoint_is_read() -> None:
    endpoint = parse_endpoint(ENDPOINT)
    assert endpoint.name == "Churn"
    assert endpoint.state is State.SUCCEEDED
    assert endpoint.traffic == {"Blue": 100}
    assert endpoint.mirror == {"Green": 10}
    assert endpoint.tags == {"team": "growth", "stage": "test"}
    assert endpoint.auth_mode == "AADToken"
    assert endpoint.document is ENDPOINT


def test_setting_traffic_changes_the_split_and_adds_tags_and_keeps_the_rest() -> None:
    body = with_traffic(ENDPOINT, {"Blue": 90, "green": 10}, {"stage": "live", "by": "signalbox"})
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
            "mirrorTraffic": {"Green": 10},
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


def test_setting_traffic_replaces_the_whole_split() -> None:
    assert with_traffic(ENDPOINT, {}, {})["properties"]["traffic"] == {}


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


@pytest.mark.parametrize("created", [None, "", "yesterday"])
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


@pytest.mark.parametrize(("auth_mode", "written"), [("key", "Key"), ("aad_token", "AADToken")])
def test_a_new_endpoint_has_an_identity_of_its_own(auth_mode: str, written: str) -> None:
    assert new_endpoint("westeurope", auth_mode, {"a": "b"}) == {
        "location": "westeurope",
        "tags": {"a": "b"},
        "identity": {"type": "SystemAssigned"},
        "properties": {"authMode": written},
    }
