"""A server that does what a server should not: each behaviour bounded, on the loopback only.

Its answers promise to be endless. Each ends by itself after DROPS_MAX drops or BYTES_MAX bytes, and
is then counted as borne to the end. A good client has hung up before.
"""

import gzip
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any, Self

import trustme

DROPS_MAX = 600
#: In seconds: all drops together take 12.
PAUSE = 0.02
BYTES_MAX = 64 * 1024 * 1024
_PIECE = bytes(65_536)
_REQUEST_MAX = 4 * 1024 * 1024

type Behaviour = Callable[["Talk"], None]


class Talk:
    """One connection on which a request has arrived, or is about to."""

    def __init__(self, server: "Hostile", connection: socket.socket) -> None:
        self.server = server
        self.connection = connection
        self.method = self.path = ""

    def read(self) -> None:
        """Read the request, encrypted as all are."""
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        text = b""
        while b"\r\n\r\n" not in text and len(text) < _REQUEST_MAX:
            piece = self.connection.recv(65_536)
            if not piece:
                raise ConnectionError
            text += piece
        head, _, body = text.partition(b"\r\n\r\n")
        self.method, self.path = head.decode("latin-1").split(" ")[:2]
        lengths = [line for line in head.lower().split(b"\r\n") if b"content-length:" in line]
        left = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
        while left > 0:
            left -= len(self.connection.recv(65_536)) or left

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(self, body: bytes, status: str = "200 OK", **headers: str) -> None:
        """Send a whole answer."""
        named = {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}
        told = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in named.items())
        self.send(f"HTTP/1.1 {status}\r\n{told}Connection: close\r\n\r\n".encode() + body)

    def drip(self, drop: bytes) -> None:
        """Send drops, as long as anybody takes them."""
        for _ in range(DROPS_MAX):
            self.send(drop)
            if self.server.over.wait(PAUSE):
                return
        self.server.count_borne(self)

    def pour(self, piece: bytes = _PIECE, most: int = BYTES_MAX) -> None:
        """Send bytes as fast as they are taken."""
        for _ in range(most // len(piece)):
            self.send(piece)
        self.server.count_borne(self)


class Hostile:
    """A running server. `behave` is what it does to each request that `good` has no answer for."""

    def __init__(self, authority: trustme.CA) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)
        self.over = Event()
        self.behave: Behaviour = silence
        self.good: Callable[[str, str], Any] = lambda _method, _path: None
        self.borne: list[str] = []
        self.paths: list[str] = []
        self._lock = Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, name="hostile", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._listener.close()

    def count_borne(self, talk: Talk) -> None:
        """Remember that somebody let a behaviour go on to its end."""
        with self._lock:
            self.borne.append(f"{talk.method} {talk.path}")

    def _accept(self) -> None:
        with suppress(OSError):
            while not self.over.is_set():
                connection, _ = self._listener.accept()
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        talk = Talk(self, connection)
        with suppress(OSError, ValueError):
            if self.behave is not no_handshake:
                talk.read()
                with self._lock:
                    self.paths.append(talk.path)
            answer = self.good(talk.method, talk.path.partition("?")[0])
            if answer is not None:
                talk.answer(json.dumps(answer).encode())
            else:
                self.behave(talk)
        # The bytes that were sent are still delivered.
        with suppress(OSError):
            talk.connection.close()


def silence(talk: Talk) -> None:
    talk.connection.settimeout(PAUSE)
    for _ in range(DROPS_MAX):
        with suppress(TimeoutError):
            if not talk.connection.recv(65_536):
                return
    talk.server.count_borne(talk)


def no_handshake(talk: Talk) -> None:
    silence(talk)


def hang_up(talk: Talk) -> None:
    """Say nothing, and close."""


def redirect(talk: Talk) -> None:
    talk.answer(b"", "307 Temporary Redirect", Location=f"{talk.server.url}/elsewhere")


def redirect_nowhere(talk: Talk) -> None:
    talk.answer(b"", "302 Found", Location="https://[\x01")


def drip_head(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    talk.drip(b"a")


def drip_interim(talk: Talk) -> None:
    talk.drip(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")


def drip_body(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{")
    talk.drip(b" ")


def drip_chunks(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    talk.drip(b"1\r\n \r\n")


def pour_interim(talk: Talk) -> None:
    talk.pour(b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000)


def pour_head(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\n")
    talk.pour(b"X-More: " + b"a" * 1_000 + b"\r\n")


def pour_body(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4294967296\r\n\r\n")
    talk.pour()


def pour_chunks(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    talk.pour(b"10000\r\n" + _PIECE + b"\r\n")


def cut_off(talk: Talk) -> None:
    talk.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"a":')


def garbage(talk: Talk) -> None:
    talk.send(b"\x00\xff" * 500 + b"\r\n\r\n")


def upgrade(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n{}")


def two_lengths(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}")


def odd_headers(talk: Talk) -> None:
    long = "9" * 5_000
    talk.answer(
        b"{}",
        "429 \xff" if "a" in talk.path else "424 " + "x" * 500,
        **{
            "Retry-After": long,
            "ms-azureml-model-error-statuscode": long,
            "x-ratelimit-reset": long,
            "x-ratelimit-remaining": "0",
            "Azure-AsyncOperation": "https://[",
            "Set-Cookie": "a=b; expires=" + long,
            "Content-Type": "application/json; charset=nonsense",
        },
    )


def bomb(folds: int, size: int = BYTES_MAX) -> Behaviour:
    """Return a behaviour that answers with zeros, folded up so many times."""
    body, codings = bytes(size), ", ".join(["gzip"] * folds)
    for _ in range(folds):
        body = gzip.compress(body)

    def send(talk: Talk) -> None:
        talk.answer(body, Content_Encoding=codings)

    return send


def document(body: bytes | str, status: str = "200 OK") -> Behaviour:
    """Return a behaviour that answers with one document."""
    content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return lambda talk: talk.answer(content, status)


#: Names that documents of the services have.
_NAMES = (
    *("id", "name", "status", "state", "result", "location", "kind", "error", "errors", "code"),
    *("message", "details", "innererror", "createdAt", "startTimeUtc", "endTimeUtc", "timeStamp"),
    *("average", "timeseries", "data", "metadatavalues", "metrics", "key", "step", "timestamp"),
    *("run", "runs", "info", "run_id", "runId", "experiment", "experiment_id", "tags", "flavors"),
    *("provisioningState", "traffic", "mirrorTraffic", "scoringUri", "authMode", "sku"),
    *("capacity", "instanceCount", "vCPUs", "limit", "currentValue", "family", "inputs", "jobs"),
    *("parameters", "azureml.parameters", "api", "content", "nextLink", "continuationToken"),
    *("primaryKey", "accessToken", "componentSpec", "outputs", "link", "html_url", "created_at"),
    *("workflow_runs", "workflow_run_id", "templateParameters", "buildNumber", "conclusion"),
)


def everywhere(value: str) -> Behaviour:
    """Return a behaviour that answers with a JSON value wherever a service has any."""
    inner = "{" + ",".join(f'"{name}":{value}' for name in _NAMES) + "}"
    nested = f'"properties":{inner},"systemData":{inner},"error":{inner},"run":{{"data":{inner}}}'
    return document(
        "{" + ",".join(f'"{name}":{value}' for name in _NAMES) + f",{nested},"
        f'"value":[{inner},{{{nested}}},{value}],"runs":[{{{nested}}}]}}'
    )


def behaviours() -> Iterator[tuple[str, Behaviour]]:
    """Yield all, by their names."""
    for one in (
        *(no_handshake, silence, hang_up, redirect, redirect_nowhere, garbage, upgrade),
        *(drip_head, drip_interim, drip_body, drip_chunks, two_lengths, odd_headers),
        *(pour_interim, pour_head, pour_body, pour_chunks, cut_off),
    ):
        yield one.__name__, one
    yield "gzip", bomb(1)
    yield "gzip of gzip", bomb(2)
    yield "brackets", document("[" * 200_000)
    yield "an error of brackets", document('{"errors":' + "[" * 200_000, "400 Bad Request")
    words = 'no {\\"errors\\":' + "[" * 50_000
    yield "brackets in an error", document(f'{{"error":{{"message":"{words}"}}}}', "409 Conflict")
    yield "many lists", document('{"value":[' + "[]," * 1_200_000 + "[]]}")
    yield "not UTF-8", document(b'{"a":"\xff"}')
    yield "UTF-16", document('{"a":1}'.encode("utf-16"))
    yield "nothing", document("", "204 No Content")
    yield "a page", document("<html>sign in</html>", "203 Non-Authoritative Information")
    yield "deep values", everywhere("[" * 40 + "]" * 40)
    yield "long numbers", everywhere("9" * 5_000)
    yield "large numbers", everywhere("9" * 299)
    yield "infinite numbers", everywhere("1e999")
    yield "no numbers", everywhere("NaN")
    yield "times before all time", everywhere('"0001-01-01T00:00:00+01:00"')
    yield "times after all time", everywhere('"9999-12-31T23:59:59-01:00"')
    yield "half characters", everywhere('"\\ud800"')
    yield "no characters", everywhere('"\\u0000\\u202e"')
    yield "odd addresses", everywhere('"https://["')
    yield "empty objects", everywhere("{}")
    yield "nulls", everywhere("null")
    yield "truths", everywhere("true")
    yield "lists of texts", everywhere('["a", 1, null]')
