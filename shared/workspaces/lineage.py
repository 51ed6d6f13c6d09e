"""Finds the retraining that a run or a model belongs to, and reports its progress.

A retraining's run is tagged with a reference when it is started. The steps of the run, and the
models that they make, belong to it as well, tagged or not.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from shared.base.errors import WorkspaceDenied, WorkspaceRefused
from shared.base.ids import REFERENCE
from shared.events.model import Event, ModelRegistered, RunCompleted, RunStatusChanged, Workspace

if TYPE_CHECKING:
    from shared.workspaces.model import ModelVersion, RunRecord
    from shared.workspaces.ports import Runs


class Retrainings(Protocol):
    """Listens to the progress of retrainings' models. After a crash the same call may come again.

    `workspace` is where the model is. `reference` is what `reference_of_model` returns, never "".
    `model` is `name:version`, "" for one that is not registered.
    """

    def compared(
        self, workspace: Workspace, reference: str, model: str, verdict: str, is_enough: bool
    ) -> None:
        """Note the comparison of the model with the one that serves."""
        ...

    def registered(self, workspace: Workspace, reference: str, model: str) -> None:
        """Note that the model is registered."""
        ...

    def deploying(self, workspace: Workspace, reference: str, model: str, rollout_id: str) -> None:
        """Note that a rollout of the model has begun."""
        ...


def find_reference(event: Event) -> str:
    """Return the tag that ties an event's run or model to what started it; "" for other events."""
    if isinstance(event, ModelRegistered):
        return event.model.tags.get(REFERENCE, "")
    if isinstance(event, RunCompleted | RunStatusChanged):
        return event.run.tags.get(REFERENCE, "")
    return ""


def reference_of_model(workspaces: "Runs", workspace: Workspace, model: "ModelVersion") -> str:
    """Return the reference of the retraining that made a model, "" if none did.

    It is the model's own tag, else the result of `reference_of_run` for its run: this costs up to
    two requests.

    Raises: WorkspaceError.
    """
    return _tagged(model.tags) or reference_of_run(workspaces, workspace, model.job_name)


def reference_of_run(workspaces: "Runs", workspace: Workspace, run_id: str) -> str:
    """Return the reference of the retraining that started a run, or its root, or "".

    It is "" if the app may not read runs: models are deployed without that role, and in a network
    that only allows ARM.

    Raises: WorkspaceError, except WorkspaceDenied and WorkspaceRefused.
    """
    try:
        run = workspaces.get_run(workspace, run_id) if run_id else None
        return reference_of_record(workspaces, workspace, run) if run is not None else ""
    except (WorkspaceDenied, WorkspaceRefused):
        return ""


def reference_of_record(workspaces: "Runs", workspace: Workspace, run: "RunRecord") -> str:
    """Return the reference of a run that was read already, or of its root, or "".

    Raises: WorkspaceError.
    """
    found = _tagged(run.tags)
    if found or run.root_id in ("", run.id):
        return found
    root = workspaces.get_run(workspace, run.root_id)
    return _tagged(root.tags) if root is not None else ""


def _tagged(tags: Mapping[str, str]) -> str:
    text = tags.get(REFERENCE, "")
    if not text:
        return ""
    from shared.base.ids import is_of_launch, parse_reference

    return "" if parse_reference(text) is None or is_of_launch(text) else text
