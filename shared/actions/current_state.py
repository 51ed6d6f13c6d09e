"""Reads an event's model or run as it is now: an event is a hint, and may be forged."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.base.errors import ModelAbsent, RunAbsent, Superseded
from shared.events.model import Event, Model, ModelRegistered, Run, RunCompleted, RunStatusChanged

if TYPE_CHECKING:
    from shared.workspaces.model import ModelVersion, RunRecord
    from shared.workspaces.ports import Models, Runs, Workspaces

#: How long after its event a missing model or run may still appear.
_YOUNG = timedelta(minutes=10)


def current_model(
    workspaces: "Models", event: ModelRegistered, now: datetime
) -> tuple["ModelVersion", ModelRegistered]:
    """Return the event's model, and the event as it would be sent now.

    Raises: ModelAbsent if waiting can help, Superseded if it can't, and WorkspaceError.
    """
    found = workspaces.get_model(event.workspace, event.model.name, event.model.version)
    if found is None:
        name = f"model {event.model.name} {event.model.version}"
        if is_young(event, now):
            raise ModelAbsent(f"{name} was registered just now, and can't be read yet")
        raise Superseded(f"{name} is no longer in the workspace")
    model = Model(
        name=found.name, version=found.version, tags=found.tags, properties=found.properties
    )
    return found, replace(event, model=model)


def current_run[E: (RunCompleted, RunStatusChanged)](
    workspaces: "Runs", event: E, now: datetime
) -> tuple["RunRecord", E]:
    """Return the event's run, and the event as it would be sent now.

    Raises: RunAbsent if waiting can help, Superseded if it can't, and WorkspaceError.
    """
    found = workspaces.get_run(event.workspace, event.run.id)
    if found is None:
        if is_young(event, now):
            raise RunAbsent(f"run {event.run.id} was reported just now, and can't be read yet")
        raise Superseded(f"run {event.run.id} is no longer in the workspace")
    run = replace(
        with_place(event.run, found),
        step=found.step or event.run.step,
        status=found.status,
        tags=found.tags,
        properties=found.properties,
    )
    return found, replace(event, run=run)


def with_place(run: Run, found: "RunRecord") -> Run:
    """Return an event's run with its place in the pipeline as run history has it.

    Not every event of a step says that it is one; run history does.
    """
    root = found.root_id or run.root_id
    return replace(run, root_id=root, is_root=root == run.id)


def current_event(workspaces: "Workspaces", event: Event, now: datetime) -> Event:
    """Return the event as it would be sent now; one without a model or a run as it is.

    Raises: ModelAbsent, RunAbsent, Superseded, and WorkspaceError.
    """
    if isinstance(event, ModelRegistered):
        return current_model(workspaces, event, now)[1]
    if isinstance(event, RunCompleted):
        return current_run(workspaces, event, now)[1]
    if isinstance(event, RunStatusChanged):
        return current_run(workspaces, event, now)[1]
    return event


def is_young(event: Event, now: datetime) -> bool:
    """Say whether the model or run of an event may still appear."""
    return abs(now - event.time) < _YOUNG  # an event dated ahead is not young for ever
