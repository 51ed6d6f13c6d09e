"""The artifact service: the output files of runs, and the signature in a model's files."""

import json
from functools import lru_cache
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.workspace.arm import PROVIDER, ArmError
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.containers import Inputs
from sandbox.workspace.datastores import ARTIFACT_CONTAINER, find_place
from sandbox.workspace.entities import Deployment, ModelVersion, Workspace

_BASE = (
    "/artifact/v2.0/subscriptions/{subscription}/resourceGroups/{group}"
    f"/providers/{PROVIDER}/workspaces/{{workspace}}/artifacts/{{origin}}/{{container}}"
)


async def download(request: Request) -> Response:
    """Return one file."""
    cloud, name = _asked(request)
    content = await cloud.storage.read(ARTIFACT_CONTAINER, name)
    if content is None:
        raise ArmError(404, "UserError", f"The artifact {name} was not found.")
    return Response(content, media_type="application/octet-stream")


async def upload(request: Request) -> Response:
    """Keep one file."""
    cloud, name = _asked(request)
    is_there = await cloud.storage.read(ARTIFACT_CONTAINER, name) is not None
    if is_there and request.query_params.get("allowOverwrite") != "true":
        raise ArmError(409, "UserError", f"The artifact {name} exists already.")
    await cloud.storage.write(ARTIFACT_CONTAINER, {name: await request.body()})
    origin, container, path = name.split("/", 2)
    return JSONResponse({"origin": origin, "container": container, "path": path})


async def inputs_of(cloud: Cloud, deployment: Deployment) -> Inputs:
    """Return the signature in the MLmodel file of a deployment; an empty one without it.

    It is read once for each success of a deployment, as its container loads the model once.
    """
    serving = deployment.serving
    if deployment.loaded is None or deployment.loaded[0] is not serving:
        model = serving.model if serving else None
        inputs = await _read_inputs(cloud, cloud.workspace_of(deployment), model)
        deployment.loaded = (serving, inputs)
    loaded: Inputs = deployment.loaded[1]
    return loaded


async def _read_inputs(cloud: Cloud, workspace: Workspace, model: ModelVersion | None) -> Inputs:
    if model is None or model.type != "mlflow_model":
        return Inputs()
    place = find_place(cloud, workspace, model.uri)
    if place is None:
        return Inputs()
    return _inputs(await cloud.storage.read(place.container, f"{place.path}/MLmodel") or b"")


@lru_cache(maxsize=64)
def _inputs(described_by: bytes) -> Inputs:
    try:
        described: Any = yaml.safe_load(described_by) or {}
        signature = described.get("signature") or {}
        inputs = json.loads(signature.get("inputs") or "[]")
        return Inputs(
            columns={item["name"]: item["type"] for item in inputs if item["type"] != "tensor"},
            tensors={
                item.get("name", ""): item["tensor-spec"]["shape"]
                for item in inputs
                if item["type"] == "tensor"
            },
        )
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        # Anybody may have written the file.
        return Inputs()


def _asked(request: Request) -> tuple[Cloud, str]:
    """Return the cloud, and the blob's name in the container of artifacts; the workspace exists."""
    cloud = cloud_of(request)
    cloud.workspace(request)
    path = request.query_params.get("path")
    if not path:
        raise ArmError(400, "UserError", "The parameter 'path' is required.")
    params = request.path_params
    return cloud, f"{params['origin']}/{params['container']}/{path}"


routes = [
    Route(f"{_BASE}/content", download, methods=["GET"]),
    Route(f"{_BASE}/content", upload, methods=["POST"]),
]
