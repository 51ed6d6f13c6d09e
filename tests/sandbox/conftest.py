"""A running workspace emulator for the tests of this folder."""

import logging
import ssl
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from azure.identity import ManagedIdentityCredential
from marshmallow.warnings import Marshmallow4Warning

from sandbox.workspace.control import Control
from sandbox.workspace.identity import issue_token
from sandbox.workspace.server import WorkspaceEmulator
from sandbox.workspace.settings import Settings

type Json = dict[str, Any]

SETTINGS: Json = {"workspaces": ("ws-a", "ws-b"), "subscription": "sub-1", "resource_group": "rg-1"}
WORKSPACE = (
    "/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.MachineLearningServices"
    "/workspaces/ws-a"
)


class Arm:
    """Speaks to the emulator as any ARM client does; paths are below the workspace."""

    def __init__(self, emulator: WorkspaceEmulator, control: Control) -> None:
        self.emulator = emulator
        self.control = control
        token = issue_token(emulator.url, "tenant", "client")
        self.http = httpx.Client(
            base_url=emulator.url,
            verify=ssl.create_default_context(cafile=str(emulator.ca_path)),
            headers={"Authorization": f"Bearer {token}"},
            params={"api-version": "2025-12-01"},
        )

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(f"{WORKSPACE}{path}", params=params)

    def put(self, path: str, body: Json) -> httpx.Response:
        return self.http.put(f"{WORKSPACE}{path}", json=body)

    def patch(self, path: str, body: Json) -> httpx.Response:
        return self.http.patch(f"{WORKSPACE}{path}", json=body)

    def post(self, path: str, body: Json | None = None) -> httpx.Response:
        return self.http.post(f"{WORKSPACE}{path}", json=body)

    def delete(self, path: str) -> httpx.Response:
        return self.http.delete(f"{WORKSPACE}{path}")

    def put_model(self, name: str = "churn", version: str = "1", **properties: Any) -> Any:
        usual = {"modelType": "mlflow_model", "modelUri": "azureml://models/churn"}
        return self.put(f"/models/{name}/versions/{version}", {"properties": usual | properties})

    def put_environment(self, name: str = "env") -> None:
        """See to an environment, version 1."""
        body = {"properties": {"image": f"mcr.microsoft.com/{name}"}}
        self.put(f"/environments/{name}/versions/1", body).raise_for_status()

    def put_endpoint(self, name: str = "ep-1", **properties: Any) -> httpx.Response:
        return self.put(
            f"/onlineEndpoints/{name}",
            {"location": "westeurope", "properties": {"authMode": "Key"} | properties},
        )

    def put_deployment(
        self, name: str = "blue", *, endpoint: str = "ep-1", capacity: Any = 1, **properties: Any
    ) -> httpx.Response:
        usual = {
            "endpointComputeType": "Managed",
            "model": "azureml:churn:1",
            "instanceType": "Standard_DS3_v2",
        }
        body = {
            "location": "westeurope",
            "sku": {"name": "Default", "capacity": capacity},
            "properties": usual | properties,
        }
        return self.put(f"/onlineEndpoints/{endpoint}/deployments/{name}", body)

    def have(self, *deployments: str, **traffic: int) -> None:
        """See to a model, an endpoint and deployments that are up, with this traffic."""
        self.put_model().raise_for_status()
        self.put_endpoint().raise_for_status()
        self.pass_time()
        for name in deployments:
            self.put_deployment(name).raise_for_status()
        self.pass_time()
        if traffic:
            self.put_endpoint(traffic=traffic).raise_for_status()
            self.pass_time()

    def pass_time(self) -> None:
        """Let everything end that is under way."""
        self.control.advance(3600)

    def properties(self, path: str) -> Json:
        properties: Json = self.get(path).raise_for_status().json()["properties"]
        return properties

    def operation(self, response: httpx.Response) -> Json:
        document: Json = self.http.get(response.headers["azure-asyncoperation"]).json()
        return document

    def key(self) -> str:
        key: str = self.post("/onlineEndpoints/ep-1/listKeys").json()["primaryKey"]
        return key

    def score(
        self, body: Any = None, *, deployment: str | None = None, token: str | None = None
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key() if token is None else token}"}
        if deployment:
            headers["azureml-model-deployment"] = deployment
        uri = self.properties("/onlineEndpoints/ep-1")["scoringUri"]
        content = {"input_data": [[1, 2], [3, 4]]} if body is None else body
        return self.http.post(uri, json=content, headers=headers)


@pytest.fixture(scope="module")
def running_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceEmulator]:
    settings = Settings(ca_folder=tmp_path_factory.mktemp("ca"), **SETTINGS)
    with WorkspaceEmulator(settings) as emulator:
        yield emulator


@pytest.fixture
def control(running_emulator: WorkspaceEmulator) -> Iterator[Control]:
    with Control(running_emulator.control_url) as control:
        control.reset()
        yield control


@pytest.fixture
def arm(running_emulator: WorkspaceEmulator, control: Control) -> Iterator[Arm]:
    arm = Arm(running_emulator, control)
    with arm.http:
        yield arm


@pytest.fixture
def start_emulator(tmp_path: Any) -> Iterator[Callable[..., Arm]]:
    """Start emulators with settings of their own."""
    started: list[tuple[WorkspaceEmulator, Control, Arm]] = []

    def start(**settings: Any) -> Arm:
        emulator = WorkspaceEmulator(Settings(ca_folder=tmp_path, **(SETTINGS | settings))).start()
        control = Control(emulator.control_url)
        arm = Arm(emulator, control)
        started.append((emulator, control, arm))
        return arm

    yield start
    for emulator, control, arm in started:
        arm.http.close()
        control.close()
        emulator.stop()


@pytest.fixture(scope="module")
def client(running_emulator: WorkspaceEmulator) -> Iterator[Any]:
    """The real, unmodified azure-ai-ml client."""
    with warnings.catch_warnings():
        # The client builds its schemas, in a way that its marshmallow deprecates, when imported.
        warnings.simplefilter("ignore", Marshmallow4Warning)
        from azure.ai.ml import MLClient

    logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
    url = running_emulator.url
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("IDENTITY_ENDPOINT", running_emulator.identity_url)
        environment.setenv("IDENTITY_HEADER", running_emulator.settings.identity_header)
        environment.setenv("AZUREML_CURRENT_CLOUD", "")
        with ManagedIdentityCredential() as credential:
            yield MLClient(
                credential,
                "sub-1",
                "rg-1",
                "ws-a",
                cloud=url,
                cloud_metadata={
                    "azure_portal": url,
                    "resource_manager": url,
                    "active_directory": url,
                    "aml_resource_id": "https://ml.azure.com",
                    "storage_endpoint": "core.windows.net",
                    "registry_discovery_endpoint": url,
                },
                connection_verify=str(running_emulator.ca_path),
                polling_interval=1,
                show_progress=False,
                enable_telemetry=False,
            )
