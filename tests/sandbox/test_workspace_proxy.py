"""The proxy through which Azure's host names lead to the emulator."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest


@pytest.fixture
def dial(running_emulator):
    proxy = urlsplit(running_emulator.proxy_url)

    def dial(head: str) -> socket.socket:
        connection = socket.create_connection((proxy.hostname, proxy.port), timeout=60)
        connection.sendall(head.encode())
        return connection

    return dial


@pytest.fixture
def somewhere_else() -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(running_emulator) -> Iterator[httpx.Client]:
    """Any client that honours HTTPS_PROXY."""
    trusted = ssl.create_default_context(cafile=str(running_emulator.ca_path))
    with httpx.Client(proxy=running_emulator.proxy_url, verify=trusted) as client:
        yield client


def test_resource_manager_answers_under_its_real_name(client, arm):
    answer = client.get(
        "https://management.azure.com/subscriptions/sub-1/providers"
        "/Microsoft.MachineLearningServices/workspaces?api-version=2025-12-01",
        headers={"Authorization": arm.http.headers["Authorization"]},
    )
    assert [each["name"] for each in answer.json()["value"]] == ["ws-a", "ws-b"]


def test_other_hosts_are_where_they_are(dial, somewhere_else):
    with dial(f"CONNECT 127.0.0.1:{somewhere_else} HTTP/1.1\r\n\r\n") as connection:
        assert b" 200 " in connection.recv(100)
        connection.sendall(b"NONSENSE / HTTP/1.0\r\n\r\n")
        assert b"501" in connection.recv(100)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET http://example.com/ HTTP/1.1\r\n\r\n", b" 405 "),
        ("CONNECT [::1]:443 HTTP/1.1\r\n\r\n", b" 405 "),
        ("CONNECT no.such.host.invalid:443 HTTP/1.1\r\n\r\n", b" 502 "),
        ("CONNECT 127.0.0.1:99999 HTTP/1.1\r\n\r\n", b" 502 "),
    ],
)
def test_what_leads_nowhere_is_refused(dial, head, status):
    with dial(head) as connection:
        assert status in connection.recv(100)


def test_without_storage_blobs_are_not_emulated(client, arm):
    account = arm.properties("/datastores/workspaceblobstore")["accountName"]
    answer = client.get(f"https://{account}.blob.core.windows.net/azureml/a")
    assert answer.status_code == 501
    assert "not emulated" in answer.json()["error"]["message"]
