"""The tap between the real storage clients and Azurite, and in front of an https server."""

import http.client
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from azure.core.exceptions import ResourceExistsError, ServiceRequestError, ServiceResponseError
from azure.data.tables import TableClient, TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from sandbox.azurite import Azurite, connection_string
from sandbox.tap import Request, Tap

DROPPED = (ServiceRequestError, ServiceResponseError)


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture
def table_tap(azurite: Azurite) -> Iterator[Tap]:
    with Tap(f"http://127.0.0.1:{azurite.table_port}") as tap:
        yield tap


@pytest.fixture
def table(table_tap: Tap, request: pytest.FixtureRequest) -> Iterator[TableClient]:
    """A table of this test's own, reached through the tap, by a client that never retries."""
    text = connection_string(1, 1, table_tap.port)
    with TableServiceClient.from_connection_string(text, retry_total=0) as service:
        table = service.create_table(f"t{abs(hash(request.node.nodeid))}")
        table_tap.clear()
        yield table
        table.close()


def is_insert(request: Request) -> bool:
    return request.method == "POST"


def row(key: str) -> dict[str, Any]:
    return {"PartitionKey": "p", "RowKey": key}


class Upstream(BaseHTTPRequestHandler):
    """Answers in the ways that the storage services do not."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nfirst\r\n6;x=y\r\nsecond\r\n0\r\nTrailer: t\r\n\r\n")
        elif self.path == "/until-closed":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"no length")
        else:
            self.answer(self.headers["Host"].encode())

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            size = int(self.rfile.readline(), 16)
            body = self.rfile.read(size)
            while self.rfile.readline() != b"0\r\n":
                pass
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(body)
        if self.path == "/leave":
            self.close_connection = True

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class UpstreamServer(ThreadingHTTPServer):
    """Counts the connections that it has closed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Upstream)
        self.closed = threading.Semaphore(0)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.closed.release()


@pytest.fixture
def upstream() -> Iterator[UpstreamServer]:
    server = UpstreamServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def plain(upstream: UpstreamServer) -> Iterator[Tap]:
    with Tap(f"http://127.0.0.1:{upstream.server_port}") as tap:
        yield tap


def test_the_table_client_signs_its_requests_and_the_tap_notes_each(
    table: TableClient, table_tap: Tap
) -> None:
    table.create_entity(row("1"))
    with pytest.raises(ResourceExistsError):
        table.create_entity(row("1"))
    assert [each["RowKey"] for each in table.list_entities()] == ["1"]
    noted = table_tap.requests
    assert [(each.method, each.status) for each in noted] == [
        ("POST", 201),
        ("POST", 409),
        ("GET", 200),
    ]
    assert noted[0].path == f"/devstoreaccount1/{table.table_name}"
    assert b'"RowKey": "1"' in noted[0].body
    assert noted[0].seconds is not None
    assert noted[0].time <= noted[1].time


def test_a_table_batch_passes_in_one_piece(table: TableClient, table_tap: Tap) -> None:
    table.submit_transaction([("create", row("1")), ("create", row("2"))])
    assert [each.path for each in table_tap.requests] == ["/devstoreaccount1/$batch"]
    assert len(list(table.list_entities())) == 2


def test_queue_and_blob_clients_work_through_taps_too(azurite: Azurite) -> None:
    with (
        Tap(f"http://127.0.0.1:{azurite.blob_port}") as blobs,
        Tap(f"http://127.0.0.1:{azurite.queue_port}") as queues,
    ):
        text = connection_string(blobs.port, queues.port, 1)
        with QueueServiceClient.from_connection_string(text) as service:
            queue = service.create_queue("tapped")
            queue.send_message("hello <&> é")
            received = [each.content for each in queue.receive_messages()]
        with BlobServiceClient.from_connection_string(text) as service:
            container = service.create_container("tapped")
            large = b"\0\r\n\r\n" * 1_000_000
            container.upload_blob("large", large)
            read_back = container.download_blob("large").readall()
        assert received == ["hello <&> é"]
        assert read_back == large
        assert [each.method for each in queues.requests][:3] == ["PUT", "POST", "GET"]


def test_a_strike_before_keeps_the_request_from_the_upstream(
    table: TableClient, table_tap: Tap
) -> None:
    done = threading.Event()
    strike = table_tap.strike(is_insert, "before", done.set)
    with pytest.raises(DROPPED):
        table.create_entity(row("1"))
    assert strike.wait()
    assert done.is_set()
    assert table_tap.requests[0].status is None
    assert list(table.list_entities()) == []


def test_a_strike_after_loses_the_answer_of_work_that_was_done(
    table: TableClient, table_tap: Tap
) -> None:
    strike = table_tap.strike(is_insert, "after")
    with pytest.raises(DROPPED):
        table.create_entity(row("1"))
    assert strike.wait()
    assert table_tap.requests[0].status == 201
    assert len(list(table.list_entities())) == 1


def test_a_strike_falls_on_the_nth_match_and_only_once(table: TableClient, table_tap: Tap) -> None:
    table_tap.strike(is_insert, nth=2)
    table.create_entity(row("1"))
    with pytest.raises(DROPPED):
        table.create_entity(row("2"))
    table.create_entity(row("2"))
    table.create_entity(row("3"))
    assert [each.status for each in table_tap.requests] == [201, None, 201, 201]


def test_a_strike_that_nothing_matches_does_not_fall(table: TableClient, table_tap: Tap) -> None:
    strike = table_tap.strike(lambda request: request.method == "DELETE")
    table.create_entity(row("1"))
    assert not strike.wait(0.01)


def test_what_the_strike_raises_reaches_the_one_who_waits(plain: Tap) -> None:
    def fail() -> None:
        raise LookupError("no such process")

    strike = plain.strike(lambda request: True, "before", fail)
    with pytest.raises(httpx.TransportError):
        httpx.get(plain.url)
    with pytest.raises(LookupError, match="no such process"):
        strike.wait()


def test_the_host_header_is_the_clients_own(plain: Tap) -> None:
    assert httpx.get(plain.url).text == f"127.0.0.1:{plain.port}"


def test_bodies_pass_in_chunks_until_close_and_not_at_all(plain: Tap) -> None:
    assert httpx.get(f"{plain.url}/chunks?a=b").status_code == 200
    assert httpx.get(f"{plain.url}/chunks").text == "firstsecond"
    assert httpx.get(f"{plain.url}/until-closed").text == "no length"
    assert httpx.head(plain.url).headers["content-length"] == "1000"
    assert httpx.post(plain.url, content=iter([b"in chunks"])).text == "in chunks"
    assert (plain.requests[0].path, plain.requests[0].query) == ("/chunks", "a=b")


def test_one_connection_carries_many_requests(plain: Tap) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", plain.port, timeout=60)
    connection.connect()
    kept = connection.sock
    for number in range(20):
        connection.request("POST", "/", body=str(number).encode())
        assert connection.getresponse().read() == str(number).encode()
        assert connection.sock is kept
    connection.close()


def test_many_clients_are_served_at_once_and_every_request_is_counted(plain: Tap) -> None:
    with httpx.Client() as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.post(plain.url, content=str(n)).text, range(200)))
    assert answers == [str(number) for number in range(200)]
    assert len(plain.requests) == 200


def test_an_upstream_that_is_gone_drops_the_connection() -> None:
    with Tap("http://127.0.0.1:9") as tap, pytest.raises(httpx.TransportError):
        httpx.get(tap.url)


def test_an_upstream_that_left_an_idle_connection_is_connected_to_again(
    plain: Tap, upstream: UpstreamServer
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", plain.port, timeout=60)
    connection.connect()
    kept = connection.sock
    for number in range(5):
        connection.request("POST", "/leave", body=str(number).encode())
        assert connection.getresponse().read() == str(number).encode()
        assert upstream.closed.acquire(timeout=60)
    assert connection.sock is kept
    connection.close()


def test_a_tap_between_https_and_https_checks_one_certificate_and_shows_its_own(
    upstream: UpstreamServer, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(tls)
    upstream.socket = tls.wrap_socket(upstream.socket, server_side=True)
    with Tap(
        f"https://127.0.0.1:{upstream.server_port}",
        certfile=tmp_path / "server.pem",
        upstream_cafile=tmp_path / "ca.pem",
    ) as tap:
        trusted = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        with httpx.Client(verify=trusted) as client:
            answers = [client.post(tap.url, content=b"secret").text for _ in range(3)]
    assert tap.requests[0].status == 200
    assert answers == ["secret"] * 3


def test_an_upstream_address_that_is_not_one_is_refused() -> None:
    with pytest.raises(ValueError, match="not an http"):
        Tap("127.0.0.1:80")
    with pytest.raises(ValueError, match="paths pass through"):
        Tap("http://127.0.0.1/devstoreaccount1")
