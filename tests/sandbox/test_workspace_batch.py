"""Batch endpoints: their deployments and which one is the default."""

import pytest

BEP = "/batchEndpoints/bep-1"
BLUE = f"{BEP}/deployments/blue"


def put_endpoint(arm, name="bep-1", **properties):
    body = {"location": "westeurope", "properties": {"authMode": "AADToken"} | properties}
    return arm.put(f"/batchEndpoints/{name}", body)


def put_deployment(arm, model="azureml:churn:1", name="blue"):
    properties = {"model": {"referenceType": "Id", "assetId": model}, "compute": "c"}
    body = {"location": "westeurope", "properties": properties}
    return arm.put(f"{BEP}/deployments/{name}", body)


@pytest.fixture
def batch(arm):
    arm.put_model()
    assert put_endpoint(arm).status_code == 201
    arm.pass_time()
    assert put_deployment(arm).status_code == 201
    arm.pass_time()
    return arm


def test_a_batch_endpoint_has_no_keys(batch):
    assert batch.post(f"{BEP}/listKeys").status_code == 400
    assert batch.post("/batchEndpoints/other/listKeys").status_code == 404


@pytest.mark.parametrize(
    ("environment", "code"), [("azureml:e:2", "azureml:code:1"), ("azureml:e:1", "azureml:code:2")]
)
def test_what_a_deployment_is_made_of_must_be_there(batch, environment, code):
    batch.put_environment("e")
    batch.put("/codes/code/versions/1", {"properties": {"codeUri": "https://a/b"}})
    properties = {
        "model": {"referenceType": "Id", "assetId": "azureml:churn:1"},
        "codeConfiguration": {"codeId": code, "scoringScript": "score.py"},
        "environmentId": environment,
    }
    body = {"location": "westeurope", "properties": properties}
    refused = batch.put(f"{BEP}/deployments/green", body)
    assert refused.status_code == 404
    assert ":2' was not found" in refused.json()["error"]["message"]


def test_a_component_of_a_registry_is_not_emulated(batch):
    component = {"referenceType": "Id", "assetId": "azureml://registries/r/components/c/versions/1"}
    kind = {"deploymentConfigurationType": "PipelineComponent", "componentId": component}
    body = {"location": "westeurope", "properties": {"deploymentConfiguration": kind}}
    assert batch.put(f"{BEP}/deployments/green", body).status_code == 501


@pytest.mark.parametrize("kind", ["triton_model", "custom_model"])
def test_only_mlflow_models_are_deployed_without_code(batch, kind):
    batch.put_model("other", modelType=kind)
    batch.put_environment("e")
    batch.put("/codes/code/versions/1", {"properties": {"codeUri": "https://a/b"}})
    assert put_deployment(batch, "azureml:other:1", "green").status_code == 400
    code = {"codeId": "azureml:code:1", "scoringScript": "score.py"}
    model = {"referenceType": "Id", "assetId": "azureml:other:1"}
    properties = {"model": model, "codeConfiguration": code, "environmentId": "azureml:e:1"}
    body = {"location": "westeurope", "properties": properties}
    assert batch.put(f"{BEP}/deployments/green", body).status_code == 201


def test_a_default_deployment_is_set_when_the_operation_has_ended(batch):
    update = put_endpoint(batch, defaults={"deploymentName": "blue"})
    assert update.status_code == 200
    assert batch.properties(BEP)["defaults"]["deploymentName"] is None
    batch.pass_time()
    assert batch.operation(update)["status"] == "Succeeded"
    assert batch.properties(BEP)["defaults"] == {"deploymentName": "blue"}
    assert batch.delete(BLUE).status_code == 400


def test_the_default_is_switched_at_once_and_the_old_one_can_go(batch):
    assert put_deployment(batch, name="green").status_code == 201
    batch.pass_time()
    for name in ("blue", "green"):
        put_endpoint(batch, defaults={"deploymentName": name})
        batch.pass_time()
        assert batch.properties(BEP)["defaults"] == {"deploymentName": name}
        refused = batch.delete(f"{BEP}/deployments/{name}")
        assert refused.status_code == 400
        assert "is the default" in refused.json()["error"]["message"]
    assert batch.delete(BLUE).status_code == 202


def test_a_switch_of_the_default_can_fail_and_then_changes_nothing(batch, control):
    put_endpoint(batch, defaults={"deploymentName": "blue"})
    batch.pass_time()
    control.fail_endpoint("batch_endpoint_update")
    put_endpoint(batch)
    batch.pass_time()
    properties = batch.properties(BEP)
    assert properties["provisioningState"] == "Failed"
    assert properties["defaults"] == {"deploymentName": "blue"}


def test_what_the_contract_lets_one_patch_is_patched_and_no_more(batch):
    endpoint = batch.patch(BEP, {"tags": {"owner": "me"}})
    assert (endpoint.status_code, endpoint.json()["tags"]) == (200, {"owner": "me"})
    deployment = batch.patch(BLUE, {"tags": {"a": "b"}, "properties": {"description": "nightly"}})
    assert deployment.json()["tags"] == {"a": "b"}
    assert deployment.json()["properties"]["description"] == "nightly"
    assert deployment.json()["properties"]["compute"] == "c"
    defaults = {"properties": {"defaults": {"deploymentName": "blue"}}}
    assert batch.patch(BEP, defaults).status_code == 400
    assert batch.patch(BLUE, {"properties": {"compute": "d"}}).status_code == 400
    put_endpoint(batch)
    assert batch.patch(BEP, {"tags": {}}).status_code == 409


def test_a_default_that_does_not_exist_is_refused(batch):
    assert put_endpoint(batch, defaults={"deploymentName": "green"}).status_code == 400
    assert put_endpoint(batch, "bep-2", defaults={"deploymentName": "blue"}).status_code == 400


def test_a_batch_deployment_needs_a_model_of_the_workspace(batch):
    assert put_deployment(batch, model="azureml:churn:2").status_code == 404
    assert put_deployment(batch, model="").status_code == 400


def test_operations_on_batch_endpoints_conflict_and_fail_too(batch, control):
    control.fail_deployment(operation="batch_deployment_*", model="churn")
    failed = put_deployment(batch)
    assert put_endpoint(batch).status_code == 409
    batch.pass_time()
    assert batch.operation(failed)["status"] == "Failed"
    assert batch.properties(BLUE)["provisioningState"] == "Failed"


def test_batch_endpoints_are_listed_and_deleted(batch):
    assert [e["name"] for e in batch.get("/batchEndpoints").json()["value"]] == ["bep-1"]
    assert [d["name"] for d in batch.get(f"{BEP}/deployments").json()["value"]] == ["blue"]
    assert batch.delete(BLUE).status_code == 202
    batch.pass_time()
    assert batch.get(BLUE).status_code == 404
    assert batch.delete(BLUE).status_code == 204
    assert batch.delete(BEP).status_code == 202
    batch.pass_time()
    assert batch.get(BEP).status_code == 404
    assert batch.delete(BEP).status_code == 204
