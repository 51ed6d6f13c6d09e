"""The host answers as the real one was measured to: a table for the webhook, keys and admin API.

Measured of Microsoft.Azure.WebJobs.Script.WebHost 4.1037 with Storage.Queues 5.3.10 and EventGrid
3.3.0. The other triggers have a table of their own beside this one.
"""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.functions_host import newtonsoft
from sandbox.functions_host.bodies import MAX_BYTES
from sandbox.functions_host.host import FunctionsHost
from sandbox.functions_host.keys import Keys

APP = Path(__file__).parent / "apps" / "functions_host"
WEBHOOK = "/runtime/webhooks/eventgrid?functionName="
KEYS = Keys(function="f" * 54 + "==", master="m" * 54 + "==", event_grid="-" + "e" * 53 + "==")
GOOD = {"aeg-event-type": "Notification", "x-functions-key": KEYS.event_grid}
VALIDATION = {"aeg-event-type": "SubscriptionValidation", "x-functions-key": KEYS.event_grid}
FAILED = "Exception while executing function: Functions.on_event"
TIMED_OUT = "Timeout value of 00:00:02 was exceeded by function: Functions.on_event"
CODE = '{"validationResponse":"code-1"}'
HANDSHAKE = {"data": {"validationCode": "code-1"}}


def event(number: int = 1, order: str = "") -> dict[str, Any]:
    """Return an event in the Event Grid schema, whose data says how its function shall end."""
    return {"id": f"e{number}", "eventType": "T", "data": {"order": order}}


class Served:
    """A host with the sample app, and the notes of its functions."""

    def __init__(self, host: FunctionsHost, notes: Path) -> None:
        self.host = host
        self._notes = notes

    def call(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Send a request to the host."""
        return httpx.request(method, self.host.url + path, timeout=60, **how)

    def notes(self) -> list[dict[str, Any]]:
        """Return what was noted since the last call."""
        text = self._notes.read_text() if self._notes.exists() else ""
        self._notes.unlink(missing_ok=True)
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One host for all rows."""
    notes = tmp_path_factory.mktemp("host") / "notes.jsonl"
    settings = {
        "NOTES_FILE": str(notes),
        "QUEUE": "unused",
        "SCHEDULE": "0 0 0 1 1 *",
        "STORAGE": "UseDevelopmentStorage=true",
    }
    with FunctionsHost(APP, settings, timers=False, keys=KEYS, most_deaths=None) as host:
        yield Served(host, notes)


@pytest.fixture
def served(hosted: Served) -> Served:
    """The host, with a living worker and no notes."""
    hosted.host.wait_until_ready(20)
    hosted.notes()
    return hosted


def key(text: str, content: Any = None) -> dict[str, Any]:
    """Return a notification with this key."""
    headers = {"aeg-event-type": "Notification", "x-functions-key": text}
    return {"headers": headers, "content": json.dumps(content)}


def body(content: Any, **headers: str) -> dict[str, Any]:
    """Return a notification with this body."""
    given = content if isinstance(content, str | bytes) else json.dumps(content)
    return {"headers": GOOD | headers, "content": given}


def handshake(content: Any) -> dict[str, Any]:
    return {"headers": VALIDATION, "content": json.dumps(content)}


def case(
    name: str,
    how: dict[str, Any],
    status: int,
    text: str = "",
    *,
    runs: int = 0,
    method: str = "POST",
    to: str = "on_event",
) -> Any:
    """Return a row: a request, what is answered, and how many invocations there are of it."""
    return pytest.param(method, WEBHOOK + to, how, status, text, runs, id=name)


QUERY = f"on_event&code={KEYS.event_grid}"
UTF_16 = json.dumps(event()).encode("utf-16")


def kind(text: str) -> dict[str, Any]:
    return body(event(), **{"aeg-event-type": text})


def typed(content: Any, content_type: str) -> dict[str, Any]:
    return body(content, **{"content-type": content_type})


def nested(levels: int) -> dict[str, Any]:
    """Return an event that is so many levels deep."""
    deep = "[" * (levels - 2) + "]" * (levels - 2)
    return body(f'{{"id": "e", "data": {{"order": "", "x": {deep}}}}}')


DELIVERY = [
    case("key-header", body(event()), 202, runs=1),
    case("key-query", key("", content=event()), 202, runs=1, to=QUERY),
    case("key-master", key(KEYS.master, content=event()), 202, runs=1),
    case("key-host", key(KEYS.function), 403),
    case("key-wrong", key("x"), 401),
    case("key-none", key(""), 401),
    case("key-header-goes-first", key("x"), 401, to=QUERY),
    case("key-before-function", key("x"), 401, to="nobody"),
    case("function-before-kind", kind("Surprise"), 404, "cannot find function: 'x'", to="x"),
    case("function-absent", body(event()), 404, "cannot find function: ''", to=""),
    case("function-case", body(event()), 404, "cannot find function: 'ON_EVENT'", to="ON_EVENT"),
    case("function-timer", body(event()), 404, "cannot find function: 'on_time'", to="on_time"),
    case("handshake", handshake([HANDSHAKE]), 200, CODE),
    case("handshake-object", handshake(HANDSHAKE), 200, CODE),
    case("handshake-no-data", handshake([{}]), 500),
    case("handshake-empty", handshake([]), 500),
    case("unsubscribe", kind("Unsubscribe"), 202),
    case("deletion", kind("SubscriptionDeletion"), 400),
    case("kind-unknown", kind("Surprise"), 400),
    case("kind-absent", kind(""), 400),
    case("kind-case", kind("NOTIFICATION"), 202, runs=1),
    case("method-GET", body(event()), 202, runs=1, method="GET"),
    case("method-PUT", body(event()), 202, runs=1, method="PUT"),
    case("method-DELETE", body(event()), 202, runs=1, method="DELETE"),
    case("method-HEAD", body(event()), 404, method="HEAD"),
    case("method-PATCH", body(event()), 404, method="PATCH"),
    case("array-all", body([event(1), event(2)]), 202, runs=2),
    case("array-at-once", body([event(1, "meet"), event(2, "meet")]), 202, runs=2),
    case("array-one-fails", body([event(1), event(2, "raise")]), 500, FAILED, runs=2),
    case("array-empty", body("[]"), 202),
    case("array-of-numbers", body("[1]"), 500),
    case("array-of-arrays", body("[[{}]]"), 500),
    case("not-json", body("this is no event"), 500),
    case("body-empty", body(""), 500),
    case("body-number", body("1"), 500),
    case("body-null", body("null"), 500),
    case("body-string", body('"x"'), 500),
    case("text-after", body(json.dumps(event()) + " and more"), 500),
    case("charset-unknown", typed(event(), "x/y; charset=klingon"), 500),
    case("gzip", body(b"\x1f\x8b\x08\x00", **{"content-encoding": "gzip"}), 500),
    case("depth-64", nested(64), 202, runs=1),
    case("depth-65", nested(65), 500),
    case("comma", body('[{"id": "e", "data": {"order": "",},},]'), 202, runs=1),
    case("quotes", body("{'id': 'e', 'data': {'order': ''}}"), 202, runs=1),
    case("comments", body('/* a */ {"id": "e", // b\n "data": {"order": ""}}'), 202, runs=1),
    case("bom", body(b"\xef\xbb\xbf" + json.dumps(event()).encode()), 202, runs=1),
    case("content-type-other", typed(event(), "text/html"), 202, runs=1),
    case("content-type-none", typed(event(), ""), 202, runs=1),
    case("utf-16", typed(UTF_16, "application/json; charset=utf-16"), 202, runs=1),
    case("utf-8-invalid", body(b'{"id": "\xff", "data": {"order": ""}}'), 202, runs=1),
    case("worker-dies", body(event(1, "crash")), 500, FAILED, runs=1),
    case("timeout", body(event(1, "hang")), 500, TIMED_OUT, runs=1),
]


@pytest.mark.parametrize(("method", "path", "how", "status", "text", "runs"), DELIVERY)
def test_the_webhook_answers_as_the_real_one(
    served: Served,
    method: str,
    path: str,
    how: dict[str, Any],
    status: int,
    text: str,
    runs: int,
) -> None:
    answer = served.call(method, path, **how)

    assert (answer.status_code, answer.text) == (status, text)
    assert ("Bearer" in answer.headers.get("www-authenticate", "")) == (status == 401)
    if text == CODE:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(served.notes()) == runs


def test_an_empty_object_is_an_invocation(served: Served) -> None:
    before = served.host.invocations["on_event"].started

    served.call("POST", WEBHOOK + "on_event", **body("{}"))

    assert served.host.invocations["on_event"].started == before + 1


@pytest.mark.parametrize("origin", ["somebody.else", None])
def test_the_cloud_events_handshake_names_event_grid_whoever_asks(
    served: Served, origin: str | None
) -> None:
    headers = {"x-functions-key": KEYS.event_grid}
    headers |= {"WebHook-Request-Origin": origin} if origin else {}

    answer = served.call("OPTIONS", WEBHOOK + "on_event", headers=headers)

    assert answer.status_code == 200
    assert answer.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert "webhook-allowed-rate" not in answer.headers


def test_of_a_binary_cloud_event_only_the_body_arrives(served: Served) -> None:
    headers = {"ce-id": "from-the-header", "ce-type": "T", "ce-source": "/s"}

    served.call("POST", WEBHOOK + "on_event", **body(event(), **headers))

    assert [note["id"] for note in served.notes()] == ["e1"]


@pytest.mark.parametrize("path", [WEBHOOK + "on_event", "/api/greetings/x"])
def test_a_body_that_is_too_large_is_a_500_and_the_end_of_the_connection(
    served: Served, path: str
) -> None:
    address = ("127.0.0.1", int(served.host.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=60) as sock:
        sock.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nx-functions-key: {KEYS.master}\r\n"
            f"aeg-event-type: Notification\r\nContent-Length: {MAX_BYTES + 1}\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 500 ")


def test_a_body_of_many_megabytes_is_taken(served: Served) -> None:
    large = event() | {"x": "y" * 31_000_000}

    assert served.call("POST", WEBHOOK + "on_event", **body(large)).status_code == 202


REWRITTEN = [
    ("offset-to-utc", '"2026-11-28T10:00:00+02:00"', '"2026-11-28T08:00:00+00:00"'),
    ("offset-without-colon", '"2026-11-28T10:00:00-0800"', '"2026-11-28T18:00:00+00:00"'),
    ("offset-nought", '"2026-11-28T10:00:00+00:00"', '"2026-11-28T10:00:00+00:00"'),
    ("offset-before-year-1", '"0001-01-01T00:00:00+01:00"', '"0001-01-01T00:00:00+00:00"'),
    ("offset-in-a-key", '{"2026-11-28T10:00:00+02:00": 1}', '{"2026-11-28T10:00:00+02:00":1}'),
    ("offset-deep", '{"t": ["2026-11-28T10:00:00+02:00"]}', '{"t":["2026-11-28T08:00:00+00:00"]}'),
    ("fraction-shortened", '"2026-11-28T10:00:00.1200000Z"', '"2026-11-28T10:00:00.12Z"'),
    ("fraction-nought", '"2026-11-28T10:00:00.0000000Z"', '"2026-11-28T10:00:00Z"'),
    ("fraction-nine", *['"2026-11-28T10:00:00.123456789Z"'] * 2),
    ("microsoft", '"/Date(1700000000000)/"', '"2023-11-14T22:13:20Z"'),
    ("microsoft-beyond-time", *['"/Date(99999999999999999)/"'] * 2),
    ("midnight-24", '"2026-11-28T24:00:00Z"', '"2026-11-29T00:00:00Z"'),
    ("no-zone", *['"2026-11-28T10:00:00"'] * 2),
    ("date", *['"2026-11-28"'] * 2),
    ("blank-for-T", *['"2026-11-28 10:00:00Z"'] * 2),
    ("february-30", *['"2026-02-30T10:00:00Z"'] * 2),
    ("number-fraction", "1.10", "1.1"),
    ("number-exponent", "1e3", "1000.0"),
    ("number-minus-nought", "-0", "0"),
    ("number-digits", "0.1234567890123456789", "0.12345678901234568"),
    ("number-large", "1E400", '"Infinity"'),
    ("number-none", "NaN", '"NaN"'),
    ("integer-long", *["123456789012345678901234567890"] * 2),
    ("float-whole", *["1.0"] * 2),
    ("float-minus-nought", *["-0.0"] * 2),
    ("key-twice", '{"a": 1, "b": 2, "a": 3}', '{"a":3,"b":2}'),
    ("surrogate", '"\\ud800"', '"\ufffd"'),
    ("pair-of-surrogates", '"\\ud83d\\ude00"', '"\U0001f600"'),
    ("special-keys", *['{"z":1,"$ref":"x","$type":"y","":2}'] * 2),
]


@pytest.mark.parametrize(
    ("sent", "arrives"), [pytest.param(*row, id=name) for name, *row in REWRITTEN]
)
def test_an_event_is_read_and_written_again(sent: str, arrives: str) -> None:
    assert newtonsoft.write(newtonsoft.read(sent)) == arrives


def test_what_a_function_gets_is_what_was_written_again(served: Served) -> None:
    data = '{"order": "", "t": "2026-11-28T10:00:00.50+02:00", "n": 1.10, "n": 1e3}'

    served.call("POST", WEBHOOK + "on_event", **body(f'{{"id": "e", "data": {data}}}'))

    (note,) = served.notes()
    assert note["data"] == {"order": "", "t": "2026-11-28T08:00:00.5+00:00", "n": 1000.0}


def call(name: str, path: str, shown: str, status: int, *, method: str = "POST", **how: Any) -> Any:
    """Return a row: a request with a key, and the status of the answer."""
    return pytest.param(method, path, shown, how, status, id=name)


OTHER = "/runtime/webhooks/other"
STATUS = "/admin/host/status"
RUN = "/admin/functions/on_message"
GREET = "/api/greetings/x"
HELLO = "/api/greetings/nobody"

ADMIN = [
    call("other-webhook-no-key", OTHER, "", 401),
    call("other-webhook-host-key", OTHER, KEYS.function, 403),
    call("other-webhook-master", OTHER, KEYS.master, 404),
    call("ping", "/admin/host/ping", "", 200, method="GET"),
    call("warmup", "/admin/warmup", "", 200, method="GET"),
    call("status-no-key", STATUS, "", 401, method="GET"),
    call("status-function-key", STATUS, KEYS.function, 403, method="GET"),
    call("status-master", STATUS, KEYS.master, 200, method="GET"),
    call("run", RUN, KEYS.master, 202, json={"input": "x"}),
    call("run-case", "/admin/functions/ON_MESSAGE", KEYS.master, 202, json={"input": "x"}),
    call("run-fails", RUN, KEYS.master, 202, json={"input": "raise"}),
    call("run-no-body", RUN, KEYS.master, 400, content="", type="application/json"),
    call("run-bad-body", RUN, KEYS.master, 400, json=[1]),
    call("run-no-json", RUN, KEYS.master, 415, content="{}"),
    call("run-unknown", "/admin/functions/nobody", KEYS.master, 404, json={}),
    call("http-function-key", GREET, KEYS.function, 201),
    call("http-master", GREET, KEYS.master, 201),
    call("http-system-key", GREET, KEYS.event_grid, 401),
    call("http-path-case", "/API/Greetings/x", KEYS.function, 201),
    call("http-admin-level", "/api/else", KEYS.function, 401),
    call("http-admin-master", "/api/else", KEYS.master, 200),
    call("http-HEAD-without-methods", HELLO, "", 200, method="HEAD"),
    call("http-OPTIONS-without-methods", HELLO, "", 200, method="OPTIONS"),
    call("http-unknown-route", "/elsewhere", KEYS.master, 404),
    call("http-fails", f"{GREET}?order=raise", KEYS.function, 500),
]


@pytest.mark.parametrize(("method", "path", "shown", "how", "status"), ADMIN)
def test_admin_api_and_http_functions_answer_as_the_real_ones(
    served: Served, method: str, path: str, shown: str, how: dict[str, Any], status: int
) -> None:
    headers = {"x-functions-key": shown}
    if "type" in how:
        how = {**how}
        headers["content-type"] = how.pop("type")

    assert served.call(method, path, headers=headers, **how).status_code == status


def test_the_code_of_a_query_goes_on_to_the_function(served: Served) -> None:
    answer = served.call("POST", f"/api/greetings/x?code={KEYS.function}")

    assert answer.json()["query"] == {"code": KEYS.function}


def test_a_message_by_hand_has_no_id_and_was_never_taken(served: Served) -> None:
    served.host.fire("on_message", "by hand")

    (note,) = served.notes()
    assert (note["id"], note["receipt"], note["attempt"]) == (None, False, 0)
    assert note["inserted"].startswith("9999-12-31")


def test_keys_are_56_characters_of_which_the_first_may_be_a_hyphen() -> None:
    keys = [key for _ in range(300) for key in (Keys().function, Keys().master, Keys().event_grid)]

    assert all(re.fullmatch(r"[\w-]{54}==", key, re.ASCII) for key in keys)
    assert {key[0] for key in keys} >= {"-", "_"}
