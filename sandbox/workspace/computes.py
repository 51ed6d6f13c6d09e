"""Computes: the clusters that a workspace was set up with, which always have a free node."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import PROVIDER, ArmRoute, Json, not_found, page, system_data, timestamp
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Workspace

#: What stands for no cluster at all: the service finds the machines.
SERVERLESS = "serverless"


async def list_computes(request: Request) -> Response:
    """List the clusters of a workspace."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    items = [_document(workspace, name) for name in cloud.settings.computes]
    return JSONResponse(page(request, cloud.url, items))


async def get_compute(request: Request) -> Response:
    """Return one cluster."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    name = find_compute(cloud, workspace, request.path_params["compute"])
    if name is None or name == SERVERLESS:
        raise not_found("Compute", request.path_params["compute"])
    return JSONResponse(_document(workspace, name))


def find_compute(cloud: Cloud, workspace: Workspace, reference: str) -> str | None:
    """Return the name of the cluster that a name or ARM id stands for; None if there is none."""
    text = reference.removeprefix("azureml:").lower()
    prefix = f"{workspace.arm_id}/computes/".lower()
    name = text.removeprefix(prefix)
    if name in {SERVERLESS, f"{prefix}virtualclusters/{SERVERLESS}"}:
        return SERVERLESS
    return next((c for c in cloud.settings.computes if c.lower() == name), None)


def _document(workspace: Workspace, name: str) -> Json:
    created = workspace.created_at
    return {
        "id": f"{workspace.arm_id}/computes/{name}",
        "name": name,
        "type": f"{PROVIDER}/workspaces/computes",
        "location": workspace.location,
        "tags": {},
        "systemData": system_data(created, created, "emulator"),
        "properties": {
            "computeType": "AmlCompute",
            "computeLocation": workspace.location,
            "provisioningState": "Succeeded",
            "createdOn": timestamp(created),
            "modifiedOn": timestamp(created),
            "isAttachedCompute": False,
            "disableLocalAuth": True,
            "properties": {
                "vmSize": "Standard_DS3_v2",
                "vmPriority": "Dedicated",
                "osType": "Linux",
                "scaleSettings": {
                    "minNodeCount": 0,
                    "maxNodeCount": 4,
                    "nodeIdleTimeBeforeScaleDown": "PT2M",
                },
                "remoteLoginPortPublicAccess": "NotSpecified",
                "allocationState": "Steady",
                "currentNodeCount": 0,
                "targetNodeCount": 0,
            },
        },
    }


#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", "/computes", list_computes),
    ("GET", "/computes/{compute}", get_compute),
]
