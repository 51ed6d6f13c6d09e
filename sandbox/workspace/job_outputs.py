"""What jobs leave behind: outputs with an asset's name become versions of a model."""

from collections.abc import Mapping
from typing import Any

from sandbox.workspace.arm import Json, user_error
from sandbox.workspace.cloud import Cloud
from sandbox.workspace.entities import Workspace
from sandbox.workspace.models import is_model_name, register_output
from sandbox.workspace.run_entities import Run

_MODELS = {"mlflow_model", "custom_model", "triton_model"}


def check_outputs(outputs: Json) -> None:
    """Raise UserError where an output could not become a model under the name it has."""
    for name, output in outputs.items():
        asset = _plain(output).get("assetname") if isinstance(output, Mapping) else None
        if not isinstance(output, Mapping) or (asset and not is_model_name(str(asset))):
            raise user_error(f"The output '{name}' is not valid.", f"outputs.{name}")


def register_outputs(cloud: Cloud, workspace: Workspace, run: Run, outputs: Json) -> None:
    """Register the named models of a run that has completed; of others nothing is left."""
    if run.status != "Completed":
        return
    for name, output in outputs.items():
        entry = _plain(output)
        kind, asset = entry.get("joboutputtype"), entry.get("assetname")
        if kind in _MODELS and asset:
            register_output(
                cloud,
                workspace,
                str(asset),
                str(entry.get("assetversion") or ""),
                kind=kind,
                uri=entry.get("uri") or _path(workspace, run, name),
                job_name=run.id,
                who=run.created_by,
            )


def _plain(output: Mapping[str, Any]) -> Json:
    """Return an output with keys in one casing: both of the contract are in use."""
    return {key.replace("_", "").lower(): value for key, value in output.items()}


def _path(workspace: Workspace, run: Run, output: str) -> str:
    owner = workspace.arm_id.replace("/providers/Microsoft.MachineLearningServices", "")
    place = f"datastores/workspaceblobstore/paths/azureml/{run.id}/{output}/"
    return f"azureml:/{owner}/{place}"
