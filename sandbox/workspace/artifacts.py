"""The artifact service: the files that runs leave behind, and what a model's own say of it."""

import json
import re
from functools import lru_cache
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.workspace.arm import PROVIDER, ArmError
from sandbox.workspace.cloud import cloud_of
from sandbox.workspace.containers import Inputs
from sandbox.workspace.entities import ModelVersion, Workspace

_BASE = (
    "/artifact/v2.0/subscriptions/{subscription}/resourceGroups/{group}"
    f"/providers/{PROVIDER}/workspaces/{{workspace}}/artifacts/{{origin}}/{{container}}"
)
#: Where the files of a run's artifacts are, in either way of saying it.
_PLACES = (
    re.compile(r"azureml://jobs/(?P<run>[^/]+)/outputs/artifacts/paths/(?P<path>.*)"),
    re.compile(
        r"azureml://(?:.*/)?datastores/workspaceartifactstore/paths"
        r"/ExperimentRun/dcid\.(?P<run>[^/]+)/(?P<path>.*)"
    ),
)


async def download(request: Request) -> Response:
    """Return one file."""
    workspace = cloud_of(request).workspace(request)
    name = _name(request)
    content = workspace.artifacts.get(name)
    if content is None:
        raise ArmError(404, "UserError", f"The artifact {name} was not found.")
    return Response(content, media_type="application/octet-stream")


async def upload(request: Request) -> Response:
    """Keep one file."""
    workspace = cloud_of(request).workspace(request)
    name = _name(request)
    if name in workspace.artifacts and request.query_params.get("allowOverwrite") != "true":
        raise ArmError(409, "UserError", f"The artifact {name} exists already.")
    workspace.artifacts[name] = await request.body()
    origin, container, path = name.split("/", 2)
    return JSONResponse({"origin": origin, "container": container, "path": path})


def inputs_of(workspace: Workspace, model: ModelVersion | None) -> Inputs:
    """Return what the signature in a model's MLmodel file says; nothing where there is none."""
    if model is None or model.type != "mlflow_model":
        return Inputs()
    matches = (place.fullmatch(model.uri) for place in _PLACES)
    match = next(filter(None, matches), None)
    if match is None:
        return Inputs()
    name = f"ExperimentRun/dcid.{match['run']}/{match['path'].rstrip('/')}/MLmodel"
    return _inputs(workspace.artifacts.get(name, b""))


@lru_cache(maxsize=64)
def _inputs(described_by: bytes) -> Inputs:
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


def _name(request: Request) -> str:
    path = request.query_params.get("path")
    if not path:
        raise ArmError(400, "UserError", "The parameter 'path' is required.")
    params = request.path_params
    return f"{params['origin']}/{params['container']}/{path}"


routes = [
    Route(f"{_BASE}/content", download, methods=["GET"]),
    Route(f"{_BASE}/content", upload, methods=["POST"]),
]
