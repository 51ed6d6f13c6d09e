"""The guarded exchange: one deadline, counted bytes, and a clock that moves with what is read."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, islice, repeat
from typing import Any

import httpcore
import pytest

from shared.adapters.deadline import within
from shared.adapters.http import BODY_MAX, Http, NoAnswer, Reply, is_https

URL = "http://127.0.0.1/x"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Net(httpcore.NetworkBackend):
    """Servers of which each sends its pieces, one a second, and the clock of whoever reads them."""

    def __init__(self, *servers: Iterator[bytes] | Exception, second: float = 1) -> None:
        self.servers = list(servers)
        self.second = second
        self.time = 0.0
        self.connects = 0
        self.reads = 0
        self.closes = 0
        self.sent = b""

    def now(self) -> float:
        return self.time

    def connect_tcp(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        self.connects += 1
        server = self.servers.pop(0)
        if isinstance(server, Exception):
            raise server
        return Wire(self, server)


class Wire(httpcore.NetworkStream):
    def __init__(self, net: Net, pieces: Iterator[bytes]) -> None:
        self.net = net
        self.pieces = pieces

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        assert timeout is not None
        assert 0 < timeout <= 10
        self.net.reads += 1
        self.net.time += self.net.second
        return next(self.pieces, b"")

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.net.sent += buffer

    def close(self) -> None:
        self.net.closes += 1

    def get_extra_info(self, info: str) -> Any:
        return None


def ask(net: Net, *, seconds: float = 10, most: int = BODY_MAX) -> Reply:
    http = Http(backend=net, clock=net.now)
    return http.send("GET", URL, headers={"X-Own": "1"}, seconds=seconds, most=most)


def drops(content: bytes) -> Iterator[bytes]:
    return (content[at : at + 1] for at in range(len(content)))


def test_a_request_says_who_asks_and_takes_nothing_folded() -> None:
    net = Net(iter([GOOD]))
    assert ask(net).body == b"{}"
    lines = net.sent.split(b"\r\n")
    assert b"User-Agent: signalbox" in lines
    assert b"Accept-Encoding: identity" in lines
    assert b"X-Own: 1" in lines


#: Each for ever, and each with something in every piece, so that no wait is long.
DRIPS: dict[str, Callable[[], Iterator[bytes]]] = {
    "a head": lambda: chain(drops(b"HTTP/1.1 200 OK\r\nX: "), repeat(b"a")),
    "heads before the head": lambda: repeat(INTERIM),
    "a body": lambda: chain([b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"], repeat(b"a")),
    "a body in chunks": lambda: chain([CHUNKED], repeat(b"1\r\na\r\n")),
    "a body until the connection ends": lambda: chain([b"HTTP/1.1 200 OK\r\n\r\n"], repeat(b"a")),
    "what follows the body": lambda: chain([CHUNKED, b"0\r\n"], repeat(b"X: a\r\n")),
}


@pytest.mark.parametrize("kind", DRIPS)
@pytest.mark.parametrize("length", [100, 1000])
def test_an_answer_in_drops_takes_no_longer_the_longer_it_is(kind: str, length: int) -> None:
    net = Net(islice(DRIPS[kind](), length))
    with pytest.raises(NoAnswer, match="ReadTimeout"):
        ask(net, seconds=10)
    assert net.reads == 10


@pytest.mark.parametrize("kind", DRIPS)
def test_an_answer_that_comes_fast_is_read_to_some_length(kind: str) -> None:
    pieces = DRIPS[kind]()
    net = Net((b"".join(islice(pieces, 10_000)) for _ in repeat(None)), second=0)
    with suppress(NoAnswer):
        assert len(ask(net, most=100).body) == 100
    assert net.reads < 50


def test_a_connection_that_was_not_made_is_tried_once_more() -> None:
    net = Net(httpcore.ConnectError("refused"), iter([GOOD]))
    assert ask(net).status == 200
    refused = Net(*(httpcore.ConnectError("refused") for _ in range(5)))
    with pytest.raises(NoAnswer, match="ConnectError"):
        ask(refused)
    assert refused.connects == 2


def test_a_connection_is_closed_that_comes_too_late_to_be_encrypted() -> None:
    net = Net(iter([]), iter([]))
    real = net.connect_tcp

    def late(*args: Any, **options: Any) -> httpcore.NetworkStream:
        net.time += 10
        return real(*args, **options)

    net.connect_tcp = late  # type: ignore[method-assign]
    with pytest.raises(NoAnswer, match="ConnectTimeout"):
        Http(backend=net, clock=net.now).send("GET", "https://127.0.0.1/", headers={}, seconds=10)
    assert (net.connects, net.closes) == (1, 1)


def test_a_request_that_was_sent_is_not_sent_again() -> None:
    net = Net(iter([b""]), iter([GOOD]))
    with pytest.raises(NoAnswer, match="RemoteProtocolError"):
        ask(net)
    assert net.connects == 1


def test_a_redirect_is_an_answer_like_any_other() -> None:
    for place in (b"https://evil.example/", b"http://[", b"\xff"):
        net = Net(
            iter([b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % place])
        )
        assert (ask(net).status, net.connects) == (302, 1)


def test_no_cookie_is_kept() -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=secret; Path=/\r\nContent-Length: 0\r\n\r\n"
    net = Net(iter([head, head]))
    http = Http(backend=net, clock=net.now)
    for _ in range(2):
        http.send("GET", URL, headers={}, seconds=10)
    assert net.connects == 1
    assert b"secret" not in net.sent


def folded(coding: str, body: bytes) -> Iterator[bytes]:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return iter([head.encode() + body])


@pytest.mark.parametrize(
    ("coding", "body", "expected", "is_whole"),
    [
        ("gzip", gzip.compress(b"{}"), b"{}", True),
        ("GZip ", gzip.compress(b"{}"), b"{}", True),
        ("deflate", zlib.compress(b"{}"), b"{}", True),
        ("identity", b"{}", b"{}", True),
        ("gzip", gzip.compress(b"{}")[:-4], b"{}", False),
        ("gzip", gzip.compress(b"a" * 200), b"a" * 100, False),
        ("gzip", b"{}", b"", False),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), b"", False),
        ("br", b"{}", b"", False),
    ],
    ids=[
        *("gzip", "gzip-by-another-spelling", "deflate", "identity", "gzip-cut-short"),
        *("gzip-too-long", "no-gzip", "gzip-of-gzip", "brotli"),
    ],
)
def test_what_was_folded_unasked_is_unfolded_to_some_length(
    coding: str, body: bytes, expected: bytes, is_whole: bool
) -> None:
    reply = ask(Net(folded(coding, body)), most=100)
    assert (reply.body, reply.is_whole) == (expected, is_whole)


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "identity"])
def test_a_long_answer_takes_no_more_memory_than_one_half_as_long(coding: str) -> None:
    ask(Net(iter([GOOD])))

    def peak(size: int) -> int:
        body = bytes(size)
        for _ in range(coding.count("gzip")):
            body = gzip.compress(body)
        net = Net(chain.from_iterable(_pieces(folded(coding, body))))
        tracemalloc.start()
        try:
            ask(net)
        except NoAnswer:
            pass
        finally:
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    # A reader that keeps the answer has 16 MiB more of the longer one. Memory that a process takes
    # once, as for a pattern that is compiled, is in one of the two peaks by chance, and far less.
    assert peak(32 * BODY_MAX) - peak(16 * BODY_MAX) < BODY_MAX
    assert peak(32 * BODY_MAX) < 8 * BODY_MAX


def _pieces(answer: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    for part in answer:
        view = memoryview(part)
        yield (bytes(view[at : at + 65_536]) for at in range(0, len(part), 65_536))


@pytest.mark.parametrize(
    "url",
    ["https://", "https://[", "http://x.y/", "", "//x.y", "https:x.y", "ftp://x.y", "https://]x/"],
)
def test_what_is_no_https_address_is_none(url: str) -> None:
    assert not is_https(url)


@pytest.mark.parametrize("url", ["https://x.y:99999/", "https://\ud800/", "https://a..b/", "x"])
def test_an_address_that_leads_nowhere_has_no_answer(url: str) -> None:
    with pytest.raises(NoAnswer):
        Http().send("GET", url, headers={}, seconds=5)


def test_a_header_that_can_t_be_sent_has_no_answer() -> None:
    net = Net(iter([GOOD]))
    for value in ("a\r\nb: c", "\u20ac"):
        with pytest.raises(NoAnswer):
            Http(backend=net).send("GET", URL, headers={"X": value}, seconds=5)
    assert net.sent == b""


def test_a_name_that_nobody_resolves_is_waited_for_no_longer_than_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from threading import Event

    never = Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: never.wait(30))
    with pytest.raises(NoAnswer, match="ConnectTimeout"):
        Http(longest=0.5).send("GET", "https://x.y/", headers={})
    never.set()


def test_requests_go_through_the_proxy_that_the_settings_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    monkeypatch.setenv("no_proxy", "localhost")
    net = Net(iter([GOOD]), iter([GOOD]))
    http = Http(backend=net, clock=net.now)
    http.send("GET", URL, headers={}, seconds=10)
    assert net.sent.startswith(b"GET http://127.0.0.1/x HTTP/1.1\r\n")
    net.sent = b""
    http.send("GET", "http://localhost/x", headers={}, seconds=10)
    assert net.sent.startswith(b"GET /x HTTP/1.1\r\n")


def test_a_call_that_hangs_is_left_to_a_thread_that_nothing_waits_for() -> None:
    from threading import Event, enumerate

    never = Event()
    with pytest.raises(TimeoutError):
        within(0.01, lambda: never.wait(30), name="hangs")
    (left,) = (thread for thread in enumerate() if thread.name == "hangs")
    assert left.daemon
    never.set()
    left.join(5)


def test_a_call_s_result_and_its_error_are_its_caller_s() -> None:
    assert within(5, lambda: 7, name="seven") == 7
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0, name="fails")
