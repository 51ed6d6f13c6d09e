"""Scoring requests: what is sent, how much is read, and where a secret never goes."""

import ssl
import traceback
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import trustme

from shared.adapters.aml.scoring import send_score
from shared.adapters.client import Client
from shared.adapters.http import BODY_MAX, Http
from shared.adapters.refusals import WORKSPACE
from shared.base.errors import WorkspaceRefused, WorkspaceUnreachable

SECRET = "the-endpoints-key"
LONG = timedelta(seconds=10)
SHORT = timedelta(milliseconds=300)


class Endpoint(ThreadingHTTPServer):
    """Answers as its path says; keeps the requests."""

    daemon_threads = True

    def __init__(self, authority: trustme.CA) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.requests: list[Any] = []
        self.over = Event()

    def url(self, path: str) -> str:
        return f"https://localhost:{self.server_port}/{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are what is tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        match self.path:
            case "/score":
                self._answer(200, b"[1, 2]")
            case "/moved":
                self._answer(307, b"", Location=self.server.url("score"))
            case "/odd":
                self._answer(424, b"", **{"ms-azureml-model-error-statuscode": "what?"})
            case "/huge":
                self._answer(200, b"x" * (BODY_MAX + 100_000))
            case "/drip":
                self._drip()

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        while not self.server.over.wait(0.05):
            self.wfile.write(b".")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def endpoint(authority: trustme.CA) -> Iterator[Endpoint]:
    server = Endpoint(authority)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture
def client(authority: trustme.CA, tmp_path: Path) -> Iterator[Client]:
    ca_path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_path))
    http = Http(ca_path=str(ca_path))
    yield Client(WORKSPACE, http=http)
    http.close()


def test_a_request_names_its_deployment_and_proves_itself(
    client: Client, endpoint: Endpoint
) -> None:
    score = send_score(client, endpoint.url("score"), "green", SECRET, b"{}", timeout=LONG)
    assert (score.status, score.model_status, score.body) == (200, 0, b"[1, 2]")
    ((_, headers, body),) = endpoint.requests
    named = {name.lower(): value for name, value in headers.items()}
    assert named["authorization"] == f"Bearer {SECRET}"
    assert named["azureml-model-deployment"] == "green"
    assert named["content-type"] == "application/json"
    assert body == b"{}"


def test_a_secret_does_not_follow_a_redirect(client: Client, endpoint: Endpoint) -> None:
    score = send_score(client, endpoint.url("moved"), "green", SECRET, b"{}", timeout=LONG)
    assert score.status == 307
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("url", ["http://localhost/score", "", "https:///score", "ftp://x/score"])
def test_a_secret_goes_out_over_https_only(client: Client, url: str) -> None:
    with pytest.raises(WorkspaceRefused, match="https"):
        send_score(client, url, "green", SECRET, b"{}", timeout=LONG)


def test_an_answer_is_read_to_a_limit(client: Client, endpoint: Endpoint) -> None:
    score = send_score(client, endpoint.url("huge"), "green", SECRET, b"{}", timeout=LONG)
    assert len(score.body) == BODY_MAX


def test_an_answer_that_comes_in_drops_is_too_late(client: Client, endpoint: Endpoint) -> None:
    with pytest.raises(WorkspaceUnreachable, match="ReadTimeout"):
        send_score(client, endpoint.url("drip"), "green", SECRET, b"{}", timeout=SHORT)


def test_a_model_status_that_is_no_number_is_none(client: Client, endpoint: Endpoint) -> None:
    score = send_score(client, endpoint.url("odd"), "green", SECRET, b"{}", timeout=LONG)
    assert (score.status, score.model_status) == (424, 0)


def test_a_certificate_that_nobody_vouches_for_is_no_endpoint(endpoint: Endpoint) -> None:
    client = Client(WORKSPACE)
    with pytest.raises(WorkspaceUnreachable, match="ConnectError"):
        send_score(client, endpoint.url("score"), "green", SECRET, b"{}", timeout=LONG)
    assert endpoint.requests == []


def test_a_secret_is_in_no_error(client: Client, endpoint: Endpoint) -> None:
    endpoint.shutdown()
    endpoint.server_close()
    with pytest.raises(WorkspaceUnreachable) as caught:
        send_score(client, endpoint.url("score"), "green", SECRET, b"{}", timeout=LONG)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
