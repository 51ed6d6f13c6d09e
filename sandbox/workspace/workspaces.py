"""Workspaces themselves, and the datastore that each comes with."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import PROVIDER, ArmRoute, Json, not_found, page, system_data
from sandbox.workspace.cloud import cloud_of
from sandbox.workspace.entities import Workspace


async def list_workspaces(request: Request) -> Response:
    """List the workspaces of the subscription."""
    cloud = cloud_of(request)
    cloud.check_subscription(request)
    tenant = cloud.settings.tenant
    items = [workspace.document(cloud.url, tenant) for workspace in cloud.workspaces()]
    return JSONResponse(page(request, cloud.url, items))


async def get_workspace(request: Request) -> Response:
    """Return one workspace."""
    cloud = cloud_of(request)
    return JSONResponse(cloud.workspace(request).document(cloud.url, cloud.settings.tenant))


async def list_datastores(request: Request) -> Response:
    """List the datastores of a workspace."""
    cloud = cloud_of(request)
    return JSONResponse(page(request, cloud.url, [_blob_store(cloud.workspace(request))]))


async def get_datastore(request: Request) -> Response:
    """Return a datastore: there is `workspaceblobstore` only."""
    store = _blob_store(cloud_of(request).workspace(request))
    name = request.path_params["datastore"]
    if name.lower() != store["name"]:
        raise not_found("Datastore", name)
    return JSONResponse(store)


def _blob_store(workspace: Workspace) -> Json:
    name = "workspaceblobstore"
    return {
        "id": f"{workspace.arm_id}/datastores/{name}",
        "name": name,
        "type": f"{PROVIDER}/workspaces/datastores",
        "systemData": system_data(workspace.created_at, workspace.created_at, "emulator"),
        "properties": {
            "datastoreType": "AzureBlob",
            "accountName": "st",
            "containerName": f"azureml-blobstore-{workspace.guid}",
            "endpoint": "core.windows.net",
            "protocol": "https",
            "credentials": {"credentialsType": "None"},
            "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
            "isDefault": True,
            "tags": {},
            "properties": {},
        },
    }


#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", "/datastores", list_datastores),
    ("GET", "/datastores/{datastore}", get_datastore),
]
