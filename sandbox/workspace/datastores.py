"""Datastores: names for places in storage, and the secrets that open them."""

import re
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import (
    PROVIDER,
    ArmError,
    ArmRoute,
    bad_argument,
    json_body,
    not_found,
    object_in,
    page,
    tags_in,
)
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Datastore, Workspace
from sandbox.workspace.storage import ENDPOINT

#: Where jobs and clients put files by themselves.
BLOB_STORE = "workspaceblobstore"
#: Where runs leave their logs and artifacts.
ARTIFACT_STORE = "workspaceartifactstore"
#: One container for the artifacts of all workspaces of an account, as in Azure.
ARTIFACT_CONTAINER = "azureml"

_NAME = re.compile(r"[A-Za-z0-9_]{1,255}")
_USUAL_HOURS = 1
_ADDRESS = re.compile(
    r"(?:azureml:)?/*(?:subscriptions/.+/workspaces/[^/]+/)?"
    r"datastores/(?P<datastore>[^/]+)/paths/(?P<path>.*)",
    re.IGNORECASE,
)


#: The outputs of runs, named by the run.
_ARTIFACTS = re.compile(
    r"(?:azureml://jobs/(?P<run>[^/]+)/outputs/artifacts/paths/|runs:/(?P<run2>[^/]+)/)(?P<path>.*)"
)
_OUTPUT = re.compile(
    r"azureml://jobs/(?P<run>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths)?(?:/(?P<path>.*))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in storage an address leads: a container, and a path in it without slashes around."""

    container: str
    path: str


def containers(cloud: Cloud) -> list[str]:
    """Return the containers that the workspaces' own datastores need."""
    return [ARTIFACT_CONTAINER, *map(blob_container, cloud.workspaces())]


def blob_container(workspace: Workspace) -> str:
    """Return the name of the container behind `workspaceblobstore`."""
    return f"azureml-blobstore-{workspace.guid}"


def find_place(cloud: Cloud, workspace: Workspace, address: str) -> Place | None:
    """Return where the address of files leads: by a datastore, by a run, or a blob's own.

    None for addresses of other kinds, of other accounts, and of datastores that there are not.
    """
    account = f"https://{cloud.storage.host}/"
    if address.lower().startswith(account):
        container, _, path = address[len(account) :].partition("/")
        return Place(container=container, path=path.strip("/"))
    if match := _ARTIFACTS.fullmatch(address):
        path = artifact_path(match["run"] or match["run2"], match["path"])
        return Place(container=ARTIFACT_CONTAINER, path=path.strip("/"))
    if match := _OUTPUT.fullmatch(address):
        path = f"{output_path(match['run'], match['output'])}/{match['path'] or ''}"
        return Place(container=blob_container(workspace), path=path.strip("/"))
    match = _ADDRESS.fullmatch(address)
    store = _all(cloud, workspace).get(match["datastore"].lower()) if match else None
    if match is None or store is None or store.properties.get("accountName") != cloud.storage.name:
        return None
    container = str(store.properties.get("containerName") or "")
    return Place(container=container, path=match["path"].strip("/")) if container else None


def artifact_path(run_id: str, path: str) -> str:
    """Return where in `workspaceartifactstore` a run's artifact is."""
    return f"ExperimentRun/dcid.{run_id}/{path}"


def output_path(run_id: str, output: str) -> str:
    """Return the default path of a run's output in `workspaceblobstore`."""
    return f"azureml/{run_id}/{output}"


def path_in(workspace: Workspace, datastore: str, path: str) -> str:
    """Return the long address of a path in a datastore, as the service writes it."""
    owner = workspace.arm_id.replace(f"/providers/{PROVIDER}", "")
    return f"azureml:/{owner}/datastores/{datastore}/paths/{path}"


async def list_datastores(request: Request) -> Response:
    """List the datastores of a workspace, by name."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    wanted = request.query_params.get("isDefault", "").lower()
    items = [
        store.document(workspace.arm_id)
        for _, store in sorted(_all(cloud, workspace).items())
        if wanted in {"", str(store.is_default).lower()}
    ]
    return JSONResponse(page(request, cloud.url, items, size=30, top="count"))


async def get_datastore(request: Request) -> Response:
    """Return one datastore, without its secrets."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    return JSONResponse(_find(cloud, workspace, request).document(workspace.arm_id))


async def put_datastore(request: Request) -> Response:
    """Create or replace a datastore of blobs; other kinds are kept, and hold nothing."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    name = request.path_params["datastore"]
    properties = object_in(await json_body(request), "properties")
    if not _NAME.fullmatch(name):
        raise bad_argument(f"'{name}' is not a valid name of a datastore.", "name")
    if not properties.get("datastoreType"):
        raise bad_argument("'datastoreType' is required.", "datastoreType")
    existing = _all(cloud, workspace).get(name.lower())
    now = cloud.clock.now()
    credentials = object_in(properties, "credentials")
    store = Datastore(
        name=existing.name if existing else name,
        properties=properties
        | {"tags": tags_in(properties)}
        | {"credentials": {k: v for k, v in credentials.items() if k != "secrets"}},
        secrets=object_in(credentials, "secrets"),
        is_default=bool(existing and existing.is_default),
        created_at=existing.created_at if existing else now,
        modified_at=now,
        created_by=existing.created_by if existing else request.state.caller,
    )
    workspace.datastores[store.name.lower()] = store
    return JSONResponse(store.document(workspace.arm_id), 200 if existing else 201)


async def delete_datastore(request: Request) -> Response:
    """Forget a datastore; the blobs stay, and so do the workspace's own datastores."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    name = request.path_params["datastore"].lower()
    if name in _own(cloud, workspace):
        message = f"The datastore '{name}' belongs to the workspace and cannot be deleted."
        raise ArmError(400, "UserError", message, target=name)
    gone = workspace.datastores.pop(name, None)
    return Response(status_code=200 if gone else 204)


async def list_secrets(request: Request) -> Response:
    """Return the secret of a datastore: its key, or on request a signature that expires."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    store = _find(cloud, workspace, request)
    wanted = await json_body(request) if await request.body() else {}
    kind = str(object_in(store.properties, "credentials").get("credentialsType") or "None")
    if kind == "None":
        message = f"The datastore '{store.name}' has no credentials."
        raise ArmError(400, "UserError", message, target=store.name)
    if kind == "AccountKey" and wanted.get("expirableSecret") and _is_here(cloud, store):
        hours = wanted.get("expireAfterHours") or _USUAL_HOURS
        if not isinstance(hours, int) or hours < 1:
            raise bad_argument("'expireAfterHours' must be a positive number.", "expireAfterHours")
        container = str(store.properties["containerName"])
        token = cloud.storage.sign_container(container, timedelta(hours=hours))
        return JSONResponse({"secretsType": "Sas", "sasToken": token})
    return JSONResponse({"secretsType": kind} | store.secrets)


def _own(cloud: Cloud, workspace: Workspace) -> dict[str, Datastore]:
    """Return the datastores that every workspace has."""
    places = {BLOB_STORE: blob_container(workspace), ARTIFACT_STORE: ARTIFACT_CONTAINER}
    return {
        name: Datastore(
            name=name,
            properties={
                "datastoreType": "AzureBlob",
                "accountName": cloud.storage.name,
                "containerName": container,
                "endpoint": ENDPOINT,
                "protocol": "https",
                "credentials": {"credentialsType": "AccountKey"},
                "serviceDataAccessAuthIdentity": "None",
            },
            secrets={"key": cloud.storage.key} if cloud.settings.storage else {},
            is_default=name == BLOB_STORE,
            created_at=workspace.created_at,
            modified_at=workspace.created_at,
            created_by="emulator",
        )
        for name, container in places.items()
    }


def _all(cloud: Cloud, workspace: Workspace) -> dict[str, Datastore]:
    return _own(cloud, workspace) | workspace.datastores


def _find(cloud: Cloud, workspace: Workspace, request: Request) -> Datastore:
    name = request.path_params["datastore"]
    store = _all(cloud, workspace).get(name.lower())
    if store is None:
        raise not_found("Datastore", name)
    return store


def _is_here(cloud: Cloud, store: Datastore) -> bool:
    is_ours = store.properties.get("accountName") == cloud.storage.name
    return is_ours and bool(store.properties.get("containerName"))


#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", "/datastores", list_datastores),
    ("GET", "/datastores/{datastore}", get_datastore),
    ("PUT", "/datastores/{datastore}", put_datastore),
    ("DELETE", "/datastores/{datastore}", delete_datastore),
    ("POST", "/datastores/{datastore}/listSecrets", list_secrets),
]
