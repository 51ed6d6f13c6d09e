"""Telling people, with the real Apprise against a server of our own."""

import html
import json
import logging
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import apprise
import pytest
import requests
from requests.adapters import HTTPAdapter

from shared.adapters.channels import AppriseChannels, _service, channel_setting
from shared.adapters.notifier import Notifier, asset
from shared.base.errors import ChannelDown, ChannelUnknown
from shared.twins.storage import MemoryChannels
from tests.unit.test_outgoing import COMMANDS, STUDIO

SECRET = "T0KEN-in-the-path"


class Service(ThreadingHTTPServer):
    """A web hook that keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.bodies: list[Any] = []

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_port}/hooks/{SECRET}"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.bodies.append("a GET, as some redirects are followed")
        self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as server:
        yield server


@contextmanager
def serving() -> Iterator[Service]:
    server = Service()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def tell(
    url: str,
    *,
    title: str = "Rollout *churn*",
    text: str = "90 % → 100 %\n(done)",
    good: bool | None = True,
) -> None:
    channels = AppriseChannels({"SIGNALBOX_CHANNEL_ML_TEAM": url})
    channels.send("ml-team", title=title, text=text, good=good)


@pytest.mark.parametrize(("good", "kind"), [(True, "success"), (False, "failure")])
def test_a_message_arrives_as_it_was_written(service: Service, good: bool, kind: str) -> None:
    tell(service.url, good=good)
    (body,) = service.bodies
    assert body["title"] == "Rollout *churn*"
    assert body["message"] == "90 % → 100 %\n(done)"
    assert body["type"] == kind


def test_messages_do_not_wait_for_each_other(service: Service) -> None:
    for _ in range(3):
        tell(service.url)
    assert len(service.bodies) == 3


def test_all_urls_of_a_setting_are_told(service: Service) -> None:
    tell(f"{service.url}/a, {service.url}/b")
    assert len(service.bodies) == 2


def test_a_service_that_fails_is_down(service: Service) -> None:
    service.status = 500
    with pytest.raises(ChannelDown, match="channel 'ml-team' did not take the message"):
        tell(service.url)


def test_a_message_that_one_of_two_urls_fails_is_a_failure(service: Service) -> None:
    with pytest.raises(ChannelDown):
        tell(f"{service.url}, json://127.0.0.1:1/")
    assert len(service.bodies) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("query", ["?+X-Key=secret", "?+X-Key=secret&redirect=yes"])
def test_a_message_and_its_headers_go_nowhere_else(
    service: Service, status: int, query: str
) -> None:
    with serving() as elsewhere:
        service.status = status
        service.headers["Location"] = f"http://127.0.0.1:{elsewhere.server_port}/"
        with pytest.raises(ChannelDown):
            tell(service.url + query)
        assert (len(service.bodies), elsewhere.bodies) == (1, [])


def test_a_service_that_hangs_is_left_to_a_thread_that_nothing_waits_for() -> None:
    over = threading.Event()
    apprise.decorators.notify(on="hangs", name="Hangs")(lambda *_, **__: over.wait(30))
    hanging = apprise.Apprise(asset=asset())
    hanging.add("hangs://")
    before = set(threading.enumerate())
    text = apprise.NotifyFormat.TEXT
    assert not Notifier().notify(
        hanging, seconds=0.05, format_of=lambda _: text, body="x", title="t"
    )
    (left,) = set(threading.enumerate()) - before
    assert left.daemon
    over.set()
    left.join(5)


def test_only_a_channel_s_requests_are_carried(service: Service) -> None:
    tell(service.url)
    assert type(requests.Session().get_adapter("https://x.y")) is HTTPAdapter


def test_a_service_that_is_not_there_is_down(service: Service) -> None:
    service.shutdown()
    service.server_close()
    with pytest.raises(ChannelDown):
        tell(service.url)


@pytest.mark.parametrize("channel", ["ops", "", "ML TEAM"])
def test_a_channel_without_a_setting_is_unknown(channel: str) -> None:
    with pytest.raises(ChannelUnknown, match="is not set"):
        AppriseChannels({}).send(channel, title="t", text="x", good=True)


@pytest.mark.parametrize(
    "url", [f"nothing://{SECRET}", SECRET, f"slack://{SECRET}", f"json://:{SECRET}"]
)
def test_a_setting_that_is_no_url_is_unknown(url: str) -> None:
    with pytest.raises(ChannelUnknown, match="can't read SIGNALBOX_CHANNEL_ML_TEAM"):
        tell(url)


def test_a_channels_name_leads_to_its_setting() -> None:
    assert channel_setting("ml-team") == "SIGNALBOX_CHANNEL_ML_TEAM"


@pytest.mark.parametrize("case", ["taken", "failed", "gone", "unreadable"])
def test_a_channels_url_is_in_no_error_and_no_log(
    service: Service, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    caplog.set_level(logging.DEBUG)
    told = ""
    url = service.url
    if case == "failed":
        service.status = 500
    elif case == "gone":
        url = f"json://user:{SECRET}@127.0.0.1:1/{SECRET}"
    elif case == "unreadable":
        url = f"slack://{SECRET}"
    try:
        tell(url)
    except (ChannelDown, ChannelUnknown) as error:
        told = "".join(traceback.format_exception(error)) + error.hint
    assert SECRET not in told
    assert SECRET not in caplog.text
    assert bool(told) == (case != "taken")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("json://localhost/x", "NotifyJSON"),
        ("jsons://localhost/x", "NotifyJSON"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", "NotifySlack"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "NotifyDiscord"),
        ("ntfy://topic", "NotifyNtfy"),
    ],
)
def test_a_channel_loads_its_own_service_and_no_other(url: str, kind: str) -> None:
    code = (
        "import apprise, sys; from shared.adapters.channels import _service;"
        f"print(type(_service({url!r}, apprise.AppriseAsset())).__name__,"
        " sum(name.startswith('apprise.plugins.') for name in sys.modules) < 10)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [kind, "True"]


@pytest.mark.parametrize("url", ["mailto://user:pw@example.com", "msteams://a", "nonsense://x"])
def test_what_is_not_found_by_its_name_is_left_to_apprise(url: str) -> None:
    assert _service(url, apprise.AppriseAsset()) is None


def test_a_channel_s_address_is_in_no_trace(service: Service) -> None:
    # Apprise makes its requests with one of these, and http.py sends them with the other.
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
    from opentelemetry.instrumentation.requests import RequestsInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentors = (RequestsInstrumentor(), HTTPXClientInstrumentor())
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider)
    try:
        channels = AppriseChannels({"SIGNALBOX_CHANNEL_TEAM": service.url})
        channels.send("team", title="t", text="x", good=None)
    finally:
        for instrumentor in instrumentors:
            instrumentor.uninstrument()
    assert len(service.bodies) == 1
    told = " ".join(str(dict(span.attributes or {})) for span in spans.get_finished_spans())
    assert SECRET not in told


class Posts:
    """The bodies that plugins of Apprise would post, kept instead of sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bodies: list[Any] = []
        monkeypatch.setattr("requests.sessions.Session.request", self._request)

    def _request(self, **values: Any) -> requests.Response:
        data = values.get("data") or "null"
        self.bodies.append(
            [values.get("json"), json.loads(data) if isinstance(data, str) else data]
        )
        response = requests.Response()
        response.status_code = 200
        is_slack = "slack" in values["url"]
        response._content = b"ok" if is_slack else b'{"ok": true, "requestId": "1", "id": "1"}'
        return response

    @property
    def told(self) -> str:
        """Every text of the bodies."""
        return "\n".join(_texts(self.bodies))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


#: A made-up address of each kind of service that is in much use.
ADDRESSES = {
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
    "mattermost": "mmosts://mattermost.example/3ccdd113474722377935511fc85d3dd4",
    "teams": "workflows://prod-1.logic.azure.com/643e69f83c8944438d68119179a10a64/"
    "RGVyIFNpZ25hdHVyZSBoYXQgc2ljaCBnZWFlbmRlcnQ",
    "google": "gchat://workspace/key/token",
    "telegram": "tgram://123456789:abcdefg_hijklmnop/12315544",
    "opsgenie": "opsgenie://a43fb2dd-0e3a-4e2f-8f1f-0123456789ab",
    "jira": "jira://a43fb2dd-0e3a-4e2f-8f1f-0123456789ab",
    "rocket": "rockets://webhook/token@rocket.example/#general",
    "webex": "wxteams://" + "a" * 80,
    "json": "jsons://hooks.example/x",
}
LONG = "\n".join(f"line {number} of the container's log" for number in range(150))


@pytest.mark.parametrize("good", [True, False, None])
@pytest.mark.parametrize("kind", ADDRESSES)
def test_each_message_is_sent_whatever_the_service_and_the_news(
    monkeypatch: pytest.MonkeyPatch, kind: str, good: bool | None
) -> None:
    posts = Posts(monkeypatch)
    tell(ADDRESSES[kind], good=good)
    assert "Rollout" in posts.told


@pytest.mark.parametrize("kind", ADDRESSES)
def test_a_long_message_comes_whole_in_pieces_that_the_service_takes(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    posts = Posts(monkeypatch)
    tell(ADDRESSES[kind], text=LONG)
    service = _service(ADDRESSES[kind], apprise.AppriseAsset()) or apprise.Apprise.instantiate(
        ADDRESSES[kind]
    )
    assert service is not None
    assert len(posts.bodies) == 1 or len(LONG) > service.body_maxlen
    told = html.unescape(posts.told)
    whole = sum(f"line {number} of the container's log" in told for number in range(150))
    assert whole >= 150 - (len(posts.bodies) - 1)  # a piece may end within a line


def test_a_service_of_short_messages_gets_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    posts = Posts(monkeypatch)
    tell(f"twilio://AC{'a' * 32}:{'b' * 32}@15551237654/15551237655", text=LONG)
    assert len(posts.bodies) == 1


@pytest.mark.parametrize(("text", "looked_for"), COMMANDS)
@pytest.mark.parametrize("kind", ADDRESSES)
def test_a_name_commands_no_service_and_our_own_link_remains(
    monkeypatch: pytest.MonkeyPatch, kind: str, text: str, looked_for: str
) -> None:
    posts = Posts(monkeypatch)
    tell(ADDRESSES[kind], title=f"churn {text} is live", text=f"Version: {text}\n{STUDIO}")
    # Discord, Google Chat and Slack are sent the address as a link, Telegram a title in bold.
    told = posts.told.replace(f"<{STUDIO}>", STUDIO)
    assert STUDIO in html.unescape(told)
    assert not re.search(looked_for, told.replace("<b>", "").replace("</b>", ""))


@pytest.mark.parametrize("action", ["close", "note", "acknowledge", "delete"])
def test_a_setting_that_would_have_nothing_sent_is_refused(action: str) -> None:
    with pytest.raises(ChannelUnknown, match=f"would tell nobody: `action={action}`"):
        tell(f"{ADDRESSES['opsgenie']}?action={action}")


def test_no_other_service_of_apprise_may_send_nothing() -> None:
    """They say so in their logs; a newer Apprise may have another one."""
    found = set()
    for path in Path(apprise.__file__).parent.glob("plugins/**/*.py"):
        if "sent due to (nothing to" in " ".join(path.read_text(encoding="utf-8").split()):
            found.add(path.stem)
    assert found == {"jira", "opsgenie"}


@pytest.mark.parametrize("text", ["AccountKey=s3cr3tValue", "a\x1b[2Jb", "@everyone", "x" * 9_000])
def test_the_twin_is_sent_what_a_service_is_sent(service: Service, text: str) -> None:
    tell(service.url, title=f"t {text}", text=text)
    twin = MemoryChannels()
    twin.send("ml-team", title=f"t {text}", text=text, good=True)
    (body,) = service.bodies
    assert (body["title"], body["message"]) == (twin.sent[0].title, twin.sent[0].text)
