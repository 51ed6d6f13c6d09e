"""Computes: a workspace's clusters and those attached to it, which always have a free node."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import PROVIDER, ArmRoute, Json, not_found, page, system_data, timestamp
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Workspace

#: The name for no cluster at all: the service finds the machines.
SERVERLESS = "serverless"


async def list_computes(request: Request) -> Response:
    """List the clusters of a workspace."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    items = [_document(cloud, workspace, name) for name in _clusters(cloud)]
    return JSONResponse(page(request, cloud.url, items))


async def get_compute(request: Request) -> Response:
    """Return one cluster."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    name = find_compute(cloud, workspace, request.path_params["compute"])
    if name is None or name == SERVERLESS:
        raise not_found("Compute", request.path_params["compute"])
    return JSONResponse(_document(cloud, workspace, name))


def find_compute(cloud: Cloud, workspace: Workspace, reference: str) -> str | None:
    """Return the name of the cluster with a name or ARM id; None if there is none."""
    text = reference.removeprefix("azureml:").lower()
    prefix = f"{workspace.arm_id}/computes/".lower()
    name = text.removeprefix(prefix)
    if name in {SERVERLESS, f"{prefix}virtualclusters/{SERVERLESS}"}:
        return SERVERLESS
    return next((c for c in _clusters(cloud) if c.lower() == name), None)


def find_kubernetes(cloud: Cloud, workspace: Workspace, reference: str) -> str | None:
    """Return the ARM id of the Kubernetes cluster with that ARM id in any case, or None."""
    ids = (f"{workspace.arm_id}/computes/{name}" for name in cloud.settings.kubernetes)
    return next((each for each in ids if each.lower() == reference.lower()), None)


def _clusters(cloud: Cloud) -> tuple[str, ...]:
    return cloud.settings.computes + cloud.settings.kubernetes


def _document(cloud: Cloud, workspace: Workspace, name: str) -> Json:
    created = workspace.created_at
    is_attached = name in cloud.settings.kubernetes
    return {
        "id": f"{workspace.arm_id}/computes/{name}",
        "name": name,
        "type": f"{PROVIDER}/workspaces/computes",
        "location": workspace.location,
        "tags": {},
        "systemData": system_data(created, created, "emulator"),
        "properties": {
            "computeLocation": workspace.location,
            "provisioningState": "Succeeded",
            "createdOn": timestamp(created),
            "modifiedOn": timestamp(created),
            "isAttachedCompute": is_attached,
            "disableLocalAuth": True,
        }
        | (_kubernetes(workspace, name) if is_attached else _AML_COMPUTE),
    }


_AML_COMPUTE: Json = {
    "computeType": "AmlCompute",
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
}


def _kubernetes(workspace: Workspace, name: str) -> Json:
    others = f"{workspace.arm_id.rsplit('/providers/', 1)[0]}/providers"
    resources = {"cpu": "1", "memory": "4Gi"}
    return {
        "computeType": "Kubernetes",
        "resourceId": f"{others}/Microsoft.Kubernetes/connectedClusters/{name}",
        "properties": {
            "namespace": "default",
            "defaultInstanceType": "defaultinstancetype",
            "instanceTypes": {
                "defaultinstancetype": {
                    "resources": {"requests": resources, "limits": resources},
                }
            },
        },
    }


#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", "/computes", list_computes),
    ("GET", "/computes/{compute}", get_compute),
]
