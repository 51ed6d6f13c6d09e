"""Which retraining a run or a model belongs to, and whom to tell what becomes of it.

What starts a retraining tags its run with a reference. The steps of the run, and the models that
they make, belong to it as well, tagged or not.
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
    """What wants to know of the models of retrainings. Each may be told again after a crash.

    `workspace` is where the model is. `reference` is what `reference_of_model` returns, never "".
    `model` is `name:version`, "" for one that is not registered.
    """

    def compared(
        self, workspace: Workspace, reference: str, model: str, verdict: str, is_enough: bool
    ) -> None:
        """Note how the model compares with the one that serves."""
        ...

    def registered(self, workspace: Workspace, reference: str, model: str) -> None:
        """Note that the model is registered."""
        ...

    def deploying(self, workspace: Workspace, reference: str, model: str, rollout_id: str) -> None:
        """Note that a rollout of the model has begun."""
        ...


def is_of_retraining(event: Event) -> bool:
    """Say whether an event is of a run or a model that is tagged as a retraining's."""
    if isinstance(event, ModelRegistered):
        return REFERENCE in event.model.tags
    return isinstance(event, RunCompleted | RunStatusChanged) and REFERENCE in event.run.tags


def reference_of_model(workspaces: "Runs", workspace: Workspace, model: "ModelVersion") -> str:
    """Return the reference of the retraining that made a model, "" where none did.

    It is the model's own tag, or else what `reference_of_run` finds for the run that made it: no
    request, or up to two.

    Raises: WorkspaceError.
    """
    return _tagged(model.tags) or reference_of_run(workspaces, workspace, model.job_name)


def reference_of_run(workspaces: "Runs", workspace: Workspace, run_id: str) -> str:
    """Return the reference of the retraining that a run, or its root, was started by, or "".

    Where the app may not read runs, there is none: a missing role, or a network that lets it have
    no more than ARM, must not keep models from being deployed.

    Raises: WorkspaceError, but WorkspaceDenied and WorkspaceRefused.
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
    from shared.base.ids import parse_reference

    return text if parse_reference(text) is not None else ""
