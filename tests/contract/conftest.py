"""Fixtures of the contract suites: each port in memory and for real, each built on its own."""

import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken

from sandbox.azurite import Azurite
from sandbox.workspace.control import Control
from sandbox.workspace.identity import issue_token
from sandbox.workspace.server import WorkspaceEmulator
from sandbox.workspace.settings import Settings
from shared.adapters.aml.connection import Aml
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.adapters.http import Http
from shared.adapters.storage.account import StorageAccount
from shared.base.ports import Blobs, Queues, Tables
from shared.events.model import Workspace
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryBlobs, MemoryQueues, MemoryTables

BACKENDS = ("memory", "azurite")
WORKSPACE = Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a")


class FakeCredential:
    """Signs in at the emulator; counts how often it was asked."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes.append(scopes[0])
        audience = scopes[0].removesuffix("/.default")
        return AccessToken(issue_token(audience, "tenant", "client"), 4_102_444_800)


class Somebody:
    """Somebody else who works in the workspace, through Azure Resource Manager."""

    def __init__(self, emulator: WorkspaceEmulator) -> None:
        trust = ssl.create_default_context(cafile=str(emulator.ca_path))
        token = issue_token(emulator.url, "tenant", "somebody")
        headers = {"Authorization": f"Bearer {token}"}
        self._base = f"{emulator.url}{WORKSPACE.id}"
        self._http = httpx.Client(verify=trust, headers=headers)

    def put(self, path: str, properties: dict[str, Any], **rest: Any) -> dict[str, Any]:
        """Write a resource below the workspace, and return its document."""
        return self._send("PUT", path, {"properties": properties} | rest)

    def get(self, path: str) -> dict[str, Any]:
        """Return the document of a resource below the workspace."""
        return self._send("GET", path, None)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        query = {"api-version": "2025-12-01"}
        answer = self._http.request(method, f"{self._base}{path}", params=query, json=body)
        assert answer.is_success, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def close(self) -> None:
        self._http.close()


@dataclass(frozen=True)
class QueueBench:
    """Queues, and a way to let a short time pass for them."""

    queues: Queues
    elapse: Callable[[timedelta], object]

    def receive_within(self, queue: str, limit: timedelta) -> tuple[str, ...]:
        """Receive the first messages that become visible within the limit."""
        step = timedelta(milliseconds=100)
        for _ in range(limit // step):
            if found := self.queues.receive(queue):
                return tuple(message.text for message in found)
            self.elapse(step)
        return ()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def name() -> str:
    """A name that no other test uses, legal for tables, queues and containers."""
    return f"t{uuid.uuid4().hex[:20]}"


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture(scope="session")
def account(azurite: Azurite) -> StorageAccount:
    def no_credential() -> Any:
        raise AssertionError("a connection string needs no credential")

    return StorageAccount({"AzureWebJobsStorage": azurite.connection_string}, no_credential)


@pytest.fixture(params=BACKENDS)
def tables(request: pytest.FixtureRequest) -> Iterator[Tables]:
    if request.param == "memory":
        yield MemoryTables()
        return
    from shared.adapters.storage.tables import AzureTables

    with request.getfixturevalue("account").table_client() as client:
        yield AzureTables(lambda: client)


@pytest.fixture(params=BACKENDS)
def bench(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[QueueBench]:
    if request.param == "memory":
        yield QueueBench(MemoryQueues(clock), clock.pass_time)
        return
    from shared.adapters.storage.queues import AzureQueues

    never = Event()
    with request.getfixturevalue("account").queue_client() as client:
        queues = AzureQueues(lambda: client)
        yield QueueBench(queues, lambda time: never.wait(time.total_seconds()))


@pytest.fixture
def queues(bench: QueueBench) -> Queues:
    return bench.queues


@pytest.fixture(params=BACKENDS)
def blobs(request: pytest.FixtureRequest) -> Iterator[Blobs]:
    if request.param == "memory":
        yield MemoryBlobs()
        return
    from shared.adapters.storage.blobs import AzureBlobs

    with request.getfixturevalue("account").blob_client() as client:
        yield AzureBlobs(lambda: client)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceEmulator]:
    settings = Settings(
        ca_folder=tmp_path_factory.mktemp("ca"),
        workspaces=(WORKSPACE.name,),
        subscription=WORKSPACE.subscription,
        resource_group=WORKSPACE.resource_group,
    )
    with WorkspaceEmulator(settings) as running:
        yield running


@pytest.fixture
def control(emulator: WorkspaceEmulator) -> Iterator[Control]:
    with Control(emulator.control_url) as control:
        control.reset()
        yield control


@pytest.fixture
def credential() -> FakeCredential:
    return FakeCredential()


@pytest.fixture
def workspaces(
    emulator: WorkspaceEmulator, control: Control, credential: FakeCredential, clock: ManualClock
) -> Iterator[ArmWorkspaces]:
    http = Http(ca_path=str(emulator.ca_path))
    aml = Aml(lambda: credential, arm_endpoint=emulator.url, http=http, clock=clock)
    with closing(ArmWorkspaces(aml)) as adapter:
        yield adapter


@pytest.fixture
def somebody(emulator: WorkspaceEmulator, control: Control) -> Iterator[Somebody]:
    with closing(Somebody(emulator)) as person:
        yield person
