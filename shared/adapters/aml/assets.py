"""The environments and the code that are registered in a workspace, and other resources."""

from typing import Final

from shared.adapters.aml.arm import path_of
from shared.adapters.client import Client
from shared.base.errors import WorkspaceRefused
from shared.base.incoming import Json, is_object
from shared.events.model import Workspace
from shared.workspaces.model import AssetKind


class AssetRegistry:
    """The registered assets, through Azure Resource Manager; each call is one request."""

    def __init__(self, arm: Client) -> None:
        self._arm: Final = arm

    def has(self, workspace: Workspace, *names: str) -> bool:
        """Say whether a workspace has the resource that the names lead to in ARM's addresses."""
        shown = "/".join(names)
        doing = f"reading {shown + ' of ' if shown else ''}workspace {workspace.name!r}"
        answer = self._arm.call("GET", path_of(workspace, *names), doing, expected=(404,))
        return answer.status != 404

    def find(
        self, workspace: Workspace, kind: AssetKind, name: str, version: str = ""
    ) -> str | None:
        """Return the ARM id of a version, of the latest one where none is named; or None."""
        path = path_of(workspace, kind, name, "versions", *([version] if version else []))
        # The latest is the one that was registered last, as azure-ai-ml reads "@latest".
        query = {} if version else {"$orderBy": "createdtime desc", "$top": "1"}
        shown = f"{name}:{version}" if version else f"{name}@latest"
        doing = f"reading {shown} of {kind}"
        answer = self._arm.call("GET", path, doing, query=query, expected=(404,))
        if answer.status == 404:
            return None
        return _id_of(answer.body if version else _first(answer.body))

    def keep_data(self, workspace: Workspace, name: str, path: str) -> str:
        """Register version 1 of a data asset for a folder, unless it is there; return its id."""
        place = path_of(workspace, "data", name, "versions", "1")
        doing = f"registering data asset {name}"
        body = {"properties": {"dataType": "uri_folder", "dataUri": path}}
        try:
            self._arm.call("PUT", place, doing, body=body)
        except WorkspaceRefused:
            # An earlier try may have made it, and the service may refuse to write it again.
            if self._arm.call("GET", place, doing, expected=(404,)).status == 404:
                raise
        return place


def _first(body: Json) -> Json:
    found = body.get("value")
    first = found[0] if isinstance(found, list) and found else None
    return first if is_object(first) else {}


def _id_of(document: Json) -> str | None:
    return str(document.get("id") or "") or None
