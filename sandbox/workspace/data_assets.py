"""Data assets: names and versions for files, folders and tables, wherever these are."""

from sandbox.workspace.arm import ArmRoute, Json, bad_argument
from sandbox.workspace.assets import AssetKind, path_is_fixed, register, routes_of
from sandbox.workspace.cloud import Cloud
from sandbox.workspace.entities import Workspace

TYPES = ("uri_file", "uri_folder", "mltable")


def _read(properties: Json, name: str, version: str) -> Json:
    if properties.get("dataType") not in TYPES:
        message = f"The dataType must be one of {TYPES}, not '{properties.get('dataType')}'."
        raise bad_argument(message, "dataType")
    if not isinstance(properties.get("dataUri"), str) or not properties["dataUri"]:
        raise bad_argument("'dataUri' is required.", "dataUri")
    return properties


DATA_ASSETS = AssetKind(segment="data", title="Data asset", read=_read, clash=path_is_fixed)


def register_output(
    cloud: Cloud, workspace: Workspace, name: str, number: str, *, kind: str, uri: str, who: str
) -> None:
    """Register a job's output, unless that version is taken; "" means the next one."""
    container = workspace.assets.get(DATA_ASSETS.segment, {}).get(name.lower())
    number = number or (container.next_version if container else "1")
    if container is None or number not in container.versions:
        changes = {"content": {"dataType": kind, "dataUri": uri}}
        register(cloud, workspace, DATA_ASSETS, name, number, who, changes)


#: Paths below a workspace.
routes: list[ArmRoute] = routes_of(DATA_ASSETS)
