"""The storage account: how the settings lead to it, and what its failures become."""

import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NoReturn

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.identity import CredentialUnavailableError

from sandbox.azurite import connection_string
from shared.adapters.storage.account import StorageAccount
from shared.adapters.storage.blobs import AzureBlobs
from shared.adapters.storage.queues import AzureQueues
from shared.adapters.storage.tables import AzureTables
from shared.base.errors import SettingInvalid, StorageDenied, StorageUnavailable

SECRET = "c2VjcmV0LWtleQ=="


class Credential:
    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken("token", 4_102_444_800)


def no_credential() -> Any:
    raise AssertionError("no credential is needed")


class Service(ThreadingHTTPServer):
    """Answers every request with one status, and counts them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 503
        self.count = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.count += 1
        self.send_response(self.server.status)
        self.send_header("Retry-After", "3600")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join(5)
    server.server_close()


def account_at(port: int) -> StorageAccount:
    return StorageAccount(
        {"AzureWebJobsStorage": connection_string(port, port, port)}, no_credential
    )


def call(account: StorageAccount, which: str) -> None:
    match which:
        case "tables":
            with account.table_client() as tables:
                AzureTables(lambda: tables).insert("table", "part", "key", {})
        case "queues":
            with account.queue_client() as queues:
                AzureQueues(lambda: queues).send("queue", "text")
        case "blobs":
            with account.blob_client() as blobs:
                AzureBlobs(lambda: blobs).put("container", "name", b"body")


SERVICES = pytest.mark.parametrize("which", ["tables", "queues", "blobs"])


@SERVICES
@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_service_in_trouble_is_asked_once_and_nobody_sleeps(
    service: Service, which: str, status: int
) -> None:
    service.status = status
    with pytest.raises(
        StorageUnavailable, match=f"in storage account devstoreaccount1: HTTP {status}"
    ):
        call(account_at(service.server_port), which)
    assert service.count == 1


@SERVICES
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_the_account(service: Service, which: str, status: int) -> None:
    service.status = status
    with pytest.raises(StorageDenied, match="in storage account devstoreaccount1") as caught:
        call(account_at(service.server_port), which)
    assert "docs/reference/roles.md" in caught.value.hint
    assert service.count == 1


@SERVICES
def test_what_storage_can_not_take_is_let_through(service: Service, which: str) -> None:
    service.status = 413
    with pytest.raises(HttpResponseError):
        call(account_at(service.server_port), which)
    assert service.count == 1


class NobodySignedIn:
    """A credential like `DefaultAzureCredential` where nobody has signed in."""

    def get_token(self, *scopes: str, **_: Any) -> NoReturn:
        raise CredentialUnavailableError("DefaultAzureCredential failed\n" + "tried: x\n" * 100)


@SERVICES
def test_where_nobody_has_signed_in_that_is_told_on_one_line(which: str) -> None:
    account = StorageAccount({"AzureWebJobsStorage__accountName": "railway"}, NobodySignedIn)
    with pytest.raises(StorageDenied) as caught:
        call(account, which)
    assert caught.value.message.endswith("account railway: no credential could sign in")
    assert "az login" in caught.value.hint


@SERVICES
def test_a_service_that_is_not_there_is_unavailable(service: Service, which: str) -> None:
    service.shutdown()
    service.server_close()
    with pytest.raises(StorageUnavailable, match="devstoreaccount1: no answer") as caught:
        call(account_at(service.server_port), which)
    assert "Azurite" in caught.value.hint
    elsewhere = connection_string(1, 1, 1).replace("devstoreaccount1", "railway")
    with pytest.raises(StorageUnavailable, match="railway: no answer") as caught:
        call(StorageAccount({"AzureWebJobsStorage": elsewhere}, no_credential), which)
    assert caught.value.hint.startswith("See whether the account is there")


def test_a_query_in_trouble_is_unavailable_when_it_is_read(service: Service) -> None:
    with account_at(service.server_port).table_client() as client:
        rows = AzureTables(lambda: client).query("table")
        with pytest.raises(StorageUnavailable):
            next(rows)


def urls(account: StorageAccount) -> tuple[str, ...]:
    clients = (account.table_client(), account.queue_client(), account.blob_client())
    with clients[0], clients[1], clients[2]:
        return tuple(client.url.rstrip("/") for client in clients)


def test_an_account_name_is_enough_with_an_identity() -> None:
    account = StorageAccount({"AzureWebJobsStorage__accountName": "railway"}, Credential)
    assert urls(account) == (
        "https://railway.table.core.windows.net",
        "https://railway.queue.core.windows.net",
        "https://railway.blob.core.windows.net",
    )


def test_the_services_can_be_named_one_by_one() -> None:
    account = StorageAccount(
        {
            "AzureWebJobsStorage__accountName": "railway",
            "AzureWebJobsStorage__tableServiceUri": "https://a.example",
            "AzureWebJobsStorage__queueServiceUri": "https://b.example",
            "AzureWebJobsStorage__blobServiceUri": "https://c.example",
        },
        Credential,
    )
    assert urls(account) == ("https://a.example", "https://b.example", "https://c.example")


def test_the_usual_setting_for_development_works() -> None:
    account = StorageAccount({"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, no_credential)
    assert urls(account) == (
        "http://127.0.0.1:10002/devstoreaccount1",
        "http://127.0.0.1:10001/devstoreaccount1",
        "http://127.0.0.1:10000/devstoreaccount1",
    )


@pytest.mark.parametrize("settings", [{}, {"AzureWebJobsStorage": ""}])
def test_settings_that_name_no_account_are_invalid(settings: dict[str, str]) -> None:
    with pytest.raises(SettingInvalid, match="which storage account holds the app's tables") as no:
        StorageAccount(settings, no_credential).table_client()
    assert "AzureWebJobsStorage__accountName" in no.value.hint


@pytest.mark.parametrize(
    "text", [f"AccountKey={SECRET}", SECRET, f"AccountName=a;AccountKey={SECRET};Broken"]
)
@pytest.mark.parametrize("service", ["table", "queue", "blob"])
def test_a_broken_connection_string_is_named_but_not_told(text: str, service: str) -> None:
    account = StorageAccount({"AzureWebJobsStorage": text}, no_credential)
    with pytest.raises(SettingInvalid, match="AzureWebJobsStorage is not") as caught:
        getattr(account, f"{service}_client")()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
