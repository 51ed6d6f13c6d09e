"""Schedules of model monitors and of jobs: their life, and what one does when it is triggered.

No schedule fires by the clock: it is triggered by the service's own `trigger` or by the control
surface.
"""

import re
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.workspace.arm import (
    ArmRoute,
    Json,
    bad_argument,
    has_tags,
    json_body,
    not_emulated,
    not_found,
    object_in,
    page,
    tags_in,
)
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Workspace
from sandbox.workspace.job_plans import plan_job
from sandbox.workspace.monitor_windows import moment_in, run_window, workspace_named
from sandbox.workspace.operations import Operation
from sandbox.workspace.runs import start
from sandbox.workspace.schedule_entities import Schedule

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}")
_ACTIONS = {"createmonitor": "monitorDefinition", "createjob": "jobDefinition"}
#: Other actions of schedules in Azure.
_OTHER_ACTIONS = {"importdata", "invokebatchendpoint"}
_TRIGGERS = {"cron": ("expression",), "recurrence": ("frequency", "interval")}


async def list_schedules(request: Request) -> Response:
    """List the schedules of a workspace by name, by default the enabled ones."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    view = request.query_params.get("listViewType", "EnabledOnly").lower()
    items = [
        schedule.document(workspace.arm_id)
        for _, schedule in sorted(workspace.schedules.items())
        if view == "all" or schedule.is_enabled == (view == "enabledonly")
        if has_tags(request.query_params.get("tags"), schedule.settings.get("tags") or {})
    ]
    return JSONResponse(page(request, cloud.url, items))


async def get_schedule(request: Request) -> Response:
    """Return one schedule."""
    workspace = cloud_of(request).workspace(request)
    return JSONResponse(schedule_of(workspace, _name(request)).document(workspace.arm_id))


async def put_schedule(request: Request) -> Response:
    """Create a schedule, or replace all that it is."""
    properties = object_in(await json_body(request), "properties")
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    name = _name(request)
    if not _NAME.fullmatch(name):
        raise bad_argument(f"'{name}' is not a valid schedule name.", "name")
    _check(properties)
    existing = workspace.schedules.get(name.lower())
    now = cloud.clock.now()
    schedule = existing or Schedule(
        workspace=workspace.name,
        name=name,
        settings={},
        created_at=now,
        modified_at=now,
        created_by=request.state.caller,
    )
    cloud.operations.refuse_if_busy(workspace.name, schedule.entity)
    schedule.settings = properties
    schedule.modified_at = now
    schedule.state = "Updating" if existing else "Creating"
    workspace.schedules[name.lower()] = schedule

    def finish(operation: Operation) -> None:
        schedule.state = operation.outcome

    kind = "schedule_update" if existing else "schedule_create"
    headers = cloud.begin(
        request, kind, schedule, finish, lambda: schedule.document(workspace.arm_id)
    )
    del headers["Location"]
    document = schedule.document(workspace.arm_id)
    return JSONResponse(document, 200 if existing else 201, headers=headers)


async def delete_schedule(request: Request) -> Response:
    """Delete a schedule that is disabled."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    schedule = workspace.schedules.get(_name(request).lower())
    if schedule is None:
        return Response(status_code=204)
    if schedule.is_enabled:
        message = f"Schedule '{schedule.name}' is enabled. Disable it before you delete it."
        raise bad_argument(message, "isEnabled")
    cloud.operations.refuse_if_busy(workspace.name, schedule.entity)

    def finish(operation: Operation) -> None:
        schedule.state = operation.outcome
        if operation.outcome == "Succeeded":
            del workspace.schedules[schedule.name.lower()]

    schedule.state = "Deleting"
    headers = cloud.begin(request, "schedule_delete", schedule, finish, lambda: None)
    return Response(status_code=202, headers=headers)


async def trigger_schedule(request: Request) -> Response:
    """Do the action of a schedule once, as at `scheduleTime`."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    schedule = schedule_of(workspace, _name(request))
    due = (await json_body(request)).get("scheduleTime")
    job = fire(cloud, workspace, schedule, {} if due is None else {"at": due})
    return JSONResponse({"submissionId": job, "scheduleActionType": schedule.action["actionType"]})


def schedule_of(workspace: Workspace, name: str) -> Schedule:
    """Return a schedule by its name, or raise 404."""
    schedule = workspace.schedules.get(name.lower())
    if schedule is None:
        raise not_found("Schedule", name)
    return schedule


def fire(cloud: Cloud, workspace: Workspace, schedule: Schedule, options: Json) -> str:
    """Do the action of a schedule as at `at`, or now; returns the name of the run."""
    if not schedule.is_enabled:
        raise bad_argument(f"Schedule '{schedule.name}' is not enabled.", "isEnabled")
    try:
        if schedule.is_monitor:
            return str(run_window(cloud, workspace, schedule.name, options)["run"])
        due = moment_in(options, "at") or cloud.agenda.now()
    except (TypeError, ValueError) as problem:
        raise bad_argument(str(problem)) from problem
    job = schedule.job | {"displayName": f"{schedule.name}-{due:%Y%m%dT%H%M%SZ}"}
    plan = plan_job(cloud, workspace, str(uuid.uuid4()), job, schedule.created_by)
    run = start(cloud, workspace, plan)
    schedule.runs.append(run.id)
    return run.id


async def trigger_by_control(request: Request) -> Response:
    """Do the action of a schedule once, by the control surface; answers with the job's name."""
    body = await json_body(request)
    cloud = cloud_of(request)
    workspace = workspace_named(cloud, body)
    job = fire(cloud, workspace, schedule_of(workspace, _name(request)), body)
    return JSONResponse({"job": job})


def _check(properties: Json) -> None:
    action = object_in(properties, "action")
    kind = str(action.get("actionType")).lower()
    if kind in _OTHER_ACTIONS:
        raise not_emulated(f"The action '{action['actionType']}' is", "action")
    if kind not in _ACTIONS:
        raise bad_argument(f"The action '{action.get('actionType')}' is unknown.", "action")
    if not object_in(action, _ACTIONS[kind]):
        raise bad_argument(f"'action.{_ACTIONS[kind]}' is required.", "action")
    trigger = object_in(properties, "trigger")
    needed = _TRIGGERS.get(str(trigger.get("triggerType")).lower())
    if needed is None or any(not trigger.get(key) for key in needed):
        raise bad_argument("A Cron or a Recurrence trigger is required.", "trigger")
    tags_in(properties)


def _name(request: Request) -> str:
    name: str = request.path_params["schedule"]
    return name


_SCHEDULE = "/schedules/{schedule}"

#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", "/schedules", list_schedules),
    ("GET", _SCHEDULE, get_schedule),
    ("PUT", _SCHEDULE, put_schedule),
    ("DELETE", _SCHEDULE, delete_schedule),
    ("POST", f"{_SCHEDULE}/trigger", trigger_schedule),
]

#: Paths of the control surface.
control_routes = [
    Route("/control/schedules/{schedule}/trigger", trigger_by_control, methods=["POST"]),
]
