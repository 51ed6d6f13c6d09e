"""Data assets: names and versions for files, folders and tables, wherever these are."""

from sandbox.workspace.arm import ArmRoute, Json, bad_argument
from sandbox.workspace.assets import AssetKind, path_is_fixed, routes_of

_TYPES = ("uri_file", "uri_folder", "mltable")


def _read(properties: Json, name: str, version: str) -> Json:
    if properties.get("dataType") not in _TYPES:
        message = f"The dataType must be one of {_TYPES}, not '{properties.get('dataType')}'."
        raise bad_argument(message, "dataType")
    if not isinstance(properties.get("dataUri"), str) or not properties["dataUri"]:
        raise bad_argument("'dataUri' is required.", "dataUri")
    return properties


DATA_ASSETS = AssetKind(segment="data", title="Data asset", read=_read, clash=path_is_fixed)

#: Paths below a workspace.
routes: list[ArmRoute] = routes_of(DATA_ASSETS)
