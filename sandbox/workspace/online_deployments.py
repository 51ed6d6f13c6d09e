"""Deployments of online endpoints: what runs, on how many machines, and its log."""

import re
from datetime import timedelta
from typing import Any

from isodate import parse_duration
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import (
    ArmRoute,
    Json,
    bad_argument,
    check_location,
    conflict,
    json_body,
    not_found,
    object_in,
    page,
    refused_by_inferencing,
    tags_in,
)
from sandbox.workspace.asset_entities import AssetVersion
from sandbox.workspace.assets import find
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.codes import check_parts
from sandbox.workspace.data_assets import DATA_ASSETS
from sandbox.workspace.entities import Deployment, Endpoint, ModelVersion, Spec, Workspace
from sandbox.workspace.environments import ENVIRONMENTS
from sandbox.workspace.events import model_deployed
from sandbox.workspace.models import resolve_model
from sandbox.workspace.online_endpoints import check_name
from sandbox.workspace.operations import Operation
from sandbox.workspace.policies import check_deployment
from sandbox.workspace.quota import MOST_INSTANCES, vm_size
from sandbox.workspace.rules import Subject

MOST_DEPLOYMENTS = 20
#: The first deployment of an environment that is a recipe waits for its image.
_IMAGE_BUILD_SECONDS = 600.0

#: A Kubernetes cluster's name for its machines by default.
_USUAL_INSTANCE_TYPE = "defaultinstancetype"
#: The default, as the contract describes the property.
_USUAL_SIZE = "Standard_F4s_v2"
_INSTANCE_TYPE = re.compile(r"(?=.{1,63}$)[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")

#: how-to-manage-quotas, limits of online endpoints.
_LONGEST_REQUEST = {"Managed": timedelta(seconds=180), "Kubernetes": timedelta(seconds=300)}

_PROBE: Json = {
    "initialDelay": "PT10S",
    "period": "PT10S",
    "timeout": "PT2S",
    "successThreshold": 1,
    "failureThreshold": 30,
}
_USUAL_SETTINGS: Json = {
    "endpointComputeType": "Managed",
    "scaleSettings": {"scaleType": "Default"},
    "requestSettings": {
        "requestTimeout": "PT5S",
        "maxConcurrentRequestsPerInstance": 1,
        "maxQueueWait": "PT0.5S",
    },
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "environmentVariables": {},
    "appInsightsEnabled": False,
    "egressPublicNetworkAccess": "Enabled",
}
_KUBERNETES_SETTINGS: Json = {
    "containerResourceRequirements": {
        "containerResourceRequests": {"cpu": "100m", "memory": "500Mi"},
        "containerResourceLimits": {"cpu": "2", "memory": "2Gi"},
    }
}


async def list_deployments(request: Request) -> Response:
    """List the deployments of an endpoint, oldest first."""
    cloud = cloud_of(request)
    endpoint = cloud.endpoint(request)
    items = [cloud.document(deployment) for deployment in endpoint.deployments.values()]
    return JSONResponse(page(request, cloud.url, items))


async def get_deployment(request: Request) -> Response:
    """Return one deployment."""
    cloud = cloud_of(request)
    return JSONResponse(cloud.document(cloud.deployment(request)))


async def put_deployment(request: Request) -> Response:
    """Create or replace a deployment."""
    body = await json_body(request)
    cloud = cloud_of(request)
    endpoint = cloud.endpoint(request)
    check_location(body, endpoint.location)
    name = request.path_params["deployment"]
    subject = Subject(workspace=endpoint.workspace, endpoint=endpoint.name, deployment=name)
    check_deployment(cloud, subject, body)
    existing = endpoint.deployments.get(name.lower())
    _check_can_write(cloud, endpoint, existing)
    if existing is None:
        check_name(name, "deployment")
        if len(endpoint.deployments) >= MOST_DEPLOYMENTS:
            message = f"An endpoint has at most {MOST_DEPLOYMENTS} deployments."
            raise refused_by_inferencing("CreateDeployment", "Deployments", message)
    spec = _parse_spec(cloud.workspace(request), endpoint, body)
    now = cloud.clock.now()
    deployment = existing or Deployment(
        workspace=endpoint.workspace,
        endpoint=endpoint.name,
        name=name,
        location=endpoint.location,
        spec=spec,
        created_at=now,
        modified_at=now,
        created_by=request.state.caller,
    )
    headers = _apply(request, deployment, spec, tags_in(body), existing)
    endpoint.deployments[name.lower()] = deployment
    del headers["Location"]
    return JSONResponse(cloud.document(deployment), 200 if existing else 201, headers=headers)


async def patch_deployment(request: Request) -> Response:
    """Change the tags or the number of instances; the contract allows nothing else here."""
    body = await json_body(request)
    cloud = cloud_of(request)
    deployment = cloud.deployment(request)
    if body.keys() - {"tags", "sku"}:
        raise bad_argument("Only 'tags' and 'sku' of a deployment can be patched.")
    _check_can_write(cloud, cloud.endpoint(request), deployment)
    old = deployment.spec
    spec = Spec(
        model=old.model,
        instance_type=old.instance_type,
        instances=_instances(body) if "sku" in body else old.instances,
        settings=old.settings,
    )
    tags = tags_in(body) if "tags" in body else deployment.tags
    headers = _apply(request, deployment, spec, tags, deployment)
    return Response(status_code=202, headers=headers)


async def delete_deployment(request: Request) -> Response:
    """Delete a deployment that gets no traffic."""
    cloud = cloud_of(request)
    endpoint = cloud.endpoint(request)
    deployment = endpoint.deployments.get(request.path_params["deployment"].lower())
    if deployment is None:
        return Response(status_code=204)
    cloud.operations.refuse_if_busy(endpoint.workspace, endpoint.entity, deployment.entity)
    name = deployment.name
    if endpoint.traffic.get(name) or endpoint.mirror.get(name):
        message = f"Deployment '{name}' gets traffic; set its traffic to 0 before deleting it."
        raise refused_by_inferencing("DeleteDeployment", "Traffic", message)

    def finish(operation: Operation) -> None:
        if operation.outcome != "Succeeded":
            deployment.state = operation.outcome
            return
        del endpoint.deployments[name.lower()]
        endpoint.traffic.pop(name, None)
        endpoint.mirror.pop(name, None)

    deployment.state = "Deleting"
    headers = cloud.begin(request, "deployment_delete", deployment, finish, lambda: None)
    return Response(status_code=202, headers=headers)


async def get_logs(request: Request) -> Response:
    """Return the last lines of a container's log."""
    body = await json_body(request)
    deployment = cloud_of(request).deployment(request)
    tail, container = body.get("tail"), body.get("containerType") or "InferenceServer"
    if tail is not None and (not isinstance(tail, int) or tail < 1):
        raise bad_argument("'tail' must be a positive whole number.", "tail")
    if container not in {"InferenceServer", "StorageInitializer"}:
        raise bad_argument(f"There is no container '{container}'.", "containerType")
    lines = _log(deployment, container)
    return JSONResponse({"content": "\n".join(lines[-tail:] if tail else lines)})


async def list_skus(request: Request) -> Response:
    """List how far a deployment can be scaled."""
    cloud = cloud_of(request)
    deployment = cloud.deployment(request)
    sku = {
        "resourceType": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
        "sku": {"name": "Default", "tier": "Standard"},
        "capacity": {
            "minimum": 1,
            "maximum": MOST_INSTANCES,
            "default": deployment.spec.instances,
            "scaleType": "Manual",
        },
    }
    return JSONResponse(page(request, cloud.url, [sku], top="count"))


def _check_can_write(cloud: Cloud, endpoint: Endpoint, deployment: Deployment | None) -> None:
    name = deployment.entity if deployment else endpoint.entity
    cloud.operations.refuse_if_busy(endpoint.workspace, endpoint.entity, name)
    if endpoint.state != "Succeeded":
        raise conflict(
            f"Cannot create a deployment in endpoint {endpoint.name} because it is in "
            f"{endpoint.state} provisioning state.",
            endpoint.name,
        )


def _apply(
    request: Request,
    deployment: Deployment,
    spec: Spec,
    tags: dict[str, str],
    existing: Deployment | None,
) -> dict[str, str]:
    """Check the quota and start; a refused request leaves the deployment as it was."""
    cloud = cloud_of(request)
    cloud.quotas.check(
        spec, existing, deployment.subject(), cloud.deployments(), cloud.settings.subscription
    )
    deployment.spec, deployment.tags = spec, tags
    deployment.modified_at = cloud.clock.now()
    deployment.state = "Updating" if existing else "Creating"

    image = _image_to_build(cloud.workspace(request), spec)

    def finish(operation: Operation) -> None:
        deployment.state = operation.outcome
        deployment.failure_logs = operation.logs
        if operation.outcome == "Succeeded":
            if image is not None:
                image.is_built = True
            deployment.serving = spec
            deployment.scaled.append((cloud.metrics_now(), spec.instances))
            if cloud.settings.publish_model_deployed:
                topic = cloud.workspace(request).arm_id
                cloud.events.publish(model_deployed(topic, deployment, cloud.clock.now()))

    kind = "deployment_update" if existing else "deployment_create"
    return cloud.begin(
        request,
        kind,
        deployment,
        finish,
        lambda: cloud.document(deployment),
        more_seconds=0 if image is None else _IMAGE_BUILD_SECONDS,
    )


def _image_to_build(workspace: Workspace, spec: Spec) -> AssetVersion | None:
    """Return the environment whose image has to be built first; one that is an image has not."""
    found = find(workspace, ENVIRONMENTS, str(spec.settings.get("environmentId") or ""))
    is_recipe = found is not None and (found.content.get("build") or found.content.get("condaFile"))
    return found if found is not None and is_recipe and not found.is_built else None


def _parse_spec(workspace: Workspace, endpoint: Endpoint, body: Json) -> Spec:
    properties = object_in(body, "properties")
    kind = properties.get("endpointComputeType", "Managed")
    if kind != endpoint.kind:
        message = (
            f"The compute type '{kind}' of the deployment does not match that of endpoint "
            f"{endpoint.name}, {endpoint.kind}."
        )
        raise bad_argument(message, "endpointComputeType")
    check_parts(workspace, properties)
    _check_collector(workspace, properties)
    return Spec(
        model=_model(workspace, properties),
        instance_type=_instance_type(kind, properties.get("instanceType")),
        instances=_instances(body),
        settings=_settings(properties),
    )


def _instance_type(kind: str, given: Any) -> str:
    if kind == "Kubernetes":
        name = _USUAL_INSTANCE_TYPE if given is None else given
        if not isinstance(name, str) or not _INSTANCE_TYPE.fullmatch(name):
            message = f"The instance type '{name}' is no name that Kubernetes allows."
            raise bad_argument(message, "instanceType")
        return name
    return vm_size(given or _USUAL_SIZE).name


def _model(workspace: Workspace, properties: Json) -> ModelVersion | None:
    reference = properties.get("model")
    has_environment = bool(properties.get("environmentId"))
    if not reference:
        if not has_environment:
            raise bad_argument("A deployment without a model needs an environment.", "model")
        return None
    model = resolve_model(workspace, str(reference))
    has_no_code = model.type == "triton_model" or "python_function" in model.flavors
    if not has_environment and not has_no_code:
        raise bad_argument(
            f"A deployment of {model.name}:{model.version}, a {model.type}, needs an environment "
            "and a scoring script: only MLflow models with a python_function flavor and Triton "
            "models can be deployed without code.",
            "environmentId",
        )
    return model


def _check_collector(workspace: Workspace, properties: Json) -> None:
    """Refuse a data collector that would keep its data nowhere."""
    for name, collection in object_in(
        object_in(properties, "dataCollector"), "collections"
    ).items():
        rate = collection.get("samplingRate")
        if rate is not None and not 0 <= rate <= 1:
            raise bad_argument(f"The sampling rate {rate} is not from 0 to 1.", "samplingRate")
        data = collection.get("dataId")
        if data and find(workspace, DATA_ASSETS, data) is None:
            raise not_found("Data asset", f"{data} of collection {name}")


def _instances(body: Json) -> int:
    count: Any = object_in(body, "sku").get("capacity", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_INSTANCES:
        message = f"The capacity must be a whole number from 1 to {MOST_INSTANCES}."
        raise bad_argument(message, "sku.capacity")
    return count


def _settings(properties: Json) -> Json:
    read_only = {"provisioningState", "instanceType"}
    given = {k: v for k, v in properties.items() if v is not None and k not in read_only}
    _check_timeout(given)
    kubernetes = _KUBERNETES_SETTINGS if given.get("endpointComputeType") == "Kubernetes" else {}
    for name in ("requestSettings", "livenessProbe", "readinessProbe"):
        settings = object_in(given, name).items()
        given[name] = _USUAL_SETTINGS[name] | {k: v for k, v in settings if v is not None}
    _check_probes(given)
    return _USUAL_SETTINGS | kubernetes | given


def _check_timeout(settings: Json) -> None:
    """Refuse a request timeout longer than the service allows for this kind of endpoint."""
    given = object_in(settings, "requestSettings").get("requestTimeout")
    most = _LONGEST_REQUEST[settings["endpointComputeType"]]
    if given is not None and parse_duration(given) > most:
        message = (
            f"The request timeout {given} is longer than the {most.seconds} s that are allowed."
        )
        raise bad_argument(message, "requestSettings.requestTimeout")


def _check_probes(settings: Json) -> None:
    for probe in ("livenessProbe", "readinessProbe"):
        for name in ("initialDelay", "period", "timeout"):
            if parse_duration(settings[probe][name]) < timedelta(seconds=1):
                raise bad_argument("A probe's times begin at one second.", f"{probe}.{name}")
        for name in ("successThreshold", "failureThreshold"):
            if settings[probe][name] < 1:
                raise bad_argument("A probe's thresholds begin at one.", f"{probe}.{name}")


def _log(deployment: Deployment, container: str) -> list[str]:
    failed = deployment.state == "Failed"
    running = "Succeeded" if deployment.is_ready else "Failed" if failed else "InProgress"
    head = [
        "Instance status:",
        "SystemSetup: Succeeded",
        "UserContainerImagePull: Succeeded",
        "ModelDownload: Succeeded",
        f"UserContainerStart: {running}",
        "",
        f"Container logs ({container}):",
    ]
    if container == "StorageInitializer":
        return [*head, "Downloading model", "Model downloaded"]
    if deployment.failure_logs:
        return [*head, *deployment.failure_logs]
    return [*head, "Starting AzureML Inference Server", "Listening on 0.0.0.0:31311"]


_DEPLOYMENTS = "/onlineEndpoints/{endpoint}/deployments"
_DEPLOYMENT = f"{_DEPLOYMENTS}/{{deployment}}"

#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", _DEPLOYMENTS, list_deployments),
    ("GET", _DEPLOYMENT, get_deployment),
    ("PUT", _DEPLOYMENT, put_deployment),
    ("PATCH", _DEPLOYMENT, patch_deployment),
    ("DELETE", _DEPLOYMENT, delete_deployment),
    ("POST", f"{_DEPLOYMENT}/getLogs", get_logs),
    ("GET", f"{_DEPLOYMENT}/skus", list_skus),
]
