"""The files of registered models: of runs through AML's artifact service, of others from storage.

The artifact service itself hands out the files that a run logged, so the app needs no right to the
workspace's storage; its addresses are those in azureml-mlflow's own client. Files in another
datastore, such as those uploaded from somebody's machine, are read from its container.
"""

import re
from typing import Final
from urllib.parse import quote

from shared.adapters.aml.arm import path_of, segments
from shared.adapters.aml.connection import Aml
from shared.adapters.client import Answer, Client
from shared.adapters.identity import Tokens
from shared.adapters.refusals import WORKSPACE
from shared.base.errors import WorkspaceRefused
from shared.base.incoming import object_in
from shared.base.redact import redact
from shared.events.model import Workspace
from shared.workspaces.model import ModelVersion

#: The audience of tokens for blobs, in every cloud.
STORAGE_AUDIENCE = "https://storage.azure.com"
#: For one request, in seconds.
_SECONDS = 10.0
_STORAGE_VERSION = "2021-08-06"
_RUN = r"(?P<run>[A-Za-z0-9][A-Za-z0-9._-]{0,254})"
_OWNER = r"(?:subscriptions/[^/]+/resource[gG]roups/[^/]+/workspaces/[^/]+/)?"
#: The address of a run's artifacts, in both its forms.
_PLACES = (
    re.compile(rf"azureml://jobs/{_RUN}/outputs/artifacts/paths/(?P<path>.+)"),
    re.compile(
        rf"azureml://{_OWNER}datastores/workspaceartifactstore/paths"
        rf"/ExperimentRun/dcid\.{_RUN}/(?P<path>.+)"
    ),
)
_STORED = re.compile(
    rf"azureml://{_OWNER}datastores/(?P<store>[A-Za-z0-9_]{{1,255}})/paths/(?P<path>.+)"
)
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}")
#: The domains of the clouds. Our token goes nowhere else, because anybody may write a datastore.
_ENDPOINTS = frozenset({"core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net"})
#: The kinds of datastore whose files are blobs, and their field for the container.
_CONTAINERS = {"AzureBlob": "containerName", "AzureDataLakeGen2": "filesystem"}


class ModelFiles:
    """Reads files of models, safe to share between threads."""

    def __init__(self, aml: Aml) -> None:
        self._aml: Final = aml
        self._storage: Final = Client(
            WORKSPACE,
            http=aml.http,
            clock=aml.clock,
            tokens=Tokens(aml.credential, STORAGE_AUDIENCE),
            headers={"x-ms-version": _STORAGE_VERSION},
        )

    def read(
        self, workspace: Workspace, model: ModelVersion, path: str, *, most: int
    ) -> bytes | None:
        """Return a file of a model, None where it has none of that path.

        Raises: WorkspaceRefused for more than `most` bytes, and for a model whose files are in no
        such place; WorkspaceDenied, WorkspaceUnreachable, and what signing in raises.
        """
        doing = f"reading {path} of model {model.name} {model.version}"
        matches = (place.fullmatch(model.path) for place in _PLACES)
        if match := next(filter(None, matches), None):
            base = self._aml.find_artifacts(workspace)
            if base is None:
                return None
            place = segments("ExperimentRun", f"dcid.{match['run']}", "content")
            name = quote(f"{match['path'].strip('/')}/{path}", safe="")
            return _read(self._aml.data, f"{base}{place}?path={name}", doing, most)
        match = _STORED.fullmatch(model.path)
        if match is None or ".." in match["path"].split("/"):
            where = redact(model.path, most=100)
            raise WorkspaceRefused(f"{doing}: files at {where!r} are not read")
        root = self._root(workspace, match["store"], doing)
        url = f"{root}/{quote(match['path'].strip('/'))}/{quote(path)}"
        return _read(self._storage, url, doing, most)

    def _root(self, workspace: Workspace, store: str, doing: str) -> str:
        """Return the address of a datastore's container."""
        path = path_of(workspace, "datastores", store)
        answer = self._aml.arm.call("GET", path, f"reading datastore {store}")
        properties = object_in(answer.body, "properties")
        account = str(properties.get("accountName") or "")
        endpoint = str(properties.get("endpoint") or "core.windows.net")
        container = str(
            properties.get(_CONTAINERS.get(str(properties.get("datastoreType")), "")) or ""
        )
        is_known = endpoint in _ENDPOINTS and _ACCOUNT.fullmatch(account)
        if not is_known or not _CONTAINER.fullmatch(container):
            raise WorkspaceRefused(f"{doing}: datastore {store} is no container of blobs in Azure")
        return f"https://{account}.blob.{endpoint}/{container}"


def _read(client: Client, url: str, doing: str, most: int) -> bytes | None:
    reply = client.exchange(
        "GET", url, doing, headers=client.signed(doing), seconds=_SECONDS, most=most
    )
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise client.refusal(doing, Answer(status=reply.status, headers=reply.headers, body={}))
    if not reply.is_whole:
        raise WorkspaceRefused(f"{doing}: it has more than {most} bytes, or comes folded up")
    return reply.body
