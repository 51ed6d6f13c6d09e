"""Versioned assets of a workspace that are kept as they were sent: all kinds but models."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import (
    ArmError,
    ArmRoute,
    Json,
    bad_argument,
    json_body,
    not_found,
    object_in,
    page,
    tags_in,
    user_error,
)
from sandbox.workspace.asset_entities import AssetContainer, AssetVersion, Version
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Workspace

_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,254}")
#: Properties that every asset has beside its content.
_COMMON = {"description", "tags", "properties", "isArchived", "isAnonymous"}
#: Clients that archive an asset send back its whole document, with this property.
_READ_ONLY = {"provisioningState"}
#: An asset of a registry, which every workspace may name.
REGISTRY = re.compile(
    r"(?:azureml:)?azureml://registries/[^/]+/(?P<segment>[^/]+)/(?P<name>[^/]+)/.+",
    re.IGNORECASE,
)


def path_is_fixed(_: str) -> ArmError:
    """Build the refusal of another path for an existing version, as azure-ai-ml expects it."""
    return user_error("Asset paths cannot be updated.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetKind:
    """One kind of asset."""

    #: Its place in addresses, such as `components`.
    segment: str
    #: Its name in messages, such as `Component`.
    title: str
    #: Returns what to keep of a version's own properties, given its name and number; raises
    #: ArmError where they describe no such asset.
    read: Callable[[Json, str, str], Json]
    #: Builds the refusal of another content for a version that there is, from what to say.
    clash: Callable[[str], ArmError] = bad_argument
    #: The number that means the newest version, as does the label `default` where it is known.
    default: str | None = None


def find(workspace: Workspace, kind: AssetKind, reference: str) -> AssetVersion | None:
    """Return the version that a reference names: `name:version`, `name@latest` or an ARM id.

    None if the workspace has no such version; labels other than latest are unknown.
    """
    match = _reference(kind).fullmatch(reference.removeprefix("azureml:"))
    if match is None:
        return None
    names = {key.rstrip("2"): value for key, value in match.groupdict().items() if value}
    if names.get("owner", workspace.arm_id).lower() != workspace.arm_id.lower():
        return None
    container = workspace.assets.get(kind.segment, {}).get(names["name"].lower())
    if container is None:
        return None
    number, label = names.get("version", ""), names.get("label", "").lower()
    is_default = kind.default is not None and (number == kind.default or label == "default")
    if is_default or label == "latest":
        newest = newest_first(container.versions.values())
        return newest[0] if newest else None
    return container.versions.get(number)


def newest_first[V: Version](versions: Iterable[V], order: str | None = None) -> list[V]:
    """Return versions in the wanted order, by default newest first."""
    words = (order or "createdtime desc").lower().split()
    if words[0] not in {"createdtime", "createdat"} or words[1:] not in ([], ["asc"], ["desc"]):
        raise bad_argument(f"Versions cannot be ordered by '{order}'.", "$orderBy")
    return sorted(versions, key=lambda v: (v.created_at, v.order), reverse=words[1:] == ["desc"])


def is_in_view(request: Request, is_archived: bool) -> bool:
    """Say whether the wanted view, by default active only, shows something."""
    view = request.query_params.get("listViewType", "ActiveOnly").lower()
    return view == "all" or is_archived == (view == "archivedonly")


def routes_of(kind: AssetKind) -> list[ArmRoute]:
    """Return the paths of a kind of asset, below a workspace."""
    container, version = f"/{kind.segment}/{{asset}}", f"/{kind.segment}/{{asset}}/versions"
    handlers = Handlers(kind)
    return [
        ("GET", f"/{kind.segment}", handlers.list_containers),
        ("GET", container, handlers.get_container),
        ("PUT", container, handlers.put_container),
        ("DELETE", container, handlers.delete_container),
        ("GET", version, handlers.list_versions),
        ("GET", f"{version}/{{version}}", handlers.get_version),
        ("PUT", f"{version}/{{version}}", handlers.put_version),
        ("DELETE", f"{version}/{{version}}", handlers.delete_version),
    ]


class Handlers:
    """Answers for one kind of asset."""

    def __init__(self, kind: AssetKind) -> None:
        self._kind = kind

    async def list_containers(self, request: Request) -> Response:
        """List the assets of a workspace, by name."""
        cloud = cloud_of(request)
        workspace = cloud.workspace(request)
        containers = workspace.assets.get(self._kind.segment, {}).values()
        items = [
            container.document(self._id(workspace, container.name), self._kind.segment)
            for container in sorted(containers, key=lambda c: c.name)
            if is_in_view(request, container.is_archived)
        ]
        return JSONResponse(page(request, cloud.url, items))

    async def get_container(self, request: Request) -> Response:
        """Return one asset, the name that its versions share."""
        workspace = cloud_of(request).workspace(request)
        container = self._container(workspace, request)
        base = self._id(workspace, container.name)
        return JSONResponse(container.document(base, self._kind.segment))

    async def put_container(self, request: Request) -> Response:
        """Create or replace an asset's own description, tags and archive flag."""
        cloud = cloud_of(request)
        workspace = cloud.workspace(request)
        properties = object_in(await json_body(request), "properties")
        changes = _common(properties)
        del changes["is_anonymous"]
        name = request.path_params["asset"]
        is_new = name.lower() not in workspace.assets.get(self._kind.segment, {})
        container = _ensure_container(cloud, workspace, self._kind, name, request.state.caller)
        archive_with(container, is_archived=changes.pop("is_archived"))
        for key, value in changes.items():
            setattr(container, key, value)
        container.data_type = properties.get("dataType") or container.data_type
        container.modified_at = cloud.clock.now()
        base = self._id(workspace, container.name)
        document = container.document(base, self._kind.segment)
        return JSONResponse(document, 201 if is_new else 200)

    async def delete_container(self, request: Request) -> Response:
        """Delete an asset with all its versions."""
        workspace = cloud_of(request).workspace(request)
        containers = workspace.assets.get(self._kind.segment, {})
        gone = containers.pop(request.path_params["asset"].lower(), None)
        return Response(status_code=200 if gone else 204)

    async def list_versions(self, request: Request) -> Response:
        """List the versions of an asset, by default newest first."""
        cloud = cloud_of(request)
        workspace = cloud.workspace(request)
        container = self._container(workspace, request)
        versions = newest_first(container.versions.values(), request.query_params.get("$orderBy"))
        base = self._id(workspace, container.name)
        items = [
            version.document(base, self._kind.segment)
            for version in versions
            if is_in_view(request, version.is_archived)
        ]
        return JSONResponse(page(request, cloud.url, items))

    async def get_version(self, request: Request) -> Response:
        """Return one version of an asset."""
        workspace = cloud_of(request).workspace(request)
        params = request.path_params
        version = find(workspace, self._kind, f"{params['asset']}:{params['version']}")
        if version is None:
            name = f"{params['asset']}:{params['version']}"
            raise not_found(f"{self._kind.title} version", name)
        document = version.document(self._id(workspace, version.name), self._kind.segment)
        return JSONResponse(document)

    async def put_version(self, request: Request) -> Response:
        """Register a version, or replace what may change of it."""
        cloud = cloud_of(request)
        workspace = cloud.workspace(request)
        properties = object_in(await json_body(request), "properties")
        name, number = request.path_params["asset"], request.path_params["version"]
        own = {key: value for key, value in properties.items() if key not in _COMMON | _READ_ONLY}
        changes = _common(properties) | {"content": self._kind.read(own, name, number)}
        existing = find(workspace, self._kind, f"{name}:{number}")
        if existing is not None:
            self._replace(existing, changes)
            existing.modified_at = cloud.clock.now()
        version = existing or register(
            cloud, workspace, self._kind, name, number, request.state.caller, changes
        )
        document = version.document(self._id(workspace, version.name), self._kind.segment)
        return JSONResponse(document, 200 if existing else 201)

    async def delete_version(self, request: Request) -> Response:
        """Delete one version."""
        workspace = cloud_of(request).workspace(request)
        params = request.path_params
        containers = workspace.assets.get(self._kind.segment, {})
        container = containers.get(params["asset"].lower())
        gone = container.versions.pop(params["version"], None) if container else None
        return Response(status_code=200 if gone else 204)

    def _replace(self, version: AssetVersion, changes: dict[str, Any]) -> None:
        if changes["content"] != version.content:
            raise self._kind.clash(
                f"{self._kind.title} {version.name} with version {version.version} already "
                "exists; only its description, tags, properties and isArchived can be changed."
            )
        for name, value in changes.items():
            setattr(version, name, value)

    def _container(self, workspace: Workspace, request: Request) -> AssetContainer:
        name = request.path_params["asset"]
        container = workspace.assets.get(self._kind.segment, {}).get(name.lower())
        if container is None:
            raise not_found(self._kind.title, name)
        return container

    def _id(self, workspace: Workspace, name: str) -> str:
        return f"{workspace.arm_id}/{self._kind.segment}/{name}"


def register(
    cloud: Cloud,
    workspace: Workspace,
    kind: AssetKind,
    name: str,
    number: str,
    who: str,
    changes: dict[str, Any],
) -> AssetVersion:
    """Register a version that there is not yet; raises ARM's refusal of a name or a number."""
    if not _NAME.fullmatch(number):
        raise bad_argument(f"'{number}' is not a valid version.", "version")
    container = _ensure_container(cloud, workspace, kind, name, who)
    now = cloud.clock.now()
    version = AssetVersion(
        name=container.name,
        version=number,
        created_at=now,
        modified_at=now,
        created_by=who,
        order=len(container.versions),
        **changes,
    )
    container.versions[number] = version
    container.data_type = version.content.get("dataType", container.data_type)
    return version


def _ensure_container(
    cloud: Cloud, workspace: Workspace, kind: AssetKind, name: str, who: str
) -> AssetContainer:
    if not _NAME.fullmatch(name):
        raise bad_argument(f"'{name}' is not a valid name.", "name")
    now = cloud.clock.now()
    new = AssetContainer(name=name, created_at=now, modified_at=now, created_by=who)
    return workspace.assets.setdefault(kind.segment, {}).setdefault(name.lower(), new)


def archive_with(container: Any, *, is_archived: bool) -> None:
    """Archive or restore an asset: all its versions with it, unless nothing changes."""
    if container.is_archived == is_archived:
        return
    container.is_archived = is_archived
    for version in container.versions.values():
        version.is_archived = is_archived


def _common(properties: Json) -> dict[str, Any]:
    return {
        "description": properties.get("description"),
        "tags": tags_in(properties),
        # Clients send numbers too, and read texts.
        "properties": {k: str(v) for k, v in object_in(properties, "properties").items()},
        "is_archived": bool(properties.get("isArchived")),
        "is_anonymous": bool(properties.get("isAnonymous")),
    }


def _reference(kind: AssetKind) -> re.Pattern[str]:
    return re.compile(
        r"(?P<name>[^:/@]+)(?::(?P<version>[^:/@]+)|@(?P<label>[^:/@]+))"
        rf"|(?P<owner>/subscriptions/.+/workspaces/[^/]+)/{kind.segment}/(?P<name2>[^/]+)"
        r"/(?:versions/(?P<version2>[^/]+)|labels/(?P<label2>[^/]+))",
        re.IGNORECASE,
    )
