"""MLflow's tracking API over the runs of a workspace: their metrics, and the search for runs."""

from collections.abc import Callable, Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.workspace.arm import PROVIDER, ArmError, Json, json_body
from sandbox.workspace.cloud import cloud_of
from sandbox.workspace.entities import Workspace
from sandbox.workspace.mlflow_filters import parse_filter
from sandbox.workspace.run_entities import Experiment, Metric, Run

_MOST = 50000
_STATUSES = {
    "Running": "RUNNING",
    "Finalizing": "RUNNING",
    "CancelRequested": "RUNNING",
    "Completed": "FINISHED",
    "Failed": "FAILED",
    "Canceled": "KILLED",
}
_BASE = (
    "/mlflow/v1.0/subscriptions/{subscription}/resourceGroups/{group}"
    f"/providers/{PROVIDER}/workspaces/{{workspace}}/api/2.0/mlflow"
)

type Key = Callable[[Run], tuple[bool, object]]


class MlflowError(ArmError):
    """A refusal, as MLflow words it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.body = {"error_code": code, "message": message}


async def get_run(request: Request) -> Response:
    """Return one run with the last value of each metric."""
    run = _run(cloud_of(request).workspace(request), request)
    return JSONResponse({"run": _document(run)})


async def get_history(request: Request) -> Response:
    """Return all values of one metric of a run."""
    run = _run(cloud_of(request).workspace(request), request)
    key = request.query_params.get("metric_key")
    return JSONResponse({"metrics": [_metric(m) for m in run.metrics if m.key == key]})


async def search_runs(request: Request) -> Response:
    """Return the runs of experiments that a filter lets through, newest first by default."""
    workspace = cloud_of(request).workspace(request)
    body = await json_body(request)
    experiments = {str(guid).lower() for guid in body.get("experiment_ids") or []}
    try:
        is_wanted = parse_filter(str(body.get("filter") or ""))
        runs = [
            run
            for run in reversed(workspace.runs.values())
            if run.experiment.id in experiments
            if _is_in_view(run, str(body.get("run_view_type") or "ACTIVE_ONLY"))
            if is_wanted(_document(run))
        ]
        for key, is_descending in reversed(_orders(body.get("order_by") or [])):
            runs.sort(key=key, reverse=is_descending)
        return JSONResponse(_page(body, runs))
    except ValueError as problem:
        raise MlflowError(400, "INVALID_PARAMETER_VALUE", str(problem)) from problem


async def get_experiment(request: Request) -> Response:
    """Return an experiment by its id."""
    guid = request.query_params.get("experiment_id", "")
    experiments = cloud_of(request).workspace(request).experiments.values()
    experiment = next((e for e in experiments if e.id == guid.lower()), None)
    if experiment is None:
        raise _absent(f"No Experiment with id={guid} exists")
    return JSONResponse({"experiment": _experiment(experiment)})


async def get_experiment_by_name(request: Request) -> Response:
    """Return an experiment by its name."""
    name = request.query_params.get("experiment_name", "")
    experiment = cloud_of(request).workspace(request).experiments.get(name.lower())
    if experiment is None:
        raise _absent(f"Could not find experiment with name '{name}'")
    return JSONResponse({"experiment": _experiment(experiment)})


def _absent(message: str) -> MlflowError:
    return MlflowError(404, "RESOURCE_DOES_NOT_EXIST", message)


def _run(workspace: Workspace, request: Request) -> Run:
    query = request.query_params
    run_id = query.get("run_id") or query.get("run_uuid")
    if not run_id:
        message = "Missing value for required parameter 'run_id'."
        raise MlflowError(400, "INVALID_PARAMETER_VALUE", message)
    run = workspace.runs.get(run_id.lower())
    if run is None:
        raise _absent(f"Run with id={run_id} not found")
    return run


def _is_in_view(run: Run, view: str) -> bool:
    return view.upper() == "ALL" or run.is_archived == (view.upper() == "DELETED_ONLY")


def _orders(orders: Sequence[str]) -> list[tuple[Key, bool]]:
    """Read `attributes.start_time DESC` and the like; what has no value comes last."""
    parsed: list[tuple[Key, bool]] = []
    for order in orders:
        words = order.split()
        entity, _, name = words[0].rpartition(".")
        direction = words[1].upper() if len(words) > 1 else "ASC"
        if len(words) > 2 or direction not in {"ASC", "DESC"}:
            raise ValueError(f"Invalid order_by clause '{order}'")
        if entity == "metrics":
            raise ValueError("Ordering by metrics is not supported")
        if entity not in {"", "attribute", "attributes", "attr", "run"}:
            raise ValueError(f"Invalid order_by clause '{order}'")
        if name not in {"start_time", "end_time", "run_name", "status", "run_id"}:
            raise ValueError(f"Invalid order_by attribute '{name}'")
        parsed.append((_key(name, direction == "DESC"), direction == "DESC"))
    return parsed


def _key(name: str, is_descending: bool) -> Key:
    def key(run: Run) -> tuple[bool, object]:
        value = _info(run).get(name)
        return ((value is None) != is_descending, value if value is not None else 0)

    return key


def _page(body: Json, runs: Sequence[Run]) -> Json:
    size, token = int(body.get("max_results", 1000)), body.get("page_token")
    if not 1 <= size <= _MOST:
        raise ValueError(f"max_results must be between 1 and {_MOST}, not {size}")
    skip = int(token) if token else 0
    answer: Json = {"runs": [_document(run) for run in runs[skip : skip + size]]}
    if skip + size < len(runs):
        answer["next_page_token"] = str(skip + size)
    return answer


def _document(run: Run) -> Json:
    own = {
        "mlflow.user": run.created_by,
        "mlflow.runName": run.display_name,
        "mlflow.rootRunId": run.root_id,
    } | ({"mlflow.parentRunId": run.parent_id} if run.parent_id else {})
    last = {metric.key: metric for metric in run.metrics}
    return {
        "info": _info(run),
        "data": {
            "metrics": [_metric(metric) for metric in last.values()],
            "params": _pairs(run.parameters),
            "tags": _pairs(run.tags | own),
        },
    }


def _info(run: Run) -> Json:
    info: Json = {
        "run_id": run.id,
        "run_uuid": run.id,
        "run_name": run.display_name,
        "experiment_id": run.experiment.id,
        "user_id": run.created_by,
        "status": _STATUSES.get(run.status, "SCHEDULED"),
        "start_time": _milliseconds(run.started_at or run.created_at),
        "artifact_uri": f"azureml://experiments/{run.experiment.name}/runs/{run.id}/artifacts",
        "lifecycle_stage": "deleted" if run.is_archived else "active",
    }
    return info | ({"end_time": _milliseconds(run.ended_at)} if run.ended_at else {})


def _experiment(experiment: Experiment) -> Json:
    created = _milliseconds(experiment.created_at)
    return {
        "experiment_id": experiment.id,
        "name": experiment.name,
        "artifact_location": "",
        "lifecycle_stage": "active",
        "creation_time": created,
        "last_update_time": created,
        "tags": [],
    }


def _metric(metric: Metric) -> Json:
    # JSON has no such numbers; protocol buffers write them as text.
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    value = names.get(str(metric.value), metric.value)
    at = _milliseconds(metric.at)
    return {"key": metric.key, "value": value, "timestamp": at, "step": metric.step}


def _pairs(texts: dict[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in texts.items()]


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


routes = [
    Route(f"{_BASE}/runs/get", get_run, methods=["GET"]),
    Route(f"{_BASE}/runs/search", search_runs, methods=["POST"]),
    Route(f"{_BASE}/metrics/get-history", get_history, methods=["GET"]),
    Route(f"{_BASE}/experiments/get", get_experiment, methods=["GET"]),
    Route(f"{_BASE}/experiments/get-by-name", get_experiment_by_name, methods=["GET"]),
]
