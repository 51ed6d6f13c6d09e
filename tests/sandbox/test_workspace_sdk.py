"""The real, unmodified azure-ai-ml client against the emulator."""

import warnings

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from marshmallow.warnings import Marshmallow4Warning

with warnings.catch_warnings():
    # The client builds its schemas, in a way that its marshmallow deprecates, when imported.
    warnings.simplefilter("ignore", Marshmallow4Warning)
    from azure.ai.ml.entities import (
        BatchEndpoint,
        KubernetesOnlineDeployment,
        KubernetesOnlineEndpoint,
        ManagedOnlineDeployment,
        ManagedOnlineEndpoint,
        Model,
        ModelBatchDeployment,
    )

pytestmark = pytest.mark.filterwarnings(
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    r"ignore:datetime\.datetime\.utcnow:DeprecationWarning:azure\.ai\.ml.*",
)


@pytest.fixture(autouse=True)
def operations_end_at_once(control):
    control.provisioning(0)


@pytest.fixture
def registered(client, control) -> Model:
    model = Model(
        name="churn",
        version="1",
        type="mlflow_model",
        path="azureml://datastores/workspaceblobstore/paths/churn",
        tags={"deploy": "true"},
    )
    return client.models.create_or_update(model)


@pytest.fixture
def endpoint(client, control) -> ManagedOnlineEndpoint:
    return client.online_endpoints.begin_create_or_update(
        ManagedOnlineEndpoint(name="ep-1", auth_mode="key", tags={"owner": "me"})
    ).result()


def deployment(name="blue", **changes):
    usual = {"model": "azureml:churn:1", "instance_type": "Standard_DS3_v2", "instance_count": 1}
    return ManagedOnlineDeployment(name=name, endpoint_name="ep-1", **(usual | changes))


def test_a_workspace_is_read(client):
    assert client.workspaces.get("ws-a").location == "westeurope"


def test_models_are_registered_found_tagged_and_archived(client, control, registered):
    assert client.models.get("churn", "1").tags == {"deploy": "true"}
    assert client.models.get("churn", label="latest").version == "1"
    again = client.models.create_or_update(
        Model(name="churn", type="mlflow_model", path="azureml://datastores/d/paths/p")
    )
    assert again.version == "2"
    assert [model.version for model in client.models.list("churn")] == ["2", "1"]
    registered = client.models.get("churn", "1")
    registered.tags["stage"] = "production"
    client.models.create_or_update(registered)
    assert client.models.get("churn", "1").tags["stage"] == "production"
    client.models.archive("churn", "2")
    assert [model.version for model in client.models.list("churn")] == ["1"]
    assert [model.name for model in client.models.list()] == ["churn"]
    assert len(control.events()) == 2
    with pytest.raises(ResourceNotFoundError):
        client.models.get("churn", "3")


def test_a_model_is_deployed_takes_traffic_and_goes(client, arm, registered, endpoint):
    assert endpoint.provisioning_state == "Succeeded"
    created = client.online_deployments.begin_create_or_update(deployment()).result()
    assert created.provisioning_state == "Succeeded"
    endpoint = client.online_endpoints.get("ep-1")
    assert endpoint.traffic == {"blue": 0}
    endpoint.traffic = {"blue": 100}
    updated = client.online_endpoints.begin_create_or_update(endpoint).result()
    assert updated.traffic == {"blue": 100}
    assert updated.tags == {"owner": "me"}
    keys = client.online_endpoints.get_keys("ep-1")
    score = arm.http.post(
        updated.scoring_uri,
        json={"input_data": [[1]]},
        headers={"Authorization": f"Bearer {keys.primary_key}"},
    )
    assert score.headers["azureml-model-deployment"] == "blue"
    assert [d.name for d in client.online_deployments.list("ep-1")] == ["blue"]
    assert [e.name for e in client.online_endpoints.list()] == ["ep-1"]
    endpoint.traffic = {"blue": 0}
    client.online_endpoints.begin_create_or_update(endpoint).result()
    client.online_deployments.begin_delete("blue", "ep-1").result()
    client.online_endpoints.begin_delete("ep-1").result()
    with pytest.raises(ResourceNotFoundError):
        client.online_endpoints.get("ep-1")


def test_the_client_invokes_an_endpoint(client, registered, endpoint, tmp_path):
    client.online_deployments.begin_create_or_update(deployment()).result()
    request = tmp_path / "request.json"
    request.write_text('{"input_data": [[1], [2]]}')
    answer = client.online_endpoints.invoke(
        "ep-1", request_file=str(request), deployment_name="blue"
    )
    assert answer.count(",") == 1


def test_a_deployment_under_way_is_seen_and_in_the_way(client, control, registered, endpoint):
    control.provisioning(480, "deployment_create")
    poller = client.online_deployments.begin_create_or_update(deployment())
    assert client.online_deployments.get("blue", "ep-1").provisioning_state == "Creating"
    with pytest.raises(ResourceExistsError, match="another operation on same entity"):
        client.online_endpoints.begin_create_or_update(endpoint)
    assert not poller.done()
    control.speed(1000)
    control.advance(481)
    assert client.online_deployments.get("blue", "ep-1").provisioning_state == "Succeeded"
    control.speed(1)


def test_a_crash_is_reported_by_the_poller_and_the_log(client, control, registered, endpoint):
    control.fail_deployment(model="churn")
    poller = client.online_deployments.begin_create_or_update(deployment())
    with pytest.raises(HttpResponseError) as failure:
        poller.result()
    assert failure.value.error.code == "ResourceNotReady"
    assert client.online_deployments.get("blue", "ep-1").provisioning_state == "Failed"
    assert "Traceback" in client.online_deployments.get_logs("blue", "ep-1", lines=50)


def test_missing_quota_is_reported_at_once(client, control, registered, endpoint):
    control.quota(0)
    with pytest.raises(HttpResponseError, match="Not enough quota available") as failure:
        client.online_deployments.begin_create_or_update(deployment())
    assert failure.value.status_code == 400
    assert failure.value.error.code == "BadRequest"
    assert failure.value.error.details[0].code == "InferencingClientCreateDeploymentFailed"


def test_a_wrong_split_is_refused_by_the_service(client, registered, endpoint):
    endpoint.traffic = {"nobody": 100}
    with pytest.raises(HttpResponseError, match="does not exist") as failure:
        client.online_endpoints.begin_create_or_update(endpoint)
    assert failure.value.error.code == "BadArgument"


def test_a_kubernetes_endpoint_is_made_and_takes_traffic(client, registered):
    assert client.compute.get("k8s").type == "kubernetes"
    endpoint = client.online_endpoints.begin_create_or_update(
        KubernetesOnlineEndpoint(name="kep-1", compute="k8s", auth_mode="key")
    ).result()
    assert isinstance(endpoint, KubernetesOnlineEndpoint)
    created = client.online_deployments.begin_create_or_update(
        KubernetesOnlineDeployment(
            name="blue", endpoint_name="kep-1", model="azureml:churn:1", instance_count=2
        )
    ).result()
    assert created.instance_type == "defaultinstancetype"
    endpoint.traffic = {"blue": 100}
    updated = client.online_endpoints.begin_create_or_update(endpoint).result()
    assert updated.traffic == {"blue": 100}


def test_throttling_is_waited_out_by_the_client(client, control, registered):
    control.clear_requests()
    control.throttle(times=1, retry_after=0)
    assert client.models.get("churn", "1").version == "1"
    assert [entry["status"] for entry in control.requests()] == [429, 200]


def test_a_batch_endpoint_switches_its_default(client, registered):
    client.batch_endpoints.begin_create_or_update(BatchEndpoint(name="bep-1")).result()
    client.batch_deployments.begin_create_or_update(
        ModelBatchDeployment(
            name="blue", endpoint_name="bep-1", model="azureml:churn:1", compute="cpu"
        )
    ).result()
    endpoint = client.batch_endpoints.get("bep-1")
    endpoint.defaults = {"deployment_name": "blue"}
    client.batch_endpoints.begin_create_or_update(endpoint).result()
    assert client.batch_endpoints.get("bep-1").defaults.deployment_name == "blue"
