"""The workspace's documents: read from ARM's answers, and written as ARM accepts them. No I/O."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from shared.base.errors import WorkspaceRefused
from shared.base.incoming import Json, is_object, object_in, read_time
from shared.workspaces.model import (
    DataCollection,
    Deployment,
    DeploymentSpec,
    Endpoint,
    EndpointKind,
    HealthProbe,
    ModelKind,
    ModelVersion,
    NewModel,
    Serving,
    ServingContainer,
    State,
)

#: How callers sign in to an endpoint: in our words and the service's.
_AUTH_MODES: Final = MappingProxyType(
    {"key": "Key", "aml_token": "AMLToken", "aad_token": "AADToken"}
)

#: Fields that the service returns but does not accept.
_READ_ONLY = frozenset({"id", "name", "type", "systemData"})
_READ_ONLY_PROPERTIES = frozenset({"provisioningState", "scoringUri", "swaggerUri", "keys"})
#: Properties that the service itself writes among the user's own.
_SYSTEM_PROPERTIES = frozenset({"azureasyncoperationuri", "azureml.onlineendpointid"})

#: The words of a deployment's document for the kind of its compute.
_COMPUTE_TYPES = MappingProxyType(
    {EndpointKind.MANAGED: "Managed", EndpointKind.KUBERNETES: "Kubernetes"}
)

_STATES = {state.value.lower(): state for state in State}
_KINDS = {kind.value.replace("_", ""): kind for kind in ModelKind}


def parse_model(name: str, version: str, document: Json) -> ModelVersion:
    """Read a model version; its own name in the document is the version's."""
    properties = object_in(document, "properties")
    return ModelVersion(
        id=str(document.get("id") or ""),
        name=name,
        version=version,
        kind=_parse_kind(properties),
        tags=_texts(properties, "tags"),
        properties=_texts(properties, "properties"),
        archived=properties.get("isArchived") is True,
        created_at=read_time(object_in(document, "systemData").get("createdAt")),
        modified_at=read_time(object_in(document, "systemData").get("lastModifiedAt")),
        job_name=str(properties.get("jobName") or ""),
        flavors=tuple(sorted(str(name) for name in object_in(properties, "flavors"))),
        path=str(properties.get("modelUri") or ""),
    )


def parse_endpoint(document: Json) -> Endpoint:
    """Read an online endpoint; one that names a compute is a Kubernetes one."""
    properties = object_in(document, "properties")
    return Endpoint(
        name=str(document.get("name") or ""),
        state=_parse_state(properties),
        traffic=_percents(properties, "traffic"),
        mirror=_percents(properties, "mirrorTraffic"),
        tags=_texts(document, "tags"),
        scoring_uri=str(properties.get("scoringUri") or ""),
        auth_mode=str(properties.get("authMode") or ""),
        kind=EndpointKind.KUBERNETES if properties.get("compute") else EndpointKind.MANAGED,
        is_public=str(properties.get("publicNetworkAccess")).lower() != "disabled",
        identities=tuple(object_in(object_in(document, "identity"), "userAssignedIdentities")),
        document=document,
    )


def parse_batch_endpoint(document: Json) -> Endpoint:
    """Read a batch endpoint; its default deployment counts as the one with all traffic."""
    properties = object_in(document, "properties")
    default = str(object_in(properties, "defaults").get("deploymentName") or "")
    return Endpoint(
        name=str(document.get("name") or ""),
        state=_parse_state(properties),
        traffic={default: 100} if default else {},
        tags=_texts(document, "tags"),
        scoring_uri=str(properties.get("scoringUri") or ""),
        auth_mode=str(properties.get("authMode") or ""),
        kind=EndpointKind.BATCH,
        document=document,
    )


def parse_deployment(document: Json) -> Deployment:
    """Read an online or a batch deployment, which have their size in different places."""
    properties = object_in(document, "properties")
    capacity = object_in(document, "sku").get("capacity")
    if capacity is None:
        capacity = object_in(properties, "resources").get("instanceCount")
    return Deployment(
        name=str(document.get("name") or ""),
        state=_parse_state(properties),
        model=_parse_model_id(properties.get("model")),
        operation=_texts(properties, "properties").get("AzureAsyncOperationUri", ""),
        instance_type=str(properties.get("instanceType") or ""),
        instance_count=capacity if isinstance(capacity, int) else 0,
        tags=_texts(document, "tags"),
    )


def new_model_version(model: NewModel) -> Json:
    """Write a new version of a model; fields without a value are left out."""
    properties = {
        "modelType": model.kind,
        "modelUri": model.path,
        "jobName": model.job_name,
        "description": model.description,
        "tags": dict(model.tags),
        "properties": dict(model.properties),
    }
    return {"properties": {name: value for name, value in properties.items() if value}}


def new_endpoint(
    location: str,
    auth_mode: str,
    tags: Mapping[str, str],
    *,
    compute: str = "",
    is_public: bool = True,
    identities: tuple[str, ...] = (),
) -> Json:
    """Write a new online endpoint that has these identities, by ARM id, or else one of its own.

    `auth_mode` is one of our words; `compute` is the ARM id of a Kubernetes one's cluster.
    """
    properties = {"authMode": _AUTH_MODES[auth_mode]}
    if compute:
        properties["compute"] = compute
    if not is_public:
        properties["publicNetworkAccess"] = "Disabled"
    return {
        "location": location,
        "tags": dict(tags),
        "identity": _new_identity(identities),
        "properties": properties,
    }


def _new_identity(identities: tuple[str, ...]) -> Json:
    if not identities:
        return {"type": "SystemAssigned"}
    return {"type": "UserAssigned", "userAssignedIdentities": {name: {} for name in identities}}


def new_batch_endpoint(location: str, auth_mode: str, tags: Mapping[str, str]) -> Json:
    """Write a new batch endpoint; `auth_mode` is one of our words."""
    properties = {"authMode": _AUTH_MODES[auth_mode]}
    return {"location": location, "tags": dict(tags), "properties": properties}


def new_deployment(
    location: str, spec: DeploymentSpec, data: Mapping[str, str] = MappingProxyType({})
) -> Json:
    """Write a new online deployment; `data` are the ids of its collections' data assets."""
    properties: dict[str, Any] = {
        "endpointComputeType": _COMPUTE_TYPES[spec.kind],
        "model": spec.model_id,
        "instanceType": spec.instance_type,
        "scaleSettings": {"scaleType": "Default"},
        **_serving(spec.serving, data),
    }
    if spec.container is not None:
        properties |= _container(spec.container)
    if not spec.instance_type:
        # A Kubernetes cluster has a default of its own.
        del properties["instanceType"]
    return {
        "location": location,
        "tags": dict(spec.tags),
        "sku": {"name": "Default", "capacity": spec.instance_count},
        "properties": properties,
    }


def _serving(serving: Serving, data: Mapping[str, str]) -> Json:
    found: dict[str, Any] = {"appInsightsEnabled": serving.has_app_insights}
    if requests := _requests(serving):
        found["requestSettings"] = requests
    if serving.liveness is not None:
        found["livenessProbe"] = _health(serving.liveness)
    if serving.readiness is not None:
        found["readinessProbe"] = _health(serving.readiness)
    if serving.environment_variables:
        found["environmentVariables"] = dict(serving.environment_variables)
    if not serving.is_egress_public:
        found["egressPublicNetworkAccess"] = "Disabled"
    if serving.collects is not None:
        found["dataCollector"] = _collector(serving.collects, data)
    return found


def _requests(serving: Serving) -> Json:
    found: dict[str, Any] = {}
    if serving.request_timeout is not None:
        found["requestTimeout"] = _span(serving.request_timeout)
    if serving.max_queue_wait is not None:
        found["maxQueueWait"] = _span(serving.max_queue_wait)
    if serving.max_concurrent_requests is not None:
        found["maxConcurrentRequestsPerInstance"] = serving.max_concurrent_requests
    return found


def _collector(collects: DataCollection, data: Mapping[str, str]) -> Json:
    return {
        "collections": {
            name: {
                "dataCollectionMode": "Enabled",
                "samplingRate": collects.sampling_rate,
                "dataId": data[name],
            }
            for name in collects.collections
        },
        "rollingRate": collects.rolling_rate.capitalize(),
    }


def _container(container: ServingContainer) -> Json:
    found: dict[str, Any] = {"environmentId": container.environment}
    if container.code:
        code = {"codeId": container.code, "scoringScript": container.script}
        found["codeConfiguration"] = code
    return found


def _health(probe: HealthProbe) -> Json:
    spans = {
        "initialDelay": probe.initial_delay,
        "period": probe.period,
        "timeout": probe.timeout,
    }
    health: dict[str, Any] = {name: _span(span) for name, span in spans.items() if span is not None}
    if probe.failure_threshold is not None:
        health["failureThreshold"] = probe.failure_threshold
    if probe.success_threshold is not None:
        health["successThreshold"] = probe.success_threshold
    return health


def _span(span: timedelta) -> str:
    """Write a time as ISO 8601 has it, in seconds: PT90S, PT1.5S."""
    return f"PT{span.total_seconds():g}S"


def new_batch_deployment(location: str, spec: DeploymentSpec, compute: str) -> Json:
    """Write a new batch deployment without code; `compute` is the ARM id of its cluster."""
    return {
        "location": location,
        "tags": dict(spec.tags),
        "properties": {
            "model": {"referenceType": "Id", "assetId": spec.model_id},
            "compute": compute,
            "resources": {"instanceCount": spec.instance_count},
        },
    }


def with_traffic(
    document: Json,
    traffic: Mapping[str, int],
    tags: Mapping[str, str],
    mirror: Mapping[str, int] = MappingProxyType({}),
) -> Json:
    """Write an online endpoint as it was read, with this split and mirror, and its tags and these.

    Raises: ValueError where nothing was read, because that would wipe the endpoint's settings.
    """
    return _rewritten(document, tags, {"traffic": dict(traffic), "mirrorTraffic": dict(mirror)})


def with_default(document: Json, deployment: str | None, tags: Mapping[str, str]) -> Json:
    """Write a batch endpoint as it was read, with this default, and its tags and these.

    Raises: ValueError where nothing was read.
    """
    return _rewritten(document, tags, {"defaults": {"deploymentName": deployment}})


def default_of(traffic: Mapping[str, int], mirror: Mapping[str, int]) -> str | None:
    """Return the one deployment that has all traffic, or None where there is no traffic.

    Raises: WorkspaceRefused for a split that a batch endpoint can't have.
    """
    serving = {name: share for name, share in traffic.items() if share}
    if any(mirror.values()) or (serving and [*serving.values()] != [100]):
        raise WorkspaceRefused("a batch endpoint has one default deployment; it shares out nothing")
    return next(iter(serving), None)


def scaled(instances: int) -> Json:
    """Write the change of an online deployment's size."""
    return {"sku": {"capacity": instances}}


def _rewritten(document: Json, tags: Mapping[str, str], changes: dict[str, Any]) -> Json:
    if "location" not in document or "properties" not in document:
        raise ValueError("an endpoint can only be written from the document that was read")
    body = {name: value for name, value in document.items() if name not in _READ_ONLY}
    body["tags"] = _texts(document, "tags") | dict(tags)
    body["properties"] = _writable_properties(document) | changes
    if identity := object_in(document, "identity"):
        body["identity"] = _writable_identity(identity)
    return {name: value for name, value in body.items() if value is not None}


def _writable_properties(document: Json) -> dict[str, Any]:
    properties = {
        name: value
        for name, value in object_in(document, "properties").items()
        if name not in _READ_ONLY_PROPERTIES and value is not None
    }
    if own := _texts(properties, "properties"):
        properties["properties"] = {
            name: value for name, value in own.items() if name.lower() not in _SYSTEM_PROPERTIES
        }
    return properties


def _writable_identity(identity: Json) -> Json:
    body: dict[str, Any] = {"type": identity.get("type")}
    if assigned := object_in(identity, "userAssignedIdentities"):
        # Their keys name them; the service fills in the ids inside.
        body["userAssignedIdentities"] = {name: {} for name in assigned}
    return body


def _parse_state(properties: Json) -> State:
    # An unknown state counts as work under way, because waiting does no harm.
    return _STATES.get(str(properties.get("provisioningState")).lower(), State.UPDATING)


def _parse_kind(properties: Json) -> str:
    stored = str(properties.get("modelType") or "")
    if stored:
        # "mlflow_model" from the SDK and the CLI, "MLFlowModel" from other clients.
        return _KINDS.get(stored.replace("_", "").lower(), stored)
    has_python = "python_function" in object_in(properties, "flavors")
    return ModelKind.MLFLOW if has_python else ModelKind.CUSTOM


def _parse_model_id(model: Any) -> str:
    """Read which model a deployment runs: its id, or a batch deployment's reference to it."""
    return str((model.get("assetId") if is_object(model) else model) or "")


def _texts(document: Json, name: str) -> dict[str, str]:
    found = object_in(document, name).items()
    return {str(key): "" if value is None else str(value) for key, value in found}


def _percents(properties: Json, name: str) -> dict[str, int]:
    found = object_in(properties, name).items()
    return {str(key): value for key, value in found if isinstance(value, int)}
