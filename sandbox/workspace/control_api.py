"""The control surface: programs the emulator, over plain HTTP."""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.workspace.arm import ArmError, Json, json_body
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.run_entities import Run


async def list_rules(request: Request) -> Response:
    """List the rules, oldest first."""
    return JSONResponse({"value": cloud_of(request).rules.documents()})


async def put_rule(request: Request) -> Response:
    """Set or replace a rule."""
    body = await json_body(request)
    try:
        rule = cloud_of(request).rules.put(request.path_params["rule"], body)
    except ValueError as problem:
        raise _wrong(problem) from problem
    return JSONResponse(rule.document())


async def delete_rule(request: Request) -> Response:
    """Remove a rule."""
    cloud_of(request).rules.remove(request.path_params["rule"])
    return Response(status_code=204)


async def reset(request: Request) -> Response:
    """Empty the workspaces and forget rules, logs and operations."""
    cloud = cloud_of(request)
    cloud.reset()
    await cloud.storage.clear()
    return Response(status_code=204)


async def list_requests(request: Request) -> Response:
    """List the ARM requests since the start, or since they were cleared."""
    return JSONResponse({"value": cloud_of(request).requests})


async def clear_requests(request: Request) -> Response:
    """Forget the ARM requests so far."""
    cloud_of(request).requests.clear()
    return Response(status_code=204)


async def list_events(request: Request) -> Response:
    """List the events raised, and how far each got."""
    return JSONResponse({"value": [asdict(event) for event in cloud_of(request).events.log]})


async def list_measurements(request: Request) -> Response:
    """List what each deployment answered, by the minute or `seconds`."""
    try:
        span = max(1, int(request.query_params.get("seconds", "60")))
    except ValueError as problem:
        raise _wrong(problem) from problem
    return JSONResponse({"value": list(cloud_of(request).measurements.documents(span))})


async def list_runs(request: Request) -> Response:
    """List all runs, steps too, in the order in which they were created."""
    cloud = cloud_of(request)
    runs = [_run(w.name, run) for w in cloud.workspaces() for run in w.runs.values()]
    return JSONResponse({"value": runs})


async def get_clock(request: Request) -> Response:
    """Return the emulated time and its speed."""
    return JSONResponse(_clock(cloud_of(request)))


async def put_clock(request: Request) -> Response:
    """Change the speed, jump ahead, or both; `{"speed": 100, "advance": 300}`."""
    cloud = cloud_of(request)
    body = await json_body(request)
    try:
        if "speed" in body:
            cloud.clock.run_at(body["speed"])
        if "advance" in body:
            cloud.clock.advance(body["advance"])
    except (TypeError, ValueError) as problem:
        raise _wrong(problem) from problem
    cloud.settle()
    cloud.wake()
    return JSONResponse(_clock(cloud))


def _run(workspace: str, run: Run) -> Json:
    moments = {"createdAt": run.created_at, "startedAt": run.started_at, "endedAt": run.ended_at}
    return {
        "workspace": workspace,
        "id": run.id,
        "parentId": run.parent_id,
        "rootId": run.root_id,
        "experiment": run.experiment.name,
        "displayName": run.display_name,
        "runType": run.run_type,
        "status": run.status,
        "tags": run.tags,
        "properties": run.properties,
        "parameters": run.parameters,
        "metrics": {metric.key: str(metric.value) for metric in run.metrics},
        "error": run.error,
    } | {name: moment.isoformat() if moment else None for name, moment in moments.items()}


def _clock(cloud: Cloud) -> Json:
    return {"now": cloud.clock.now().isoformat(), "speed": cloud.clock.speed}


def _wrong(problem: Exception) -> ArmError:
    return ArmError(400, "BadArgument", str(problem))


routes = [
    Route("/control/rules", list_rules, methods=["GET"]),
    Route("/control/rules/{rule}", put_rule, methods=["PUT"]),
    Route("/control/rules/{rule}", delete_rule, methods=["DELETE"]),
    Route("/control/reset", reset, methods=["POST"]),
    Route("/control/requests", list_requests, methods=["GET"]),
    Route("/control/requests/clear", clear_requests, methods=["POST"]),
    Route("/control/events", list_events, methods=["GET"]),
    Route("/control/measurements", list_measurements, methods=["GET"]),
    Route("/control/runs", list_runs, methods=["GET"]),
    Route("/control/clock", get_clock, methods=["GET"]),
    Route("/control/clock", put_clock, methods=["PUT"]),
]
