"""Batch endpoints and deployments: their life and their default; `batch_jobs.py` has their jobs."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import (
    ArmRoute,
    Json,
    bad_argument,
    check_location,
    json_body,
    not_emulated,
    not_found,
    object_in,
    page,
    tags_in,
)
from sandbox.workspace.assets import REGISTRY, find
from sandbox.workspace.batch_entities import BatchDeployment, BatchEndpoint
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.codes import check_parts
from sandbox.workspace.components import COMPONENTS
from sandbox.workspace.entities import Workspace
from sandbox.workspace.models import resolve_model
from sandbox.workspace.online_endpoints import check_name
from sandbox.workspace.operations import Operation


async def list_endpoints(request: Request) -> Response:
    """List the batch endpoints of a workspace, by name."""
    cloud = cloud_of(request)
    endpoints = cloud.workspace(request).batch_endpoints
    items = [_document(request, endpoints[name]) for name in sorted(endpoints)]
    return JSONResponse(page(request, cloud.url, items, top="count"))


async def get_endpoint(request: Request) -> Response:
    """Return one batch endpoint."""
    return JSONResponse(_document(request, _endpoint(request)))


async def put_endpoint(request: Request) -> Response:
    """Create or replace a batch endpoint, its default deployment included."""
    body = await json_body(request)
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    check_location(body, workspace.location)
    name = request.path_params["endpoint"]
    properties = object_in(body, "properties")
    existing = workspace.batch_endpoints.get(name.lower())
    if str(properties.get("authMode")).lower() != "aadtoken":
        message = (
            f"'authMode' of a batch endpoint must be AADToken, not {properties.get('authMode')}."
        )
        raise bad_argument(message, "authMode")
    default = _default(existing, properties)
    now = cloud.clock.now()
    if existing is None:
        check_name(name, "endpoint")
    else:
        cloud.operations.refuse_if_busy(workspace.name, *existing.entities())
    endpoint = existing or BatchEndpoint(
        workspace=workspace.name,
        name=name,
        location=workspace.location,
        created_at=now,
        modified_at=now,
        created_by=request.state.caller,
    )
    endpoint.tags = tags_in(body)
    endpoint.description = properties.get("description")
    endpoint.properties = object_in(properties, "properties")
    endpoint.modified_at = now
    endpoint.state = "Updating" if existing else "Creating"
    workspace.batch_endpoints[name.lower()] = endpoint

    def finish(operation: Operation) -> None:
        endpoint.state = operation.outcome
        if operation.outcome == "Succeeded":
            endpoint.default = default

    kind = "batch_endpoint_update" if existing else "batch_endpoint_create"
    headers = cloud.begin(request, kind, endpoint, finish, lambda: _document(request, endpoint))
    del headers["Location"]
    return JSONResponse(_document(request, endpoint), 200 if existing else 201, headers=headers)


async def patch_endpoint(request: Request) -> Response:
    """Change the tags of a batch endpoint; of the rest the contract allows only the identity."""
    body = await json_body(request)
    cloud = cloud_of(request)
    endpoint = _endpoint(request)
    if body.keys() - {"tags", "identity"}:
        raise bad_argument("Only 'tags' and 'identity' of a batch endpoint can be patched.")
    cloud.operations.refuse_if_busy(endpoint.workspace, *endpoint.entities())
    if "tags" in body:
        endpoint.tags = tags_in(body)
    endpoint.modified_at = cloud.clock.now()
    return JSONResponse(_document(request, endpoint))


async def delete_endpoint(request: Request) -> Response:
    """Delete a batch endpoint with all its deployments."""
    cloud = cloud_of(request)
    endpoints = cloud.workspace(request).batch_endpoints
    endpoint = endpoints.get(request.path_params["endpoint"].lower())
    if endpoint is None:
        return Response(status_code=204)
    cloud.operations.refuse_if_busy(endpoint.workspace, *endpoint.entities())

    def finish(operation: Operation) -> None:
        endpoint.state = operation.outcome
        if operation.outcome == "Succeeded":
            del endpoints[endpoint.name.lower()]

    endpoint.state = "Deleting"
    headers = cloud.begin(request, "batch_endpoint_delete", endpoint, finish, lambda: None)
    return Response(status_code=202, headers=headers)


async def list_keys(request: Request) -> Response:
    """Refuse: batch endpoints are called with tokens of Entra, and have no keys."""
    endpoint = _endpoint(request)
    raise bad_argument(f"The auth mode of '{endpoint.name}' is AADToken, not Key.")


async def list_deployments(request: Request) -> Response:
    """List the deployments of a batch endpoint, oldest first."""
    endpoint = _endpoint(request)
    items = [_document(request, deployment) for deployment in endpoint.deployments.values()]
    return JSONResponse(page(request, cloud_of(request).url, items))


async def get_deployment(request: Request) -> Response:
    """Return one batch deployment."""
    return JSONResponse(_document(request, _deployment(request)))


async def put_deployment(request: Request) -> Response:
    """Create or replace a batch deployment."""
    body = await json_body(request)
    cloud = cloud_of(request)
    endpoint = _endpoint(request)
    check_location(body, endpoint.location)
    name = request.path_params["deployment"]
    properties = object_in(body, "properties")
    what_it_runs = _model_or_component(cloud.workspace(request), properties)
    existing = endpoint.deployments.get(name.lower())
    now = cloud.clock.now()
    if existing is None:
        check_name(name, "deployment")
    deployment = BatchDeployment(
        workspace=endpoint.workspace,
        endpoint=endpoint.name,
        name=existing.name if existing else name,
        location=endpoint.location,
        settings=properties,
        created_at=existing.created_at if existing else now,
        modified_at=now,
        created_by=request.state.caller,
        state="Updating" if existing else "Creating",
        tags=tags_in(body),
        jobs=existing.jobs if existing else [],
        **what_it_runs,
    )
    cloud.operations.refuse_if_busy(endpoint.workspace, endpoint.entity, deployment.entity)
    endpoint.deployments[name.lower()] = deployment

    def finish(operation: Operation) -> None:
        deployment.state = operation.outcome

    kind = "batch_deployment_update" if existing else "batch_deployment_create"
    headers = cloud.begin(request, kind, deployment, finish, lambda: _document(request, deployment))
    del headers["Location"]
    return JSONResponse(_document(request, deployment), 200 if existing else 201, headers=headers)


async def patch_deployment(request: Request) -> Response:
    """Change the tags or the description; the contract allows nothing else here."""
    body = await json_body(request)
    cloud = cloud_of(request)
    deployment = _deployment(request)
    properties = object_in(body, "properties")
    if body.keys() - {"tags", "properties"} or properties.keys() - {"description"}:
        message = "Only 'tags' and 'properties.description' of a batch deployment can be patched."
        raise bad_argument(message)
    endpoint = _endpoint(request)
    cloud.operations.refuse_if_busy(endpoint.workspace, endpoint.entity, deployment.entity)
    if "tags" in body:
        deployment.tags = tags_in(body)
    deployment.settings = deployment.settings | properties
    deployment.modified_at = cloud.clock.now()
    return JSONResponse(_document(request, deployment))


async def delete_deployment(request: Request) -> Response:
    """Delete a batch deployment that is not the default."""
    cloud = cloud_of(request)
    endpoint = _endpoint(request)
    deployment = endpoint.deployments.get(request.path_params["deployment"].lower())
    if deployment is None:
        return Response(status_code=204)
    cloud.operations.refuse_if_busy(endpoint.workspace, endpoint.entity, deployment.entity)
    if endpoint.default == deployment.name:
        raise bad_argument(f"Deployment '{deployment.name}' is the default of its endpoint.")

    def finish(operation: Operation) -> None:
        deployment.state = operation.outcome
        if operation.outcome == "Succeeded":
            del endpoint.deployments[deployment.name.lower()]

    deployment.state = "Deleting"
    headers = cloud.begin(request, "batch_deployment_delete", deployment, finish, lambda: None)
    return Response(status_code=202, headers=headers)


def _model_or_component(workspace: Workspace, properties: Json) -> dict[str, str]:
    """Return the model or the component of a deployment; raises ARM's refusal without either."""
    configuration = object_in(properties, "deploymentConfiguration")
    if str(configuration.get("deploymentConfigurationType")).lower() == "pipelinecomponent":
        component = object_in(configuration, "componentId").get("assetId")
        if not component:
            raise bad_argument("'componentId.assetId' is required.", "deploymentConfiguration")
        return {"component": _resolve_component(workspace, str(component))}
    reference = object_in(properties, "model").get("assetId")
    if not reference:
        raise bad_argument("'model.assetId' is required.", "model")
    model = resolve_model(workspace, str(reference))
    has_code = properties.get("codeConfiguration") and properties.get("environmentId")
    if not has_code and "python_function" not in model.flavors:
        raise bad_argument(
            f"A batch deployment of {model.name}:{model.version}, a {model.type}, needs an "
            "environment and a scoring script: only MLflow models with a python_function flavor "
            "can be deployed without code.",
            "codeConfiguration",
        )
    check_parts(workspace, properties)
    return {"model": model.name, "version": model.version}


def _resolve_component(workspace: Workspace, reference: str) -> str:
    if REGISTRY.fullmatch(reference):
        raise not_emulated(f"The registry of '{reference}' is", "deploymentConfiguration")
    component = find(workspace, COMPONENTS, reference)
    if component is None:
        raise not_found("Component version", reference)
    if component.content["componentSpec"]["type"] != "pipeline":
        message = f"'{reference}' is not a pipeline component."
        raise bad_argument(message, "deploymentConfiguration")
    return f"{workspace.arm_id}/components/{component.name}/versions/{component.version}"


def _default(endpoint: BatchEndpoint | None, properties: Json) -> str | None:
    name = object_in(properties, "defaults").get("deploymentName")
    if not name:
        return None
    deployment = endpoint.deployments.get(str(name).lower()) if endpoint else None
    if deployment is None:
        message = f"The default names deployment '{name}', which does not exist."
        raise bad_argument(message, "defaults")
    return deployment.name


def _endpoint(request: Request) -> BatchEndpoint:
    name = request.path_params["endpoint"]
    endpoint = cloud_of(request).workspace(request).batch_endpoints.get(name.lower())
    if endpoint is None:
        raise not_found("Batch endpoint", name)
    return endpoint


def _deployment(request: Request) -> BatchDeployment:
    name = request.path_params["deployment"]
    deployment = _endpoint(request).deployments.get(name.lower())
    if deployment is None:
        raise not_found("Batch deployment", name)
    return deployment


def _document(request: Request, entity: BatchEndpoint | BatchDeployment) -> Json:
    cloud: Cloud = cloud_of(request)
    base = f"{cloud.workspace(request).arm_id}/batchEndpoints"
    if isinstance(entity, BatchDeployment):
        return entity.document(f"{base}/{entity.endpoint}")
    return entity.document(f"{base}/{entity.name}", cloud.url)


_ENDPOINTS = "/batchEndpoints"
_ENDPOINT = f"{_ENDPOINTS}/{{endpoint}}"
_DEPLOYMENT = f"{_ENDPOINT}/deployments/{{deployment}}"

#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", _ENDPOINTS, list_endpoints),
    ("GET", _ENDPOINT, get_endpoint),
    ("PUT", _ENDPOINT, put_endpoint),
    ("PATCH", _ENDPOINT, patch_endpoint),
    ("DELETE", _ENDPOINT, delete_endpoint),
    ("POST", f"{_ENDPOINT}/listKeys", list_keys),
    ("GET", f"{_ENDPOINT}/deployments", list_deployments),
    ("GET", _DEPLOYMENT, get_deployment),
    ("PUT", _DEPLOYMENT, put_deployment),
    ("PATCH", _DEPLOYMENT, patch_deployment),
    ("DELETE", _DEPLOYMENT, delete_deployment),
]
