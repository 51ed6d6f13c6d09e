"""The models of a workspace: reading, finding and registering their versions."""

from collections.abc import Mapping
from itertools import islice
from typing import Final

from shared.adapters.aml import documents
from shared.adapters.aml.arm import path_of
from shared.adapters.client import Client
from shared.base.errors import WorkspaceBusy, WorkspaceRefused
from shared.base.incoming import object_in
from shared.events.model import Workspace
from shared.workspaces.model import ModelVersion, NewModel

#: The separators of tags in a filter: a tag that contains one can't be filtered by.
_SEPARATORS = frozenset(",=")


class ModelRegistry:
    """The registered models, through Azure Resource Manager."""

    def __init__(self, arm: Client) -> None:
        self._arm: Final = arm

    def get(self, workspace: Workspace, name: str, version: str) -> ModelVersion | None:
        """Return the model version, or None."""
        path = path_of(workspace, "models", name, "versions", version)
        answer = self._arm.call("GET", path, f"reading model {name}:{version}", expected=(404,))
        if answer.status == 404:
            return None
        return documents.parse_model(name, version, answer.body)

    def find(
        self, workspace: Workspace, name: str, tags: Mapping[str, str]
    ) -> tuple[ModelVersion, ...]:
        """Return the versions, archived ones too, that have all these tags; () without a model."""
        query = {"listViewType": "All"}
        asked = [
            f"{key}={value}" for key, value in tags.items() if not _SEPARATORS & {*key, *value}
        ]
        if asked:
            query["tags"] = ",".join(asked)
        items = self._arm.pages(
            path_of(workspace, "models", name, "versions"),
            f"listing the versions of model {name}",
            query=query,
        )
        found = (documents.parse_model(name, str(item.get("name") or ""), item) for item in items)
        # Tags that the filter can't express are compared here.
        return tuple(model for model in found if tags.items() <= model.tags.items())

    def list_names(self, workspace: Workspace) -> tuple[str, ...]:
        """Return the names of the models that are not archived."""
        query = {"listViewType": "ActiveOnly"}
        items = self._arm.pages(path_of(workspace, "models"), "listing the models", query=query)
        return tuple(name for item in items if (name := str(item.get("name") or "")))

    def newest(self, workspace: Workspace, name: str, *, most: int) -> tuple[ModelVersion, ...]:
        """Return the newest versions of a model that are not archived, the newest first.

        By their change they can't be ordered: azure-ai-ml, too, orders them by their creation only.
        """
        query = {
            "listViewType": "ActiveOnly",
            "$orderBy": "createdtime desc",
            "$top": str(most),
        }
        items = self._arm.pages(
            path_of(workspace, "models", name, "versions"),
            f"listing the newest versions of model {name}",
            query=query,
        )
        # `$top` is the length of a page.
        return tuple(
            documents.parse_model(name, str(item.get("name") or ""), item)
            for item in islice(items, most)
        )

    def register(self, workspace: Workspace, model: NewModel) -> ModelVersion:
        """Register the next version of a model, and return it.

        The service knows no conditional writes here. Where somebody else took the version
        meanwhile, it refuses ours for having another type or address.

        Raises: WorkspaceBusy where that happened; the next try takes the next version.
        """
        doing = f"registering model {model.name}"
        version = self._next_version(workspace, model.name)
        path = path_of(workspace, "models", model.name, "versions", version)
        body = documents.new_model_version(model)
        try:
            answer = self._arm.call("PUT", path, doing, body=body)
        except WorkspaceRefused as error:
            if self.get(workspace, model.name, version) is None:
                raise
            raise WorkspaceBusy(f"{doing}: version {version} was taken meanwhile") from error
        return documents.parse_model(model.name, version, answer.body)

    def _next_version(self, workspace: Workspace, name: str) -> str:
        doing = f"reading model {name}"
        path = path_of(workspace, "models", name)
        answer = self._arm.call("GET", path, doing, expected=(404,))
        if answer.status == 404:
            return "1"
        following = object_in(answer.body, "properties").get("nextVersion")
        if not following:
            raise WorkspaceRefused(f"{doing}: the answer names no next version")
        return str(following)
