"""The model registry of a workspace: containers and their versions."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import (
    ArmError,
    ArmRoute,
    Json,
    bad_argument,
    has_tags,
    json_body,
    not_emulated,
    not_found,
    object_in,
    page,
    tags_in,
)
from sandbox.workspace.assets import REGISTRY, archive_with, is_in_view, newest_first
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import ModelContainer, ModelVersion, Workspace
from sandbox.workspace.events import model_registered

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}")
_TYPES = {"mlflow_model", "triton_model", "custom_model"}
#: The properties that the service reads from an MLmodel file if the request has none.
_USUAL_FLAVORS: Json = {"python_function": {"data": {"loader_module": "mlflow.sklearn"}}}
_REFERENCE = re.compile(
    r"(?:azureml:)?(?:"
    r"(?P<arm>/subscriptions/.+/workspaces/[^/]+)|"
    r"//locations/[^/]+/workspaces/(?P<guid>[^/]+))"
    r"/models/(?P<name>[^/]+)/versions/(?P<version>[^/]+)",
    re.IGNORECASE,
)
_SHORT_REFERENCE = re.compile(r"(?:azureml:)?+(?P<name>[^:/@]+):(?P<version>[^:/@]+)")


def resolve_model(workspace: Workspace, reference: str) -> ModelVersion:
    """Return the version that an asset reference names; it must be the workspace's own."""
    match = _REFERENCE.fullmatch(reference) or _SHORT_REFERENCE.fullmatch(reference)
    if REGISTRY.fullmatch(reference):
        raise not_emulated(f"The registry of '{reference}' is", "model")
    if match is None:
        raise bad_argument(f"'{reference}' is not the id of a model version.", "model")
    owner = {k: v for k, v in match.groupdict().items() if k in {"arm", "guid"} and v}
    ours = {"arm": workspace.arm_id, "guid": workspace.guid}
    if any(value.lower() != ours[kind].lower() for kind, value in owner.items()):
        message = f"The model '{reference}' does not belong to workspace '{workspace.name}'."
        raise bad_argument(message, "model")
    return _version(workspace, match["name"], match["version"])


async def list_containers(request: Request) -> Response:
    """List the models of a workspace, by name."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    items = [
        container.document(_container_id(workspace, container.name))
        for container in sorted(workspace.models.values(), key=lambda c: c.name)
        if is_in_view(request, container.is_archived)
    ]
    return JSONResponse(page(request, cloud.url, items, top="count"))


async def get_container(request: Request) -> Response:
    """Return one model."""
    workspace = cloud_of(request).workspace(request)
    container = _container(workspace, request.path_params["model"])
    return JSONResponse(container.document(_container_id(workspace, container.name)))


async def put_container(request: Request) -> Response:
    """Create or replace a model's own description, tags and archive flag."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    properties = object_in(await json_body(request), "properties")
    tags = tags_in(properties)
    name = request.path_params["model"]
    is_new = name.lower() not in workspace.models
    container = _ensure_container(cloud, workspace, name, request.state.caller)
    container.description = properties.get("description")
    container.tags = tags
    container.properties = object_in(properties, "properties")
    archive_with(container, is_archived=bool(properties.get("isArchived")))
    container.modified_at = cloud.clock.now()
    document = container.document(_container_id(workspace, container.name))
    return JSONResponse(document, 201 if is_new else 200)


async def delete_container(request: Request) -> Response:
    """Delete a model with all its versions."""
    workspace = cloud_of(request).workspace(request)
    gone = workspace.models.pop(request.path_params["model"].lower(), None)
    return Response(status_code=200 if gone else 204)


async def list_versions(request: Request) -> Response:
    """List the versions of a model, by default newest first."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    container = _container(workspace, request.path_params["model"])
    query = request.query_params
    versions = [
        version
        for version in newest_first(container.versions.values(), query.get("$orderBy"))
        if is_in_view(request, version.is_archived)
        and has_tags(query.get("tags"), version.tags)
        and has_tags(query.get("properties"), version.properties)
        and query.get("version") in {None, version.version}
        and query.get("description") in {None, version.description}
    ]
    base = _container_id(workspace, container.name)
    return JSONResponse(page(request, cloud.url, [v.document(base) for v in versions]))


async def get_version(request: Request) -> Response:
    """Return one version of a model."""
    params = request.path_params
    workspace = cloud_of(request).workspace(request)
    version = _version(workspace, params["model"], params["version"])
    return JSONResponse(version.document(_container_id(workspace, version.name)))


async def put_version(request: Request) -> Response:
    """Register a version, or replace what may change of it; only the former raises an event."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    name, number = request.path_params["model"], request.path_params["version"]
    changes = _parse_version(object_in(await json_body(request), "properties"))
    container = workspace.models.get(name.lower())
    existing = container.versions.get(number) if container else None
    now = cloud.clock.now()
    if existing is not None:
        _replace(existing, changes)
        existing.modified_at = now
        return JSONResponse(existing.document(_container_id(workspace, existing.name)))
    if not _NAME.fullmatch(number):
        raise bad_argument(f"'{number}' is not a valid model version.", "version")
    version = register(cloud, workspace, name, number, request.state.caller, changes)
    return JSONResponse(version.document(_container_id(workspace, version.name)), 201)


def register(
    cloud: Cloud, workspace: Workspace, name: str, number: str, who: str, changes: dict[str, Any]
) -> ModelVersion:
    """Register a version that isn't there yet, and raise its event."""
    now = cloud.agenda.now()
    container = _ensure_container(cloud, workspace, name, who)
    version = ModelVersion(
        name=container.name,
        version=number,
        created_at=now,
        modified_at=now,
        created_by=who,
        order=len(container.versions),
        **changes,
    )
    container.versions[number] = version
    container.modified_at = now
    cloud.events.publish(model_registered(workspace.arm_id, version, now))
    return version


def is_model_name(name: str) -> bool:
    """Say whether a model can be called that."""
    return _NAME.fullmatch(name) is not None


def register_output(
    cloud: Cloud,
    workspace: Workspace,
    name: str,
    number: str,
    *,
    kind: str,
    uri: str,
    job_name: str,
    who: str,
) -> ModelVersion | None:
    """Register a job's model; None if that version is taken; "" means the next one."""
    container = workspace.models.get(name.lower())
    number = number or (container.next_version if container else "1")
    if container and number in container.versions:
        return None
    changes = _parse_version({"modelType": kind, "modelUri": uri, "jobName": job_name})
    return register(cloud, workspace, name, number, who, changes)


async def delete_version(request: Request) -> Response:
    """Delete a version that no deployment runs."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    params = request.path_params
    container = workspace.models.get(params["model"].lower())
    version = container.versions.get(params["version"]) if container else None
    if container is None or version is None:
        return Response(status_code=204)
    users = [d.entity for d in cloud.deployments() if d.spec.model is version]
    if users:
        raise ArmError(409, "Conflict", f"The model is in use by {', '.join(users)}.")
    del container.versions[version.version]
    return Response(status_code=200)


def _parse_version(properties: Json) -> dict[str, Any]:
    kind = str(properties.get("modelType") or "custom_model")
    uri = properties.get("modelUri")
    if kind not in _TYPES:
        raise bad_argument(f"The model type '{kind}' is not one of {sorted(_TYPES)}.", "modelType")
    if not isinstance(uri, str) or not uri:
        raise bad_argument("'modelUri' is required.", "modelUri")
    usual = _USUAL_FLAVORS if kind == "mlflow_model" else {}
    return {
        "type": kind,
        "uri": uri,
        "flavors": object_in(properties, "flavors") or usual,
        "job_name": properties.get("jobName"),
        "description": properties.get("description"),
        "tags": tags_in(properties),
        "properties": object_in(properties, "properties"),
        "is_archived": bool(properties.get("isArchived")),
        "is_anonymous": bool(properties.get("isAnonymous")),
        "stage": properties.get("stage"),
    }


def _replace(version: ModelVersion, changes: dict[str, Any]) -> None:
    same_uri = changes.pop("uri").lower() == version.uri.lower()
    if changes["type"] != version.type or not same_uri:
        raise bad_argument(
            f"A model named {version.name} with version {version.version} already exists; "
            "its modelType and modelUri cannot be changed.",
            "modelUri",
        )
    for name, value in changes.items():
        setattr(version, name, value)


def _ensure_container(cloud: Cloud, workspace: Workspace, name: str, who: str) -> ModelContainer:
    container = workspace.models.get(name.lower())
    if container is None:
        if not is_model_name(name):
            raise bad_argument(f"'{name}' is not a valid model name.", "name")
        now = cloud.agenda.now()
        container = ModelContainer(name=name, created_at=now, modified_at=now, created_by=who)
        workspace.models[name.lower()] = container
    return container


def _container(workspace: Workspace, name: str) -> ModelContainer:
    container = workspace.models.get(name.lower())
    if container is None:
        raise not_found("Model", name)
    return container


def _version(workspace: Workspace, name: str, number: str) -> ModelVersion:
    container = workspace.models.get(name.lower())
    version = container.versions.get(number) if container else None
    if version is None:
        raise not_found("Model version", f"{name}:{number}")
    return version


def _container_id(workspace: Workspace, name: str) -> str:
    return f"{workspace.arm_id}/models/{name}"


_MODELS = "/models"
_MODEL = "/models/{model}"
_VERSION = "/models/{model}/versions/{version}"

#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", _MODELS, list_containers),
    ("GET", _MODEL, get_container),
    ("PUT", _MODEL, put_container),
    ("DELETE", _MODEL, delete_container),
    ("GET", f"{_MODEL}/versions", list_versions),
    ("GET", _VERSION, get_version),
    ("PUT", _VERSION, put_version),
    ("DELETE", _VERSION, delete_version),
]
