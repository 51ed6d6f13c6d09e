"""The files of registered models, as far as runs logged them: AML's artifact service has those.

Its addresses are those that azureml-mlflow's own client of it uses. It hands out the files itself,
so that the app needs no right to the workspace's storage.
"""

import re
from typing import Final
from urllib.parse import quote

from shared.adapters.aml import Aml
from shared.adapters.arm import segment
from shared.adapters.arm_errors import refusal
from shared.adapters.http import NoAnswer, is_https
from shared.errors import WorkspaceRefused, WorkspaceUnreachable
from shared.events import Workspace
from shared.redact import redact
from shared.workspaces import ModelVersion

#: For one file.
_SECONDS = 10.0
_RUN = r"(?P<run>[A-Za-z0-9][A-Za-z0-9._-]{0,254})"
#: Where a run's artifacts are, in both ways of saying it.
_PLACES = (
    re.compile(rf"azureml://jobs/{_RUN}/outputs/artifacts/paths/(?P<path>.+)"),
    re.compile(
        r"azureml://(?:subscriptions/[^/]+/resource[gG]roups/[^/]+/workspaces/[^/]+/)?"
        rf"datastores/workspaceartifactstore/paths/ExperimentRun/dcid\.{_RUN}/(?P<path>.+)"
    ),
)


class ModelFiles:
    """Reads files of models, safe to share between threads."""

    def __init__(self, aml: Aml) -> None:
        self._aml: Final = aml

    def read(
        self, workspace: Workspace, model: ModelVersion, path: str, *, most: int
    ) -> bytes | None:
        """Return a file of a model, None where it has none of that path.

        Raises: WorkspaceRefused for more than `most` bytes, and for a model whose files are
        elsewhere; WorkspaceDenied, WorkspaceUnreachable, and what signing in raises.
        """
        doing = f"reading {path} of model {model.name} {model.version}"
        matches = (place.fullmatch(model.path) for place in _PLACES)
        match = next(filter(None, matches), None)
        if match is None:
            where = redact(model.path, most=100)
            raise WorkspaceRefused(f"{doing}: no run's artifacts are at {where!r}")
        base = self._aml.find_artifacts(workspace)
        if base is None:
            return None
        container = segment(f"dcid.{match['run']}")
        name = quote(f"{match['path'].strip('/')}/{path}", safe="")
        return self._get(f"{base}/ExperimentRun/{container}/content?path={name}", doing, most)

    def _get(self, url: str, doing: str, most: int) -> bytes | None:
        if not is_https(url):
            raise WorkspaceRefused(f"{doing}: the address is not an https:// address")
        headers = {"Authorization": f"Bearer {self._aml.token(doing)}"}
        try:
            reply = self._aml.http.send("GET", url, headers=headers, seconds=_SECONDS, most=most)
        except NoAnswer as error:
            raise WorkspaceUnreachable(f"{doing}: no answer ({error})") from None
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise refusal(doing, reply.status, {})
        if not reply.is_whole:
            raise WorkspaceRefused(f"{doing}: it has more than {most} bytes, or comes folded up")
        return reply.body
