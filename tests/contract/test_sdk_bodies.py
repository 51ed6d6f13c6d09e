"""Our request bodies are those of azure-ai-ml, except where they differ on purpose.

In a module of its own, because importing azure-ai-ml takes two seconds.
"""

import warnings
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from isodate import parse_duration
from marshmallow.warnings import Marshmallow4Warning

from shared.adapters.aml.arm import API_VERSION
from shared.adapters.aml.documents import (
    new_batch_deployment,
    new_batch_endpoint,
    new_deployment,
    new_endpoint,
    new_model_version,
    scaled,
    with_default,
    with_traffic,
)
from shared.adapters.targets.component import new_job
from shared.base.settings import CLOUDS
from shared.workspaces.model import (
    DataCollection,
    DeploymentSpec,
    EndpointKind,
    HealthProbe,
    NewModel,
    Serving,
    ServingContainer,
)

MODEL = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
    "/models/churn/versions/7"
)
with warnings.catch_warnings():
    # The SDK builds its schemas, in a way that its marshmallow deprecates, when imported.
    warnings.simplefilter("ignore", Marshmallow4Warning)
    from azure.ai.ml import load_job
    from azure.ai.ml._azure_environments import _environments
    from azure.ai.ml._restclient.arm_ml_service import models
    from azure.ai.ml._restclient.arm_ml_service._configuration import (
        MachineLearningServicesMgmtClientConfiguration as SdkConfiguration,
    )
    from azure.ai.ml.entities import (
        BatchEndpoint,
        CodeConfiguration,
        DataCollector,
        DeploymentCollection,
        IdentityConfiguration,
        KubernetesOnlineDeployment,
        KubernetesOnlineEndpoint,
        ManagedIdentityConfiguration,
        ManagedOnlineDeployment,
        ManagedOnlineEndpoint,
        Model,
        ModelBatchDeployment,
        OnlineRequestSettings,
        ProbeSettings,
        ResourceConfiguration,
    )

pytestmark = pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning")

TAGS = {"by": "signalbox"}
CLUSTER = MODEL.replace("/models/churn/versions/7", "/computes/cluster")


def plain(body: Any) -> Any:
    """Return the SDK's body without the empty maps that it adds."""
    if not isinstance(body, dict):
        return body
    kept = {name: plain(value) for name, value in body.items()}
    return {name: value for name, value in kept.items() if value not in ({}, None)}


def test_a_new_deployment_is_written_as_the_sdk_writes_it() -> None:
    entity = ManagedOnlineDeployment(
        name="blue",
        endpoint_name="ep-1",
        model=MODEL,
        instance_type="Standard_DS3_v2",
        instance_count=2,
        tags=TAGS,
    )
    theirs = plain(entity._to_rest_object(location="westeurope").as_dict())
    # The service's default, said aloud: without it older clients can't read what we made.
    theirs["properties"]["scaleSettings"] = {"scaleType": "Default"}
    spec = DeploymentSpec(
        model_id=MODEL, instance_type="Standard_DS3_v2", instance_count=2, tags=TAGS
    )
    assert new_deployment("westeurope", spec) == theirs


def test_a_new_endpoint_is_written_as_the_sdk_writes_it() -> None:
    for auth_mode in ("key", "aml_token", "aad_token"):
        entity = ManagedOnlineEndpoint(name="ep-1", auth_mode=auth_mode, tags=TAGS)
        theirs = plain(entity._to_rest_online_endpoint(location="westeurope").as_dict())
        assert new_endpoint("westeurope", auth_mode, TAGS) == theirs


def test_a_new_kubernetes_endpoint_is_written_as_the_sdk_writes_it() -> None:
    entity = KubernetesOnlineEndpoint(name="ep-1", compute=CLUSTER, auth_mode="key", tags=TAGS)
    theirs = plain(entity._to_rest_online_endpoint(location="westeurope").as_dict())
    assert new_endpoint("westeurope", "key", TAGS, compute=CLUSTER) == theirs


def test_an_endpoint_without_public_access_is_written_as_the_sdk_writes_it() -> None:
    entity = ManagedOnlineEndpoint(
        name="ep-1", auth_mode="key", tags=TAGS, public_network_access="disabled"
    )
    theirs = plain(entity._to_rest_online_endpoint(location="westeurope").as_dict())
    ours = new_endpoint("westeurope", "key", TAGS, is_public=False)
    assert ours["properties"]["publicNetworkAccess"].lower() == "disabled"
    theirs["properties"]["publicNetworkAccess"] = "Disabled"
    assert ours == theirs


@pytest.mark.parametrize("instance_type", ["gpu-small", ""])
def test_a_new_kubernetes_deployment_is_written_as_the_sdk_writes_it(instance_type: str) -> None:
    entity = KubernetesOnlineDeployment(
        name="blue",
        endpoint_name="ep-1",
        model=MODEL,
        instance_type=instance_type or None,
        instance_count=2,
        tags=TAGS,
    )
    theirs = plain(entity._to_rest_object(location="westeurope").as_dict())
    # The service's own default would be to scale by load, and not to keep the count.
    theirs["properties"]["scaleSettings"] = {"scaleType": "Default"}
    spec = DeploymentSpec(
        model_id=MODEL,
        instance_type=instance_type,
        instance_count=2,
        kind=EndpointKind.KUBERNETES,
        tags=TAGS,
    )
    assert new_deployment("westeurope", spec) == theirs


IDENTITY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/scorer"
)
ENVIRONMENT = MODEL.replace("models/churn", "environments/serving")
CODE = MODEL.replace("models/churn", "codes/scoring")
DATA = MODEL.replace("models/churn", "data/inputs")


def test_an_endpoint_with_an_assigned_identity_is_written_as_the_sdk_writes_it() -> None:
    identity = IdentityConfiguration(
        type="user_assigned",
        user_assigned_identities=[ManagedIdentityConfiguration(resource_id=IDENTITY)],
    )
    entity = ManagedOnlineEndpoint(name="ep-1", auth_mode="key", tags=TAGS, identity=identity)
    theirs = entity._to_rest_online_endpoint(location="westeurope").as_dict()
    ours = new_endpoint("westeurope", "key", TAGS, identities=(IDENTITY,))
    assert ours["identity"] == theirs["identity"]
    assert ours | {"identity": 0} == plain(theirs) | {"identity": 0}


SETTINGS: dict[str, tuple[Serving, dict[str, Any]]] = {
    "requests": (
        Serving(
            request_timeout=timedelta(seconds=90),
            max_concurrent_requests=4,
            max_queue_wait=timedelta(milliseconds=1500),
        ),
        {
            "request_settings": OnlineRequestSettings(
                request_timeout_ms=90_000,
                max_concurrent_requests_per_instance=4,
                max_queue_wait_ms=1500,
            )
        },
    ),
    "probes": (
        Serving(
            liveness=HealthProbe(initial_delay=timedelta(seconds=30), failure_threshold=3),
            readiness=HealthProbe(
                period=timedelta(minutes=2), timeout=timedelta(seconds=9), success_threshold=2
            ),
        ),
        {
            "liveness_probe": ProbeSettings(initial_delay=30, failure_threshold=3),
            "readiness_probe": ProbeSettings(period=120, timeout=9, success_threshold=2),
        },
    ),
    "variables": (
        Serving(environment_variables={"LOG_LEVEL": "info"}),
        {"environment_variables": {"LOG_LEVEL": "info"}},
    ),
    "app insights": (Serving(has_app_insights=True), {"app_insights_enabled": True}),
    "egress": (Serving(is_egress_public=False), {"egress_public_network_access": "disabled"}),
}


def in_one_spelling(body: Any) -> Any:
    """Return a body with times in seconds and the words for on and off in one case."""
    if isinstance(body, dict):
        return {name: in_one_spelling(value) for name, value in body.items()}
    if isinstance(body, str) and body.startswith("PT"):
        return parse_duration(body).total_seconds()
    on_off = {"enabled", "disabled"}
    return body.lower() if isinstance(body, str) and body.lower() in on_off else body


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_of_a_deployment_is_written_as_the_sdk_writes_it(name: str) -> None:
    serving, values = SETTINGS[name]
    entity = ManagedOnlineDeployment(
        name="blue",
        endpoint_name="ep-1",
        model=MODEL,
        instance_type="Standard_DS3_v2",
        instance_count=1,
        **values,
    )
    theirs = plain(entity._to_rest_object(location="westeurope").as_dict())
    theirs["properties"]["scaleSettings"] = {"scaleType": "Default"}
    spec = DeploymentSpec(
        model_id=MODEL, instance_type="Standard_DS3_v2", instance_count=1, serving=serving
    )
    ours = plain(new_deployment("westeurope", spec))
    assert in_one_spelling(ours) == in_one_spelling(theirs)


def test_an_environment_and_code_are_written_as_the_sdk_writes_them() -> None:
    entity = ManagedOnlineDeployment(
        name="blue",
        endpoint_name="ep-1",
        model=MODEL,
        instance_type="Standard_DS3_v2",
        instance_count=1,
        environment=ENVIRONMENT,
        code_configuration=CodeConfiguration(code=CODE, scoring_script="score.py"),
        tags=TAGS,
    )
    theirs = plain(entity._to_rest_object(location="westeurope").as_dict())
    theirs["properties"]["scaleSettings"] = {"scaleType": "Default"}
    spec = DeploymentSpec(
        model_id=MODEL,
        instance_type="Standard_DS3_v2",
        instance_count=1,
        container=ServingContainer(environment=ENVIRONMENT, code=CODE, script="score.py"),
        tags=TAGS,
    )
    assert new_deployment("westeurope", spec) == theirs


def test_a_data_collector_is_written_as_the_sdk_writes_it() -> None:
    collector = DataCollector(
        collections={"inputs": DeploymentCollection(enabled="true", data=DATA)},
        rolling_rate="hour",
        sampling_rate=0.5,
    )
    theirs = plain(collector._to_rest_object().as_dict())
    serving = Serving(
        collects=DataCollection(collections=("inputs",), sampling_rate=0.5, rolling_rate="hour")
    )
    spec = DeploymentSpec(
        model_id=MODEL, instance_type="Standard_DS3_v2", instance_count=1, serving=serving
    )
    ours = new_deployment("westeurope", spec, {"inputs": DATA})["properties"]["dataCollector"]
    # The contract has a capital there, and the SDK's answer is read with any.
    assert ours.pop("rollingRate").lower() == theirs.pop("rollingRate")
    assert in_one_spelling(ours) == in_one_spelling(theirs)


def test_a_new_batch_endpoint_is_written_as_the_sdk_writes_it() -> None:
    entity = BatchEndpoint(name="ep-1", tags=TAGS)
    theirs = plain(entity._to_rest_batch_endpoint(location="westeurope").as_dict())
    # Its own case; the contract has ours.
    assert theirs["properties"]["authMode"].lower() == "aadtoken"
    theirs["properties"]["authMode"] = "AADToken"
    assert new_batch_endpoint("westeurope", "aad_token", TAGS) == theirs


def test_a_new_batch_deployment_is_written_as_the_sdk_writes_it() -> None:
    entity = ModelBatchDeployment(
        name="blue", endpoint_name="ep-1", model=MODEL, compute=CLUSTER, tags=TAGS
    )
    entity.resources = ResourceConfiguration(instance_count=2)
    theirs = plain(entity._to_rest_object(location="westeurope").as_dict())
    spec = DeploymentSpec(
        model_id=MODEL,
        instance_type="",
        instance_count=2,
        kind=EndpointKind.BATCH,
        compute="cluster",
        tags=TAGS,
    )
    assert new_batch_deployment("westeurope", spec, CLUSTER) == theirs


def test_a_default_is_written_back_as_the_sdk_writes_it() -> None:
    document = {
        "id": f"{MODEL}/../batchEndpoints/ep-1",
        "name": "ep-1",
        "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints",
        "location": "westeurope",
        "tags": {"team": "growth"},
        "properties": {
            "authMode": "AADToken",
            "description": "who leaves",
            "provisioningState": "Succeeded",
            "scoringUri": "https://ep-1.westeurope.inference.ml.azure.com/jobs",
            "defaults": {"deploymentName": "blue"},
            "properties": {"owner": "me"},
        },
    }
    entity = BatchEndpoint._from_rest_object(models.BatchEndpoint(document))
    entity.defaults.deployment_name = "green"
    entity.tags = {**entity.tags, "by": "signalbox"}
    theirs = plain(entity._to_rest_batch_endpoint(location="westeurope").as_dict())
    theirs["properties"]["authMode"] = "AADToken"
    assert with_default(document, "green", TAGS) == theirs


def test_a_new_size_is_what_the_contract_lets_one_patch() -> None:
    contract = models.PartialMinimalTrackedResourceWithSku(sku=models.PartialSku(capacity=3))
    assert scaled(3) == contract.as_dict()


def test_an_endpoint_is_written_back_as_the_sdk_writes_it() -> None:
    document = {
        "id": f"{MODEL}/../onlineEndpoints/ep-1",
        "name": "ep-1",
        "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
        "location": "westeurope",
        "kind": "Managed",
        "tags": {"team": "growth"},
        "identity": {"type": "SystemAssigned", "principalId": "p", "tenantId": "t"},
        "properties": {
            "authMode": "Key",
            "description": "who leaves",
            "provisioningState": "Succeeded",
            "publicNetworkAccess": "Disabled",
            "scoringUri": "https://ep-1.westeurope.inference.ml.azure.com/score",
            "traffic": {"blue": 100},
            "mirrorTraffic": {"green": 10},
            "properties": {"owner": "me"},
        },
    }
    entity = ManagedOnlineEndpoint._from_rest_object(models.OnlineEndpoint(document))
    entity.traffic = {"blue": 100}
    entity.mirror_traffic = {"green": 20}
    entity.tags = {**entity.tags, "by": "signalbox"}
    theirs = plain(entity._to_rest_online_endpoint(location="westeurope").as_dict())
    ours = with_traffic(document, {"blue": 100}, TAGS, {"green": 20})
    assert ours.pop("kind") == "Managed"  # The SDK loses it.
    assert ours["identity"] == {"type": theirs["identity"]["type"]}
    assert ours | {"identity": None} == theirs | {"identity": None}


def test_a_model_version_is_written_as_the_sdk_writes_it() -> None:
    path = "azureml://jobs/run-1/outputs/artifacts/paths/model/"
    entity = Model(
        name="churn",
        version="1",
        path=path,
        type="mlflow_model",
        tags=TAGS,
        properties={"auc": "0.9"},
        description="who leaves",
    )
    theirs = plain(entity._to_rest_object().as_dict())
    # Both are false where nothing is said.
    theirs["properties"] = {
        name: value for name, value in theirs["properties"].items() if value is not False
    }
    ours = new_model_version(
        NewModel(
            name="churn",
            kind="mlflow_model",
            path=path,
            description="who leaves",
            tags=TAGS,
            properties={"auc": "0.9"},
        )
    )
    assert ours == theirs


def test_a_job_of_a_registered_component_is_written_as_the_sdk_writes_it() -> None:
    text = """
        type: pipeline
        component: azureml:churn:2
        display_name: signalbox-1
        experiment_name: churn
        tags: {by: signalbox}
        inputs: {days: 14}
        settings: {default_compute: serverless}
        """
    entity = load_job(StringIO(text))
    entity.component = component = MODEL.replace("models", "components")
    theirs = plain(entity._to_rest_object().as_dict())["properties"]
    del theirs["isArchived"]  # It is false where nothing is said.
    ours = new_job(
        component,
        name="signalbox-1",
        experiment="churn",
        compute="serverless",
        tags=TAGS,
        inputs={"days": {"jobInputType": "literal", "value": "14"}},
    )
    assert ours == theirs


def test_the_version_that_we_speak_is_the_one_that_the_sdks_client_was_made_for() -> None:
    configuration = SdkConfiguration(credential=object(), subscription_id="s")
    assert configuration.api_version == API_VERSION


def test_the_clouds_are_those_that_the_sdk_knows() -> None:
    theirs = {
        cloud["resource_manager"].rstrip("/"): (name, cloud["aml_resource_id"].rstrip("/"))
        for name, cloud in _environments.items()
        if name in {cloud.name for cloud in CLOUDS.values()}
    }
    assert {arm: (cloud.name, cloud.aml) for arm, cloud in CLOUDS.items()} == theirs
