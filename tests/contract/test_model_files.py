"""The files of models that are in a datastore, through storage under the names that Azure has."""

import ssl
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from sandbox.azurite import Azurite
from sandbox.workspace.control import Control
from sandbox.workspace.identity import issue_token
from sandbox.workspace.server import WorkspaceEmulator
from sandbox.workspace.settings import Settings
from shared.adapters.aml.connection import Aml
from shared.adapters.aml.model_files import STORAGE_AUDIENCE
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.adapters.http import Http
from shared.base.errors import WorkspaceDenied, WorkspaceRefused
from shared.workspaces.model import ModelVersion
from tests.contract.conftest import WORKSPACE, FakeCredential

STORE = "workspaceblobstore"
LONG = "azureml://subscriptions/sub-1/resourceGroups/rg-1/workspaces/ws-a/"


class Site:
    """A workspace with its own storage."""

    def __init__(self, emulator: WorkspaceEmulator) -> None:
        self._emulator = emulator
        self._versions = 0
        trusted = ssl.create_default_context(cafile=str(emulator.ca_path))
        self._http = httpx.Client(verify=trusted, proxy=emulator.proxy_url)
        http = Http(ca_path=str(emulator.ca_path))
        self.workspaces = ArmWorkspaces(Aml(FakeCredential, arm_endpoint=emulator.url, http=http))

    def close(self) -> None:
        self._http.close()
        self.workspaces.close()

    def arm(self, method: str, path: str, body: Any = None) -> Any:
        token = issue_token(self._emulator.url, "t", "c")
        trusted = ssl.create_default_context(cafile=str(self._emulator.ca_path))
        return (
            httpx.request(
                method,
                f"{self._emulator.url}{WORKSPACE.id}{path}",
                params={"api-version": "2025-12-01"},
                json=body,
                headers={"Authorization": f"Bearer {token}"},
                verify=trusted,
            )
            .raise_for_status()
            .json()
        )

    def put_blob(self, path: str, content: bytes) -> None:
        store = self.arm("GET", f"/datastores/{STORE}")["properties"]
        account, container = store["accountName"], store["containerName"]
        token = issue_token(STORAGE_AUDIENCE, "t", "c")
        self._http.put(
            f"https://{account}.blob.core.windows.net/{container}/{path}",
            content=content,
            headers={
                "Authorization": f"Bearer {token}",
                "x-ms-blob-type": "BlockBlob",
                "x-ms-version": "2021-08-06",
            },
        ).raise_for_status()

    def model(self, uri: str) -> ModelVersion:
        properties = {"modelType": "mlflow_model", "modelUri": uri}
        self._versions += 1
        version = f"{self._versions}"
        self.arm("PUT", f"/models/churn/versions/{version}", {"properties": properties})
        found = self.workspaces.get_model(WORKSPACE, "churn", version)
        assert found is not None
        return found

    def read(self, uri: str, path: str = "MLmodel", most: int = 100) -> bytes | None:
        return self.workspaces.read_model_file(WORKSPACE, self.model(uri), path, most=most)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceEmulator]:
    with Azurite() as azurite:
        settings = Settings(
            ca_folder=tmp_path_factory.mktemp("ca"),
            workspaces=(WORKSPACE.name,),
            subscription=WORKSPACE.subscription,
            resource_group=WORKSPACE.resource_group,
            storage=azurite.workspace_account,
        )
        with WorkspaceEmulator(settings) as emulator:
            yield emulator


@pytest.fixture
def control(running: WorkspaceEmulator) -> Iterator[Control]:
    with Control(running.control_url) as control:
        control.reset()
        yield control


@pytest.fixture
def site(
    running: WorkspaceEmulator, control: Control, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    with closing(Site(running)) as site:
        yield site


@pytest.mark.parametrize("owner", ["azureml://", LONG])
def test_what_somebody_uploaded_is_read_with_the_app_s_identity(site: Site, owner: str) -> None:
    site.put_blob("LocalUpload/abc/my%20model/MLmodel", b"flavors: {}")
    uri = f"{owner}datastores/{STORE}/paths/LocalUpload/abc/my model"
    assert site.read(uri) == b"flavors: {}"
    assert site.read(f"{uri}/") == b"flavors: {}"
    assert site.read(uri, "gone.json") is None
    with pytest.raises(WorkspaceRefused, match="more than 10 bytes"):
        site.read(uri, most=10)


def test_a_role_that_is_missing_is_told(site: Site, control: Control) -> None:
    control.outage(path="*.blob.core.windows.net/*", status=403)
    with pytest.raises(WorkspaceDenied, match="reading MLmodel of model churn 1"):
        site.read(f"azureml://datastores/{STORE}/paths/a")


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "evil.example"},
        {"accountName": "evil.example/a?"},
        {"containerName": "../other"},
        {"containerName": ""},
    ],
)
def test_no_token_goes_where_a_datastore_leads_outside_azure(
    site: Site, change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = {
        "datastoreType": "AzureBlob",
        "accountName": "abc",
        "containerName": "models",
        "endpoint": "core.windows.net",
        "credentials": {"credentialsType": "None"},
    }
    answer = {"properties": usual | change}
    arm = site.workspaces.aml.arm
    call = arm.call

    def told(method: str, path: str, doing: str, **more: Any) -> Any:
        found = call(method, path.replace("/mine", f"/{STORE}"), doing, **more)
        return type(found)(status=200, headers={}, body=answer) if "/datastores/" in path else found

    monkeypatch.setattr(arm, "call", told)
    with pytest.raises(WorkspaceRefused, match="is no container of blobs in Azure"):
        site.read("azureml://datastores/mine/paths/a")


def test_a_datastore_that_is_not_there_is_refused(site: Site) -> None:
    with pytest.raises(WorkspaceRefused, match="reading datastore gone"):
        site.read("azureml://datastores/gone/paths/a")
