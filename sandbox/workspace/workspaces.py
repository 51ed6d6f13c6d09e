"""Workspaces themselves, which are only read."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import Json, page
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Workspace


async def list_workspaces(request: Request) -> Response:
    """List the workspaces of the subscription."""
    cloud = cloud_of(request)
    cloud.check_subscription(request)
    items = [_document(cloud, workspace) for workspace in cloud.workspaces()]
    return JSONResponse(page(request, cloud.url, items))


async def get_workspace(request: Request) -> Response:
    """Return one workspace."""
    cloud = cloud_of(request)
    return JSONResponse(_document(cloud, cloud.workspace(request)))


def _document(cloud: Cloud, workspace: Workspace) -> Json:
    return workspace.document(cloud.url, cloud.settings.tenant, cloud.storage.name)
