"""The outputs of jobs: a log, files, and versions of assets made of the files."""

from collections.abc import Mapping
from typing import Any

from sandbox.workspace import data_assets
from sandbox.workspace.arm import Json, user_error
from sandbox.workspace.cloud import Cloud
from sandbox.workspace.datastores import (
    ARTIFACT_CONTAINER,
    BLOB_STORE,
    artifact_path,
    find_place,
    output_path,
    path_in,
)
from sandbox.workspace.entities import Workspace
from sandbox.workspace.models import is_model_name, register_output
from sandbox.workspace.run_entities import Run

_MODELS = {"mlflow_model", "custom_model", "triton_model"}
#: The files of an MLflow model by default; it has no signature.
_MLMODEL = """\
artifact_path: {output}
flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.pkl
run_id: {run}
"""
LOG = "user_logs/std_log.txt"
_LOG_LINE = "The emulator ran no command.\n"


def check_outputs(outputs: Json) -> None:
    """Raise UserError for an output with a name that no asset can have."""
    for name, output in outputs.items():
        asset = _plain(output).get("assetname") if isinstance(output, Mapping) else None
        if not isinstance(output, Mapping) or (asset and not is_model_name(str(asset))):
            raise user_error(f"The output '{name}' is not valid.", f"outputs.{name}")


def leave_outputs(
    cloud: Cloud, workspace: Workspace, run: Run, outputs: Json, files: Mapping[str, str]
) -> None:
    """Leave the log of a run that has ended, and of one that has completed its outputs.

    `files` are texts by output and path, `model/MLmodel`; an MLflow model without any gets the
    file that makes it one. Outputs with an asset's name become versions of models or data.
    """
    _leave_log(cloud, run)
    if run.status != "Completed":
        return
    for name, output in outputs.items():
        entry = _plain(output)
        kind, asset = entry.get("joboutputtype"), entry.get("assetname")
        uri = str(entry.get("uri") or _path(workspace, run, name))
        _write(cloud, workspace, uri, _files_of(run, name, kind, files))
        if not asset:
            continue
        number, who = str(entry.get("assetversion") or ""), run.created_by
        if kind in _MODELS:
            register_output(
                cloud,
                workspace,
                str(asset),
                number,
                kind=kind,
                uri=uri,
                job_name=run.id,
                who=who,
            )
        elif kind in data_assets.TYPES:
            data_assets.register_output(
                cloud, workspace, str(asset), number, kind=kind, uri=uri, who=who
            )


def _leave_log(cloud: Cloud, run: Run) -> None:
    words = _LOG_LINE + (f"{run.error.get('message')}\n" if run.error else "")
    path = artifact_path(run.id, LOG)
    cloud.storage.write_soon(ARTIFACT_CONTAINER, {path: words.encode()})


def _files_of(run: Run, output: str, kind: object, files: Mapping[str, str]) -> Mapping[str, str]:
    prefix = f"{output}/"
    own = {p.removeprefix(prefix): text for p, text in files.items() if p.startswith(prefix)}
    if kind == "mlflow_model" and "MLmodel" not in own:
        own["MLmodel"] = _MLMODEL.format(output=output, run=run.id)
    return own


def _write(cloud: Cloud, workspace: Workspace, uri: str, files: Mapping[str, str]) -> None:
    place = find_place(cloud, workspace, uri)
    if place is not None and files:
        blobs = {f"{place.path}/{path}": text.encode() for path, text in files.items()}
        cloud.storage.write_soon(place.container, blobs)


def _plain(output: Mapping[str, Any]) -> Json:
    """Return an output with keys in one casing: both of the contract are in use."""
    return {key.replace("_", "").lower(): value for key, value in output.items()}


def _path(workspace: Workspace, run: Run, output: str) -> str:
    return path_in(workspace, BLOB_STORE, f"{output_path(run.id, output)}/")
