"""The host serves events, HTTP requests and timers through the real Python worker."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from sandbox.functions_host.errors import HostError, InvocationFailed
from sandbox.functions_host.host import FunctionsHost
from tests.timing import eventually

APP = Path(__file__).parent / "apps" / "functions_host"
NOTIFICATION = {"aeg-event-type": "Notification"}


@dataclass
class Served:
    """A host with the sample app, and what the app's functions noted."""

    host: FunctionsHost
    notes_file: Path
    log: list[str]

    def notes(self) -> list[dict[str, Any]]:
        """Return what the functions noted so far, leaving the timer's notes out."""
        if not self.notes_file.exists():
            return []
        notes = [json.loads(line) for line in self.notes_file.read_text().splitlines()]
        return [each for each in notes if "past_due" not in each]

    def deliver(self, events: Any, function: str = "on_event") -> httpx.Response:
        """Deliver events as Event Grid does."""
        return httpx.post(
            self.host.event_grid_url(function), headers=NOTIFICATION, json=events, timeout=60
        )

    def call(self, path: str, key: str = "", method: str = "POST", **how: Any) -> httpx.Response:
        """Call a path of the host with a key."""
        headers = {"x-functions-key": key}
        return httpx.request(method, self.host.url + path, headers=headers, timeout=60, **how)


def settings(notes_file: Path) -> dict[str, str]:
    """Return the sample app's settings; its queue is never asked in this file."""
    return {
        "NOTES_FILE": str(notes_file),
        "QUEUE": "unused",
        "SCHEDULE": "0 0 0 1 1 *",
        "STORAGE": "UseDevelopmentStorage=true",
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One host for all tests of the module."""
    notes_file = tmp_path_factory.mktemp("host") / "notes.jsonl"
    log: list[str] = []
    with FunctionsHost(
        APP, settings(notes_file), timers=False, log=log.append, most_deaths=None
    ) as host:
        yield Served(host, notes_file, log)


@pytest.fixture
def served(shared: Served) -> Served:
    """The host, with a living worker and no notes."""
    shared.host.wait_until_ready(20)
    for file in shared.notes_file.parent.iterdir():
        file.unlink()
    return shared


def event(order: str = "", number: int = 1) -> dict[str, Any]:
    """Return an event in the Event Grid schema."""
    return {
        "id": f"event-{number}",
        "topic": "/subscriptions/s",
        "subject": "models/m:1",
        "eventType": "Sample.Happened",
        "eventTime": "2026-01-02T03:04:05.1234567Z",
        "data": {"order": order},
        "dataVersion": "1.0",
    }


def test_an_event_reaches_its_function_decoded_and_is_accepted(served: Served) -> None:
    answer = served.deliver([event()])

    assert answer.status_code == 202
    (note,) = served.notes()
    assert note["id"] == "event-1"
    assert note["type"] == "Sample.Happened"
    assert note["time"] == "2026-01-02T03:04:05.123456+00:00"
    assert note["data"] == {"order": ""}


def test_a_cloud_event_object_is_one_invocation(served: Served) -> None:
    cloud_event = {
        "specversion": "1.0",
        "id": "c-1",
        "source": "/s",
        "type": "Sample",
        "data": {"a": 1},
    }

    assert served.deliver(cloud_event, "on_cloud_event").status_code == 202
    assert served.notes() == [{"id": "c-1", "source": "/s", "data": {"a": 1}}]


def test_events_of_one_delivery_run_at_the_same_time(served: Served) -> None:
    before = served.host.invocations["on_event"].succeeded

    answer = served.deliver([event("meet", 1), event("meet", 2)])

    assert answer.status_code == 202
    assert served.host.invocations["on_event"].succeeded == before + 2


def test_one_failed_event_fails_the_whole_delivery_with_the_message(served: Served) -> None:
    answer = served.deliver([event(number=1), event("raise", 2)])

    assert answer.status_code == 500
    assert answer.text == "Exception while executing function: Functions.on_event"
    assert {note["id"] for note in served.notes()} == {"event-1", "event-2"}


def test_the_caller_s_trace_goes_on_in_the_function(served: Served) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {**NOTIFICATION, "traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}

    httpx.post(served.host.event_grid_url("on_event"), headers=headers, json=[event()])

    (note,) = served.notes()
    assert note["trace"].split("-")[1] == trace_id
    assert note["trace"].split("-")[2] != "b7ad6b7169203331"


def test_the_subscription_handshake_is_answered_without_the_app(served: Served) -> None:
    answer = httpx.post(
        served.host.event_grid_url("on_event"),
        headers={"aeg-event-type": "SubscriptionValidation"},
        json=[{"data": {"validationCode": "code-1"}}],
    )

    assert (answer.status_code, answer.json()) == (200, {"validationResponse": "code-1"})
    assert served.notes() == []


def test_the_cloud_events_handshake_allows_the_origin(served: Served) -> None:
    answer = httpx.options(
        served.host.event_grid_url("on_cloud_event"),
        headers={"WebHook-Request-Origin": "eventgrid.azure.net"},
    )

    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"


@pytest.mark.parametrize(
    ("header", "status"),
    [("SubscriptionDeletion", 400), ("Unsubscribe", 202), ("Surprise", 400), (None, 400)],
)
def test_other_event_types_are_answered_as_documented(
    served: Served, header: str | None, status: int
) -> None:
    headers = {"aeg-event-type": header} if header else {}

    answer = httpx.post(served.host.event_grid_url("on_event"), headers=headers, json=[event()])

    assert answer.status_code == status
    assert served.notes() == []


def test_the_webhook_wants_its_key_and_a_known_function(served: Served) -> None:
    url = served.host.event_grid_url("on_event")
    no_key = httpx.post(url.split("&code")[0], headers=NOTIFICATION, json=[event()])
    other_path = httpx.post(url.replace("eventgrid?", "EventGrid?"), headers=NOTIFICATION, json=[])

    assert no_key.status_code == 401
    assert other_path.status_code == 202
    assert served.deliver([event()], "nobody").status_code == 404
    assert served.deliver([event()], "on_time").status_code == 404


def test_a_crash_fails_the_delivery_and_another_worker_takes_the_next(served: Served) -> None:
    restarts, pid = served.host.restarts, served.host.worker_pid

    assert served.deliver([event("crash")]).status_code == 500
    assert served.deliver([event()]).status_code == 202
    assert served.host.restarts == restarts + 1
    assert served.host.worker_pid != pid
    assert not psutil.pid_exists(pid)


def test_a_killed_worker_is_replaced(served: Served) -> None:
    restarts = served.host.restarts

    served.host.kill_worker()
    served.host.wait_until_ready(20)

    assert served.host.restarts == restarts + 1
    assert served.deliver([event()]).status_code == 202


def test_a_function_over_its_time_limit_is_failed_with_its_worker(served: Served) -> None:
    restarts = served.host.restarts

    answer = served.deliver([event("hang")])
    served.host.wait_until_ready(20)

    assert answer.status_code == 500
    assert answer.text == "Timeout value of 00:00:02 was exceeded by function: Functions.on_event"
    eventually(lambda: served.host.restarts == restarts + 1)


def test_an_http_function_gets_route_query_headers_and_body(served: Served) -> None:
    answer = served.call(
        "/api/Greetings/Jörg/3?a=1&a=2&b=x", served.host.function_key, content="hi"
    )

    assert answer.status_code == 201
    assert answer.headers["X-Answer"] == "yes"
    assert answer.headers["content-type"] == "application/json"
    assert answer.cookies["taste"] == "sweet"
    assert answer.json() == {
        "name": "Jörg",
        "times": "3",
        "query": {"a": "1,2", "b": "x"},
        "agent": f"python-httpx/{httpx.__version__}",
        "body": "hi",
    }


def test_an_optional_route_parameter_may_be_absent(served: Served) -> None:
    assert served.call("/api/greetings/x", served.host.function_key).json()["times"] is None


def test_a_literal_route_goes_before_a_parameter(served: Served) -> None:
    answer = served.call("/api/greetings/nobody")

    assert (answer.status_code, answer.text) == (200, "hello?")


def test_each_auth_level_wants_its_key(served: Served) -> None:
    host = served.host

    assert served.call("/api/greetings/x").status_code == 401
    assert served.call("/api/greetings/x", "wrong").status_code == 401
    assert served.call(f"/api/greetings/x?code={host.function_key}").status_code == 201
    assert served.call("/api/greetings/x", host.master_key).status_code == 201
    assert served.call("/api/some/path", host.function_key).status_code == 401
    assert served.call("/api/some/path", host.master_key).text == "some/path"
    assert served.call("/elsewhere", host.master_key).status_code == 404


def test_an_http_function_that_raises_is_a_bare_500(served: Served) -> None:
    answer = served.call("/api/greetings/x?order=raise", served.host.function_key)

    assert (answer.status_code, answer.text) == (500, "")


def test_the_admin_api_lists_functions_and_runs_them(served: Served) -> None:
    master = served.host.master_key
    before = served.host.invocations["on_message"].succeeded

    assert served.call("/admin/functions", served.host.function_key, "GET").status_code == 403
    assert served.call("/admin/host/status", master, "GET").json()["state"] == "Running"
    listed = served.call("/admin/functions", master, "GET").json()
    assert {each["name"] for each in listed} == set(served.host.functions())
    started = served.call("/admin/functions/on_message", master, json={"input": "by hand"})
    assert started.status_code == 202
    eventually(lambda: served.host.invocations["on_message"].succeeded == before + 1)
    assert served.notes()[0]["body"] == "by hand"
    assert served.call("/admin/functions/nobody", master).status_code == 404


def test_a_function_fired_by_hand_is_waited_for(served: Served) -> None:
    served.host.fire("on_message", "now")
    before = served.host.invocations["on_time"].succeeded
    served.host.fire("on_time")

    assert served.notes()[0]["body"] == "now"
    assert served.host.invocations["on_time"].succeeded == before + 1
    with pytest.raises(InvocationFailed, match="told to raise"):
        served.host.fire("on_message", "raise")
    with pytest.raises(HostError, match="no function 'nobody'"):
        served.host.fire("nobody")


def test_the_host_tells_what_a_measurement_needs(served: Served) -> None:
    served.deliver([event()])

    assert served.host.idle()
    assert served.host.worker_rss() > 10_000_000
    assert served.host.first_completed_at is not None
    assert served.host.started_at < served.host.first_completed_at
    assert served.host.functions()["on_event"][0]["type"] == "eventGridTrigger"


def test_what_the_app_logs_goes_to_the_log(served: Served) -> None:
    served.deliver([event(number=77)])

    eventually(lambda: any("INFO root: event event-77 arrived" in line for line in served.log))


def test_a_timer_runs_at_startup_and_on_its_schedule(tmp_path: Path) -> None:
    often = {**settings(tmp_path / "notes"), "SCHEDULE": "* * * * * *"}

    with FunctionsHost(APP, often) as host:
        eventually(lambda: host.invocations["on_time"].succeeded >= 2)

    first = json.loads((tmp_path / "notes").read_text().splitlines()[0])
    assert first == {"past_due": False, "next": None}


def test_the_worker_ends_with_its_host(tmp_path: Path) -> None:
    with FunctionsHost(APP, settings(tmp_path / "notes"), timers=False) as host:
        pid = host.worker_pid
        assert psutil.pid_exists(pid)

    assert not psutil.pid_exists(pid)
    with pytest.raises(HostError, match="not running"):
        host.fire("on_time")


def test_the_app_sees_its_settings_and_not_the_host_s_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "x")
    write_app(
        tmp_path,
        "import os, azure.functions as func\n"
        "app = func.FunctionApp()\n"
        "@app.route(route='env', auth_level=func.AuthLevel.ANONYMOUS)\n"
        "def env(req: func.HttpRequest) -> str:\n"
        "    import importlib.util\n"
        "    names = ('SECRET_OF_THE_SHELL', 'MINE', 'PYTHONPATH', 'FUNCTIONS_WORKER_RUNTIME')\n"
        "    found = importlib.util.find_spec('pyproject') or importlib.util.find_spec('tests')\n"
        "    return repr([os.environ.get(name) for name in names] + [found, os.getcwd()])\n",
    )

    with FunctionsHost(tmp_path, {"MINE": "1"}) as host:
        told = httpx.get(f"{host.url}/api/env").text

    assert told == repr([None, "1", None, "python", None, os.path.realpath(tmp_path)])


def test_the_app_has_the_python_path_of_its_settings(tmp_path: Path) -> None:
    app, more = tmp_path / "app", tmp_path / "more"
    app.mkdir()
    more.mkdir()
    (more / "sitecustomize.py").write_text("import sys; sys.is_customized = True")
    write_app(
        app,
        "import os, sys, azure.functions as func\n"
        "app = func.FunctionApp()\n"
        "@app.route(route='env', auth_level=func.AuthLevel.ANONYMOUS)\n"
        "def env(req: func.HttpRequest) -> str:\n"
        "    return repr([os.environ['PYTHONPATH'], sys.is_customized])\n",
    )

    with FunctionsHost(app, {"PYTHONPATH": str(more)}) as host:
        answer = httpx.get(f"{host.url}/api/env").text

    assert answer == repr([str(more), True])


def write_app(folder: Path, code: str, host_json: str = '{"version": "2.0"}') -> None:
    """Write an app into a folder."""
    (folder / "function_app.py").write_text(code)
    (folder / "host.json").write_text(host_json)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('broken at import')", "could not index .*broken at import"),
        ("import os; print('last words', flush=True); os._exit(3)", "exited while .*last words"),
        (
            "import azure.functions as func\napp = func.FunctionApp()\n"
            "@app.timer_trigger(arg_name='t', schedule='%WHEN%')\n"
            "def on_time(t: func.TimerRequest) -> None: ...",
            "no app setting 'WHEN'",
        ),
    ],
    ids=["raises", "exits", "setting"],
)
def test_an_app_that_cannot_be_served_is_refused_with_the_reason(
    tmp_path: Path, code: str, message: str
) -> None:
    write_app(tmp_path, code)

    with pytest.raises(HostError, match=f"(?s){message}"):
        FunctionsHost(tmp_path, {}).start()
