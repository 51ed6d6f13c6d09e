"""The findings of a monitor's next run: from its schedule, from a rule, or from the request.

Also the control surface's way to start one, and to raise the event of a dataset monitor (SDK v1).
"""

import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.workspace.arm import ArmError, Json, json_body, object_in
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Workspace
from sandbox.workspace.events import dataset_drift_detected
from sandbox.workspace.monitor_graphs import KINDS
from sandbox.workspace.monitors import Signal, Window, parse_signal, run_monitor
from sandbox.workspace.rules import MonitorFinding, Subject
from sandbox.workspace.schedule_entities import Schedule


def run_window(cloud: Cloud, workspace: Workspace, monitor: str, asked: Json) -> Json:
    """Start the run of a monitor and return its ids; raises ValueError where `asked` is wrong.

    The request goes before the monitor's rule, and the rule before its schedule, which may be
    missing.
    """
    schedule = workspace.schedules.get(monitor.lower())
    subject = Subject(workspace=workspace.name)
    rule = cloud.rules.take(MonitorFinding, subject, monitor=monitor)
    options = (rule.finding if rule else {}) | asked
    signals = (rule.finding.get("signals", {}) if rule else {}) | asked.get("signals", {})
    window = _window(cloud, monitor, schedule, options, signals)
    report = run_monitor(cloud, workspace, window)
    if schedule:
        schedule.runs.append(report["run"])
    return report


def _window(
    cloud: Cloud, monitor: str, schedule: Schedule | None, options: Json, signals: Json
) -> Window:
    at = moment_in(options, "at") or cloud.agenda.now()
    definition = schedule.monitor if schedule else {}
    length, offset = _reach(definition)
    end = moment_in(options, "window_end") or at - offset
    emails = options.get("emails")
    return Window(
        monitor=monitor,
        experiment=str(options.get("experiment") or monitor),
        signals=tuple(_signals(definition, signals)),
        start=moment_in(options, "window_start") or end - length,
        end=end,
        at=at,
        emails=tuple(_emails(definition) if emails is None else emails),
        seconds=float(options.get("seconds", 60)),
        fails_on_breach=bool(options.get("fail_on_breach")),
        repeats=int(options.get("repeat_events", 0)),
        is_whole=bool(options.get("every_step")),
        tells_root=bool(options.get("tell_root", True)),
    )


def _signals(definition: Json, findings: Json) -> Iterable[Signal]:
    """Yield the signals of the schedule, then the others of the request."""
    scheduled = {
        name: _kind(str(signal.get("signalType", "")))
        for name, signal in (definition.get("signals") or {}).items()
    }
    for name in [*scheduled, *(name for name in findings if name not in scheduled)]:
        yield parse_signal(name, findings.get(name, []), scheduled.get(name))


def _kind(signal_type: str) -> str | None:
    """Return the kind that the contract calls, for example, `DataDrift`."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", signal_type).lower()
    return kind if kind in KINDS else None


def _emails(definition: Json) -> list[str]:
    # Preview versions of the API leave the plural out.
    settings = _either(definition, "alertNotificationSettings", "alertNotificationSetting")
    emails = _either(settings, "emailNotificationSettings", "emailNotificationSetting")
    return emails.get("emails") or []


def _either(document: Json, key: str, other: str) -> Json:
    return document.get(key) or document.get(other) or {}


def _reach(definition: Json) -> tuple[timedelta, timedelta]:
    """Return how long the monitor's trailing windows are, and how far back from now they end."""
    for signal in (definition.get("signals") or {}).values():
        production = signal.get("productionData") or {}
        for data in production if isinstance(production, list) else [production]:
            if "windowSize" in data:
                return _days(data["windowSize"], 1), _days(data.get("windowOffset"), 0)
    return timedelta(days=1), timedelta()


def _days(window: Any, usual: int) -> timedelta:
    """Read an ISO 8601 duration of whole days; the usual number for anything else."""
    match = re.fullmatch(r"P(\d+)D", str(window))
    return timedelta(days=int(match[1]) if match else usual)


def moment_in(options: Json, key: str) -> datetime | None:
    """Return a moment in ISO 8601, None if there is none; raises ValueError."""
    moment_text = options.get(key)
    if moment_text is None:
        return None
    try:
        moment = datetime.fromisoformat(moment_text)
    except TypeError as problem:
        raise ValueError(f"{key}: {problem}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def post_monitor_run(request: Request) -> Response:
    """Start the run of a monitor, which need not have a schedule; answers with the runs' ids."""
    body = await json_body(request)
    cloud = cloud_of(request)
    workspace, monitor = workspace_named(cloud, body), body.pop("monitor", None)
    if not isinstance(monitor, str) or not monitor:
        raise _wrong("'monitor' is required")
    object_in(body, "signals")
    try:
        return JSONResponse(run_window(cloud, workspace, monitor, body), 201)
    except (TypeError, ValueError) as problem:
        raise _wrong(str(problem)) from problem


async def post_dataset_drift(request: Request) -> Response:
    """Raise the event of a dataset monitor (SDK v1) that saw drift; answers with the event."""
    body = await json_body(request)
    cloud = cloud_of(request)
    workspace = workspace_named(cloud, body)
    now = cloud.agenda.now()
    try:
        end = moment_in(body, "window_end") or now.replace(minute=0, second=0, microsecond=0)
        data = _dataset_drift(
            body, moment_in(body, "window_start") or end - timedelta(days=1), end, now
        )
    except (TypeError, ValueError) as problem:
        raise _wrong(str(problem)) from problem
    event = dataset_drift_detected(workspace.arm_id, data, now)
    for _ in range(1 + int(body.get("repeat_events", 0))):
        cloud.events.publish(event)
    return JSONResponse(event, 201)


def _dataset_drift(options: Json, start: datetime, end: datetime, now: datetime) -> Json:
    name = str(options.get("name", "drift-monitor"))
    drift_id = str(options.get("id") or uuid.uuid5(uuid.NAMESPACE_URL, f"datadrift/{name}"))
    return {
        "dataDriftId": drift_id,
        "dataDriftName": name,
        "runId": str(options.get("run_id") or f"{drift_id}_{int(now.timestamp() * 1000)}"),
        "baseDatasetId": str(options.get("base_dataset") or uuid.uuid4()),
        "targetDatasetId": str(options.get("target_dataset") or uuid.uuid4()),
        "driftCoefficient": float(options.get("coefficient", 0.5)),
        "startTime": start.isoformat(),
        "endTime": end.isoformat(),
    }


def workspace_named(cloud: Cloud, body: Json) -> Workspace:
    """Take the workspace's name out of a body and return it, by default the first one's."""
    name = body.pop("workspace", None)
    for workspace in cloud.workspaces():
        if name is None or workspace.name.lower() == str(name).lower():
            return workspace
    raise _wrong(f"there is no workspace '{name}'")


def _wrong(problem: str) -> ArmError:
    return ArmError(400, "BadArgument", problem)


#: Paths of the control surface.
control_routes = [
    Route("/control/monitor-runs", post_monitor_run, methods=["POST"]),
    Route("/control/dataset-drifts", post_dataset_drift, methods=["POST"]),
]
