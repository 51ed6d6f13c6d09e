"""Run history: runs and their steps as the workspace's own services show them."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.workspace.arm import PROVIDER, ArmError, Handler, Json, json_body, timestamp
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.datastores import ARTIFACT_CONTAINER, artifact_path
from sandbox.workspace.entities import Workspace
from sandbox.workspace.job_outputs import LOG
from sandbox.workspace.run_entities import Experiment, Run
from sandbox.workspace.runs import cancel

_PAGE = 100
_LOGS_TIME = timedelta(hours=1)
_BASE = (
    "/history/v1.0/subscriptions/{subscription}/resourceGroups/{group}"
    f"/providers/{PROVIDER}/workspaces/{{workspace}}"
)


class HistoryError(ArmError):
    """A refusal, as run history words it."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, "UserError", message)
        self.body = {
            "error": {
                "code": "UserError",
                "severity": None,
                "message": message,
                "messageFormat": None,
                "messageParameters": {},
                "innerError": {"code": kind, "innerError": None},
            },
            "correlation": {"operation": uuid.uuid4().hex},
            "componentName": "run-history",
        }


async def get_run(request: Request) -> Response:
    """Return one run."""
    cloud = cloud_of(request)
    return JSONResponse(_document(cloud, _run(cloud, request)))


async def get_details(request: Request) -> Response:
    """Return one run with its definition, as far as that is known."""
    cloud = cloud_of(request)
    return JSONResponse(_details(cloud, _run(cloud, request)))


async def get_run_data(request: Request) -> Response:
    """Return the run that the body names, with its definition."""
    cloud = cloud_of(request)
    run_id = str((await json_body(request)).get("runId"))
    run = _find(cloud.workspace(request), run_id)
    return JSONResponse(
        {"runMetadata": _document(cloud, run), "runDefinition": None, "jobSpecification": None}
    )


async def list_children(request: Request) -> Response:
    """List the runs directly below a run, newest first."""
    cloud = cloud_of(request)
    run = _run(cloud, request)
    items = [_document(cloud, child) for child in reversed(run.children)]
    return JSONResponse(_page(request, cloud.url, items))


async def patch_run(request: Request) -> Response:
    """Merge tags and new properties into a run, and change what people call it."""
    cloud = cloud_of(request)
    run = _run(cloud, request)
    body = await json_body(request)
    tags, properties = _texts(body, "tags"), _texts(body, "properties")
    for key, value in properties.items():
        if run.properties.get(key, value) != value:
            message = f"The property '{key}' of run {run.id} cannot be changed."
            raise HistoryError(400, "BadArgument", message)
    run.tags |= tags
    run.properties |= properties
    run.display_name = body.get("displayName") or run.display_name
    run.description = body.get("description") or run.description
    run.is_archived = bool(body.get("hidden", run.is_archived))
    run.modified_at = cloud.clock.now()
    return JSONResponse(_document(cloud, run))


async def cancel_run(request: Request) -> Response:
    """Ask a run to end."""
    cloud = cloud_of(request)
    run = _run(cloud, request)
    cancel(cloud, cloud.workspace(request), run)
    return JSONResponse(_document(cloud, run))


async def get_experiment(request: Request) -> Response:
    """Return an experiment by its name or id."""
    experiment = _experiment(cloud_of(request).workspace(request), request)
    assert experiment is not None
    return JSONResponse(
        {
            "experimentId": experiment.id,
            "name": experiment.name,
            "description": None,
            "createdUtc": timestamp(experiment.created_at),
            "tags": {},
            "archivedTime": None,
        }
    )


def _run(cloud: Cloud, request: Request) -> Run:
    """Return the run that a path names; it must be of the experiment in the path, if any."""
    workspace = cloud.workspace(request)
    run = _find(workspace, request.path_params["run"])
    experiment = _experiment(workspace, request)
    if experiment is not None and run.experiment.id != experiment.id:
        message = f"Run {run.id} was not found in experiment {experiment.name}."
        raise HistoryError(404, "NotFoundError", message)
    return run


def _find(workspace: Workspace, run_id: str) -> Run:
    run = workspace.runs.get(run_id.lower())
    if run is None:
        raise HistoryError(404, "NotFoundError", f"Run {run_id} was not found.")
    return run


def _experiment(workspace: Workspace, request: Request) -> Experiment | None:
    params = request.path_params
    name, guid = params.get("experiment"), params.get("experiment_id")
    if name is None and guid is None:
        return None
    for experiment in workspace.experiments.values():
        if experiment.id == guid or experiment.name.lower() == str(name).lower():
            return experiment
    raise HistoryError(404, "NotFoundError", f"Experiment {name or guid} was not found.")


def _document(cloud: Cloud, run: Run) -> Json:
    return _common(cloud, run) | {
        "createdUtc": timestamp(run.created_at),
        "experimentId": run.experiment_id,
        "displayName": run.display_name,
        "name": None,
        "dataContainerId": f"dcid.{run.id}",
        "description": run.description,
        "hidden": run.is_archived,
        "runType": run.run_type,
        "actionUris": {},
        "inputs": None,
        "outputs": None,
    }


def _details(cloud: Cloud, run: Run) -> Json:
    return _common(cloud, run) | {
        "createdTimeUtc": timestamp(run.created_at),
        "runDefinition": None,
        "logFiles": _logs(cloud, run),
        "inputDatasets": [],
        "outputDatasets": [],
    }


def _logs(cloud: Cloud, run: Run) -> Json:
    """Return the addresses of the logs of a run that has ended, which need no token."""
    if not run.is_over or cloud.settings.storage is None:
        return {}
    token = cloud.storage.sign_container(ARTIFACT_CONTAINER, _LOGS_TIME)
    address = f"https://{cloud.storage.host}/{ARTIFACT_CONTAINER}/{artifact_path(run.id, LOG)}"
    return {LOG: f"{address}?{token}"}


def _common(cloud: Cloud, run: Run) -> Json:
    user = {"userObjectId": run.created_by, "userName": run.created_by, "upn": None}
    duration = run.ended_at - run.started_at if run.ended_at and run.started_at else None
    return {
        "runNumber": run.number,
        "rootRunId": run.root_id,
        "runId": run.id,
        "parentRunId": run.parent_id,
        "status": run.status,
        "startTimeUtc": timestamp(run.started_at) if run.started_at else None,
        "endTimeUtc": timestamp(run.ended_at) if run.ended_at else None,
        "lastModifiedUtc": timestamp(run.modified_at or run.created_at),
        "duration": str(duration) if duration else None,
        "createdBy": user,
        "userId": run.created_by,
        "error": _error(cloud, run),
        "warnings": None,
        "tags": dict(run.tags),
        "properties": dict(run.properties),
        "parameters": dict(run.parameters),
        "services": {},
        "target": run.properties.get("_azureml.ClusterName"),
    }


def _error(cloud: Cloud, run: Run) -> Json | None:
    if run.error is None:
        return None
    usual: Json = {
        "severity": None,
        "messageFormat": None,
        "messageParameters": {},
        "referenceCode": None,
        "detailsUri": None,
        "target": None,
        "details": [],
        "innerError": None,
    }
    return {
        "error": usual | run.error,
        "correlation": None,
        "environment": cloud.settings.location,
        "location": cloud.settings.location,
        "time": timestamp(run.ended_at or run.created_at),
        "componentName": "globaljobdispatcher",
    }


def _texts(body: Json, key: str) -> dict[str, str]:
    value = body.get(key) or {}
    if not isinstance(value, dict):
        raise HistoryError(400, "BadArgument", f"'{key}' must be an object.")
    return {name: str(text) for name, text in value.items() if text is not None}


def _page(request: Request, base: str, items: Sequence[Json]) -> Json:
    """Return one page, with the token of the next and its absolute address."""
    query = {key.lower(): value for key, value in request.query_params.items()}
    try:
        skip = int(query.get("$continuationtoken") or 0)
        size = min(_PAGE, int(query.get("$top") or _PAGE))
    except ValueError:
        message = "$top and $continuationtoken must be whole numbers."
        raise HistoryError(400, "BadArgument", message) from None
    answer: Json = {"value": list(items[skip : skip + size])}
    if skip + size < len(items):
        token = str(skip + size)
        url = request.url.include_query_params(**{"$continuationtoken": token})
        answer |= {"continuationToken": token, "nextLink": f"{base}{url.path}?{url.query}"}
    return answer


def _scoped(path: str, handler: Handler, method: str = "GET") -> list[Route]:
    scopes = ("", "/experiments/{experiment}", "/experimentids/{experiment_id}")
    return [Route(f"{_BASE}{scope}{path}", handler, methods=[method]) for scope in scopes]


routes = [
    *_scoped("/runs/{run}", get_run),
    *_scoped("/runs/{run}", patch_run, "PATCH"),
    *_scoped("/runs/{run}/details", get_details),
    *_scoped("/runs/{run}/children", list_children),
    *_scoped("/runs/{run}/cancel", cancel_run, "POST"),
    Route(f"{_BASE}/rundata", get_run_data, methods=["POST"]),
    Route(f"{_BASE}/experiments/{{experiment}}", get_experiment, methods=["GET"]),
    Route(f"{_BASE}/experimentids/{{experiment_id}}", get_experiment, methods=["GET"]),
]
