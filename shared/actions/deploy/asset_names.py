"""Registered environments and code as `deploy` names them, and their ids in a workspace."""

import re
from typing import Final

from shared.base.errors import ParamsInvalid
from shared.events.model import Workspace
from shared.workspaces.model import AssetKind, ServingContainer
from shared.workspaces.ports import Assets

_NAME = r"[A-Za-z0-9_][\w.-]{0,254}"
_VERSION = r"[A-Za-z0-9_][\w.-]{0,254}"
#: The form of each kind's name. An asset of a registry is taken as it is written.
FORMS: Final = {
    AssetKind.ENVIRONMENT: re.compile(
        rf"azureml:(?P<name>{_NAME})(?::(?P<version>{_VERSION})|@latest)"
        rf"|azureml://registries/{_NAME}/environments/{_NAME}/versions/{_VERSION}"
    ),
    AssetKind.CODE: re.compile(rf"azureml:(?P<name>{_NAME}):(?P<version>{_VERSION})"),
}
_WORDS = {AssetKind.ENVIRONMENT: "environment", AssetKind.CODE: "code"}


def find_container(
    assets: Assets, workspace: Workspace, environment: str, code: str, script: str
) -> ServingContainer | None:
    """Return the parts that a deployment runs, with the versions of now; None for none.

    One request for each. `@latest` becomes the version that it means now, because a rollout that
    goes on for a week must not change it on the way.

    Raises: ParamsInvalid where the workspace lacks it, and WorkspaceError.
    """
    if not environment:
        return None
    return ServingContainer(
        environment=find_asset_id(assets, workspace, AssetKind.ENVIRONMENT, environment),
        code=find_asset_id(assets, workspace, AssetKind.CODE, code) if code else "",
        script=script,
    )


def find_asset_id(assets: Assets, workspace: Workspace, kind: AssetKind, written: str) -> str:
    """Return the id of an asset; one of a registry is taken as it is written.

    Raises: ParamsInvalid where the workspace lacks it, and WorkspaceError.
    """
    match = FORMS[kind].fullmatch(written)
    assert match is not None  # the values were checked
    if match["name"] is None:
        return written
    found = assets.find_asset(workspace, kind, match["name"], match["version"] or "")
    if found is None:
        raise ParamsInvalid(
            f"workspace {workspace.name} has no {_WORDS[kind]} {written}",
            hint="Register it there, or name one that is: docs/how-to/deploy-other-models.md.",
        )
    return found
