"""Code assets: folders of scripts that jobs and deployments run, uploaded by their clients."""

import uuid
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import (
    ArmRoute,
    Json,
    bad_argument,
    json_body,
    not_found,
    object_in,
    page,
)
from sandbox.workspace.asset_entities import AssetVersion
from sandbox.workspace.assets import (
    REGISTRY,
    AssetKind,
    Handlers,
    find,
    path_is_fixed,
    routes_of,
)
from sandbox.workspace.cloud import cloud_of
from sandbox.workspace.entities import Workspace
from sandbox.workspace.environments import check_environment

_UPLOAD_TIME = timedelta(hours=1)


def _read(properties: Json, name: str, version: str) -> Json:
    if not isinstance(properties.get("codeUri"), str) or not properties["codeUri"]:
        raise bad_argument("'codeUri' is required.", "codeUri")
    return properties


CODES = AssetKind(segment="codes", title="Code", read=_read, clash=path_is_fixed)


def check_parts(workspace: Workspace, properties: Json) -> None:
    """Refuse a deployment of an environment or a code that the workspace does not have.

    Those of a registry are taken on trust.
    """
    if environment := properties.get("environmentId"):
        check_environment(workspace, environment)
    code = object_in(properties, "codeConfiguration").get("codeId")
    if code and not REGISTRY.fullmatch(code) and find(workspace, CODES, code) is None:
        raise not_found("Code", code)


async def list_versions(request: Request) -> Response:
    """List the versions of a code; with a `hash`, those of any code with that very content.

    Clients ask so whether they have to upload, under a name that they have just made up.
    """
    wanted = request.query_params.get("hash")
    if wanted is None:
        return await Handlers(CODES).list_versions(request)
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    algorithm = request.query_params.get("hashVersion")
    items = [
        version.document(f"{workspace.arm_id}/codes/{version.name}", CODES.segment)
        for version in _all(workspace)
        if version.properties.get("hash_sha256") == wanted
        if algorithm in {None, version.properties.get("hash_version")}
    ]
    return JSONResponse(page(request, cloud.url, items))


async def start_upload(request: Request) -> Response:
    """Return a container of its own to upload a code's files to, and a signature that opens it."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    wanted = await json_body(request) if await request.body() else {}
    upload_id = str(wanted.get("pendingUploadId") or uuid.uuid4())
    params = request.path_params
    owner = uuid.UUID(workspace.guid)
    key = uuid.uuid5(owner, f"{params['asset']}/{params['version']}/{upload_id}")
    container = f"{key}-upload"
    token = cloud.storage.sign_container(container, _UPLOAD_TIME)
    await cloud.storage.create_container(container)
    address = f"https://{cloud.storage.host}/{container}"
    return JSONResponse(
        {
            "pendingUploadId": upload_id,
            "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": {
                "blobUri": address,
                "storageAccountArmId": workspace.storage_id(cloud.storage.name),
                "credential": {"credentialType": "SAS", "sasUri": f"{address}?{token}"},
            },
        }
    )


def _all(workspace: Workspace) -> list[AssetVersion]:
    containers = workspace.assets.get(CODES.segment, {}).values()
    return [version for container in containers for version in container.versions.values()]


_VERSIONS = "/codes/{asset}/versions"

#: Paths below a workspace; the first that fits is taken.
routes: list[ArmRoute] = [
    ("GET", _VERSIONS, list_versions),
    ("POST", f"{_VERSIONS}/{{version}}/startPendingUpload", start_upload),
    *routes_of(CODES),
]
