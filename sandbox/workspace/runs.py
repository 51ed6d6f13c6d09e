"""The engine that lets runs live: from status to status, step by step, raising their events."""

from collections.abc import Generator

from sandbox.workspace.agenda import Story
from sandbox.workspace.cloud import Cloud
from sandbox.workspace.entities import Workspace
from sandbox.workspace.events import run_completed, run_status_changed
from sandbox.workspace.run_entities import (
    COMMAND_RUN,
    PIPELINE_RUN,
    STEP_RUN,
    Experiment,
    Metric,
    Run,
    RunPlan,
    new_experiment,
)

__all__ = ["COMMAND_RUN", "PIPELINE_RUN", "STEP_RUN", "Run", "RunPlan", "cancel", "start"]

#: Emulated seconds in every status but Running.
PHASE_SECONDS = 1.0
#: The share of Running after which metrics and late tags are there.
_LATE = 0.9

_WAY_TO_RUNNING = ("Starting", "Preparing", "Queued")
_PIPELINES_WAY_TO_RUNNING = ("Preparing",)

SOME_STEPS_FAILED = {
    "code": "UserError",
    "message": "Pipeline has some failed steps. See child run or execution logs for more details.",
}
_USUAL_ERROR = {
    "code": "UserError",
    "message": "Execution failed. User process '/bin/bash' exited with status code 1.",
}


def start(cloud: Cloud, workspace: Workspace, plan: RunPlan) -> Run:
    """Start a run, which then lives by itself; raises ValueError if the id is taken."""
    run = _create(cloud, workspace, plan, None)
    run.entry = cloud.agenda.begin(_live(cloud, workspace, plan, run))
    return run


def cancel(cloud: Cloud, workspace: Workspace, run: Run) -> None:
    """Ask a run to end, with its steps; one that has ended, or was asked before, stays as it is."""
    if run.is_over or run.status == "CancelRequested":
        return
    root = workspace.runs[run.root_id.lower()]
    active = next(r for r in reversed(list(run.family())) if not r.is_over)
    is_on_its_way = active.status == "CancelRequested"
    for member in run.family():
        if not member.is_over and member.status != "CancelRequested":
            _enter(cloud, workspace, member, "CancelRequested")
    if not is_on_its_way and root.entry is not None:
        root.entry = cloud.agenda.interrupt(root.entry, _CancelRequested())


def experiment_of(cloud: Cloud, workspace: Workspace, name: str) -> Experiment:
    """Return the experiment of that name, which is made if there is none."""
    existing = workspace.experiments.get(name.lower())
    if existing is None:
        existing = new_experiment(workspace.guid, name, cloud.agenda.now())
        workspace.experiments[name.lower()] = existing
    return existing


class _CancelRequested(Exception):
    """A request to end the run."""


def _create(cloud: Cloud, workspace: Workspace, plan: RunPlan, parent: Run | None) -> Run:
    if plan.id.lower() in workspace.runs:
        raise ValueError(f"there is a run '{plan.id}' already")
    at = cloud.agenda.now()
    run = Run(
        id=plan.id,
        root_id=parent.root_id if parent else plan.id,
        parent_id=parent.id if parent else None,
        number=len(workspace.runs) + 1,
        experiment=experiment_of(cloud, workspace, plan.experiment),
        display_name=plan.display_name or plan.id,
        run_type=plan.run_type,
        created_at=at,
        modified_at=at,
        created_by=plan.created_by,
        tags=dict(plan.tags),
        properties=dict(plan.properties),
        parameters=dict(plan.parameters),
        settings=plan.settings,
    )
    workspace.runs[run.id.lower()] = run
    if parent:
        parent.children.append(run)
    return run


def _live(cloud: Cloud, workspace: Workspace, plan: RunPlan, run: Run) -> Story:
    """Play a run from its first status to its last."""
    try:
        outcome, error = yield from _work(cloud, workspace, plan, run)
    except _CancelRequested:
        outcome, error = "Canceled", None
        yield PHASE_SECONDS
    run.error = error
    run.ended_at = cloud.agenda.now()
    _enter(cloud, workspace, run, outcome)
    if outcome == "Completed":
        cloud.events.publish(run_completed(workspace.arm_id, run, cloud.agenda.now()))
    if plan.on_end:
        plan.on_end(run)


def _work(
    cloud: Cloud, workspace: Workspace, plan: RunPlan, run: Run
) -> Generator[float, None, tuple[str, dict[str, str] | None]]:
    """Play a run up to its last status, and return that with the error of a failure."""
    is_whole = bool(plan.steps) or run.is_pipeline
    for status in _PIPELINES_WAY_TO_RUNNING if is_whole else _WAY_TO_RUNNING:
        yield PHASE_SECONDS
        _enter(cloud, workspace, run, status)
    yield PHASE_SECONDS if is_whole else plan.queued
    run.started_at = cloud.agenda.now()
    _enter(cloud, workspace, run, "Running")
    for step in plan.steps:
        child = _create(cloud, workspace, step, run)
        yield from _live(cloud, workspace, step, child)
        if run.status == "CancelRequested":
            return "Canceled", None
        if child.status != "Completed" and not plan.keeps_going:
            break
    if any(child.status != "Completed" for child in run.children):
        _log(cloud, plan, run)
        if plan.outcome == "Canceled":
            return "Canceled", None
        return "Failed", dict(SOME_STEPS_FAILED)
    running = PHASE_SECONDS if plan.steps else plan.seconds
    yield running * _LATE
    _log(cloud, plan, run)
    yield running * (1 - _LATE)
    if plan.outcome != "Completed":
        return plan.outcome, _error_of(plan)
    _enter(cloud, workspace, run, "Finalizing")
    yield PHASE_SECONDS
    return "Completed", None


def _error_of(plan: RunPlan) -> dict[str, str] | None:
    if plan.outcome != "Failed":
        return None
    return dict(plan.error or (SOME_STEPS_FAILED if plan.steps else _USUAL_ERROR))


def _log(cloud: Cloud, plan: RunPlan, run: Run) -> None:
    at = cloud.agenda.now()
    run.metrics += [Metric(key=key, value=value, at=at) for key, value in plan.metrics.items()]
    run.tags |= plan.late_tags
    run.modified_at = at


def _enter(cloud: Cloud, workspace: Workspace, run: Run, status: str) -> None:
    at = cloud.agenda.now()
    run.status = status
    run.modified_at = at
    cloud.events.publish(run_status_changed(workspace.arm_id, run, at))
