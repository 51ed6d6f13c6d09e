"""Jobs in Resource Manager: submitted, read, listed, changed a little, cancelled."""

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import (
    PROVIDER,
    ArmError,
    ArmRoute,
    Json,
    has_tags,
    json_body,
    object_in,
    page,
    system_data,
    tags_in,
    user_error,
)
from sandbox.workspace.assets import is_in_view
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Workspace
from sandbox.workspace.job_plans import plan_job
from sandbox.workspace.run_entities import Run
from sandbox.workspace.runs import PHASE_SECONDS, cancel, start

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}")
#: Properties that a second PUT may change, and those that only the service sets.
_CHANGEABLE = {"description", "tags", "displayName", "properties", "isArchived"}
_READ_ONLY = {"status", "services", "parentJobName"}


async def list_jobs(request: Request) -> Response:
    """List the jobs that were submitted, newest first; steps are no jobs."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    query = request.query_params
    items = [
        document
        for run in reversed(workspace.runs.values())
        if run.parent_id is None and is_in_view(request, run.is_archived)
        if has_tags(query.get("tag"), run.tags)
        and has_tags(query.get("properties"), run.properties)
        for document in [_document(cloud, workspace, run)]
        if query.get("jobType") in {None, document["properties"]["jobType"]}
    ]
    return JSONResponse(page(request, cloud.url, items))


async def get_job(request: Request) -> Response:
    """Return one job; of a step there is nothing but its name, the rest is in run history."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    return JSONResponse(_document(cloud, workspace, _run(workspace, request)))


async def put_job(request: Request) -> Response:
    """Submit a job, or change what may change of one."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    submitted = _drop_empty(object_in(await json_body(request), "properties"))
    job_id = request.path_params["job"]
    existing = workspace.runs.get(job_id.lower())
    if existing is not None:
        _change(cloud, existing, submitted)
        return JSONResponse(_document(cloud, workspace, existing))
    if not _NAME.fullmatch(job_id):
        raise user_error(f"'{job_id}' is not a valid name of a job.", "name")
    plan = plan_job(cloud, workspace, job_id, submitted, request.state.caller)
    run = start(cloud, workspace, plan)
    run.description = submitted.get("description")
    return JSONResponse(_document(cloud, workspace, run), 201)


async def delete_job(request: Request) -> Response:
    """Forget a job that has ended, with its steps."""
    workspace = cloud_of(request).workspace(request)
    run = workspace.runs.get(request.path_params["job"].lower())
    if run is None:
        return Response(status_code=204)
    if run.parent_id is not None or not run.is_over:
        raise user_error(f"The job '{run.id}' has not ended, or is a step of another.")
    for member in list(run.family()):
        del workspace.runs[member.id.lower()]
    return Response(status_code=200)


async def cancel_job(request: Request) -> Response:
    """Ask a job to end: 202 with the address of its status, or 200 if it has ended."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    run = _run(workspace, request)
    if run.is_over:
        return Response(status_code=200)
    cancel(cloud, workspace, run)
    operation = cloud.operations.begin(
        "job_cancel",
        workspace.name,
        f"job/{run.id}".lower(),
        seconds=PHASE_SECONDS,
        finish=lambda _: None,
        result=lambda: None,
    )
    headers = cloud.headers_of(request, operation)
    del headers["Azure-AsyncOperation"]
    return Response(status_code=202, headers=headers)


def _run(workspace: Workspace, request: Request) -> Run:
    name = request.path_params["job"]
    run = workspace.runs.get(name.lower())
    if run is None:
        raise ArmError(404, "UserError", f"Job {name} not found.", target=name)
    return run


def _change(cloud: Cloud, run: Run, submitted: Json) -> None:
    if run.parent_id is not None:
        raise user_error(f"The job '{run.id}' is a step of another and cannot be changed.")
    fixed = _CHANGEABLE | _READ_ONLY
    names = (submitted.keys() | run.settings.keys()) - fixed
    changed = [n for n in sorted(names) if submitted.get(n) != run.settings.get(n)]
    properties = object_in(submitted, "properties")
    if any(run.properties.get(key, value) != value for key, value in properties.items()):
        changed.append("properties")
    if changed:
        titles = ", ".join(name[0].upper() + name[1:] for name in changed)
        raise user_error(
            "A job with this name already exists. If you are trying to create a new job, use a "
            "different name. If you are trying to update an existing job, the existing job's "
            f"{titles} cannot be changed. Only description, tags, displayName, properties, and "
            "isArchived can be updated."
        )
    run.tags |= tags_in(submitted)
    run.properties |= properties
    run.description = submitted.get("description", run.description)
    run.display_name = submitted.get("displayName", run.display_name)
    run.is_archived = bool(submitted.get("isArchived", run.is_archived))
    run.modified_at = cloud.clock.now()


def _document(cloud: Cloud, workspace: Workspace, run: Run) -> Json:
    modified = run.modified_at or run.created_at
    return {
        "id": f"{workspace.arm_id}/jobs/{run.id}",
        "name": run.id,
        "type": f"{PROVIDER}/workspaces/jobs",
        "systemData": system_data(run.created_at, modified, run.created_by),
        "properties": _properties(cloud, workspace, run) if run.parent_id is None else None,
    }


def _properties(cloud: Cloud, workspace: Workspace, run: Run) -> Json:
    tracking = f"{cloud.url.replace('https', 'azureml')}/mlflow/v1.0{workspace.arm_id}?"
    where = workspace.arm_id.replace(f"/providers/{PROVIDER}", "")
    studio = f"https://ml.azure.com/runs/{run.id}?wsid={where}&tid={cloud.settings.tenant}"
    return (
        (run.settings or _settings_of(run))
        | {"jobType": "Pipeline" if run.is_pipeline else "Command"}
        | {
            "description": run.description,
            "tags": dict(run.tags),
            "properties": dict(run.properties),
            "displayName": run.display_name,
            "experimentName": run.experiment.name,
            "isArchived": run.is_archived,
            "status": run.status,
            "services": {
                "Tracking": {"jobServiceType": "Tracking", "endpoint": tracking},
                "Studio": {"jobServiceType": "Studio", "endpoint": studio},
            },
        }
    )


def _settings_of(run: Run) -> Json:
    """Return a job's document as if it had been submitted here."""
    inputs = {
        name: {"jobInputType": "literal", "value": value} for name, value in run.parameters.items()
    }
    if run.is_pipeline:
        return {"inputs": inputs, "outputs": {}, "jobs": {}, "settings": {}}
    return {"inputs": inputs, "outputs": {}, "command": "", "environmentId": ""}


def _drop_empty(body: Json) -> Json:
    """Leave out members without a value, because clients send null for them."""
    return {key: value for key, value in body.items() if value not in (None, {})}


#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", "/jobs", list_jobs),
    ("GET", "/jobs/{job}", get_job),
    ("PUT", "/jobs/{job}", put_job),
    ("DELETE", "/jobs/{job}", delete_job),
    ("POST", "/jobs/{job}/cancel", cancel_job),
]
