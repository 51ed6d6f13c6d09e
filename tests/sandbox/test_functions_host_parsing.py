"""The host's parsers: host.json, schedules, settings, route templates and its wire protocol."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.functions_host import protocol
from sandbox.functions_host.errors import HostError
from sandbox.functions_host.functions import Function, parse_functions
from sandbox.functions_host.host_json import CORES, QueueOptions, load_host_json, parse_host_json
from sandbox.functions_host.http_routes import make_route
from sandbox.functions_host.queues import decode, make_listeners
from sandbox.functions_host.schedule import parse_schedule
from sandbox.functions_host.settings import connection_string, load_local_settings, resolve


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        ("0 */5 * * * *", "2026-01-01T00:04:59", "2026-01-01T00:05:00"),
        ("0 */5 * * * *", "2026-01-01T00:05:00", "2026-01-01T00:10:00"),
        ("*/20 * * * * *", "2026-01-01T00:00:20.5", "2026-01-01T00:00:40"),
        ("0 30 9 * * 1-5", "2026-01-02T09:30:00", "2026-01-05T09:30:00"),
        ("0 30 9 * Jan Mon", "2026-01-27T00:00:00", "2027-01-04T09:30:00"),
        ("0 0 9-17/4 * * *", "2026-01-01T09:00:01", "2026-01-01T13:00:00"),
        ("5,8 0 0 1 * *", "2026-01-01T00:00:05", "2026-01-01T00:00:08"),
        ("0 0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 13 * Fri", "2026-03-14T00:00:00", "2026-11-13T00:00:00"),
        ("59 59 23 31 12 *", "2026-12-31T23:59:58", "2026-12-31T23:59:59"),
        ("*/5 * * * *", "2026-01-01T00:00:01", "2026-01-01T00:05:00"),
        ("0 0 22-2 * * *", "2026-01-01T22:00:00", "2026-01-02T02:00:00"),
        ("0 0 0 * * FRI-MON", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("0 0 0 * * FRI-MON", "2026-01-02T00:00:00", "2026-01-05T00:00:00"),
        ("*/90 * * * * *", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("0 0 0 * Janua monday", "2026-01-01T00:00:00", "2026-01-05T00:00:00"),
        ("00:05:00", "2026-01-01T00:00:01", "2026-01-01T00:05:01"),
        ("25:00:00", "2026-01-01T00:00:00", "2026-01-26T00:00:00"),
        ("5", "2026-01-01T00:00:00", "2026-01-06T00:00:00"),
        ("00:00:00", "2026-01-01T00:00:00", "2026-01-01T00:00:00.048"),
    ],
)
def test_a_schedule_is_next_due_at_the_first_later_match(
    schedule: str, after: str, due: str
) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)

    assert parse_schedule(schedule).next_after(moment) == datetime.fromisoformat(due + "+00:00")


@pytest.mark.parametrize(
    "schedule",
    [
        *("60 * * * * *", "0 0 0 * * 7", "x * * * * *", "*/0 * * * * *", "? * * * * *"),
        *("0 0 0 L * *", "0 0 0 * * * *", "@daily", "0 0 25 * * *", "0 0 0 * 0 *"),
    ],
)
def test_a_wrong_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(HostError, match="schedule"):
        parse_schedule(schedule)


def test_a_schedule_that_never_comes_is_told() -> None:
    with pytest.raises(HostError, match="never comes"):
        parse_schedule("0 0 0 31 2 *").next_after(datetime.now(UTC))


def test_host_json_has_the_real_host_s_defaults() -> None:
    options = parse_host_json({"version": "2.0"})

    assert options.function_timeout == timedelta(minutes=30)
    assert options.route_prefix == "api"
    assert options.queues == QueueOptions()


def test_host_json_is_obeyed() -> None:
    queues = {
        "maxPollingInterval": "00:00:02",
        "visibilityTimeout": "1.00:00:30",
        "batchSize": 32,
        "maxDequeueCount": 7,
        "messageEncoding": "none",
    }
    options = parse_host_json(
        {
            "version": "2.0",
            "functionTimeout": "-1",
            "logging": {"logLevel": {}},
            "telemetryMode": "OpenTelemetry",
            "watchFiles": ["rules.yaml"],
            "watchDirectories": ["Shared"],
            "extensions": {"queues": queues, "http": {"routePrefix": ""}},
        }
    )

    assert options.function_timeout is None
    assert options.route_prefix == ""
    assert options.watch_files == ("rules.yaml",)
    assert options.watch_directories == ("Shared",)
    assert options.queues == QueueOptions(
        max_polling_interval=timedelta(seconds=2),
        visibility_timeout=timedelta(days=1, seconds=30),
        batch_size=32,
        new_batch_threshold=16 * CORES,
        max_dequeue_count=7,
        message_encoding="none",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, '"version" must be "2.0"'),
        ([], "must be an object"),
        ({"version": "2.0", "functionTimeOut": "00:05:00"}, "unknown keys functionTimeOut"),
        ({"version": "2.0", "functionTimeout": 5}, "functionTimeout must be a time span"),
        ({"version": "2.0", "extensions": {"queues": {"batchsize": 1}}}, "keys batchsize"),
        ({"version": "2.0", "functionTimeout": "00:00:00.9"}, "at least 00:00:01"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}, "from 1 to 32"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": 0}}}, "from 1 to 32"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": "1"}}}, "from 1 to 32"),
        ({"version": "2.0", "extensions": {"queues": {"maxDequeueCount": 0}}}, "from 1 to"),
        (
            {"version": "2.0", "extensions": {"queues": {"visibilityTimeout": "-00:00:01"}}},
            "visibilityTimeout must be a time span",
        ),
        (
            {"version": "2.0", "extensions": {"queues": {"maxPollingInterval": "00:00:00"}}},
            "at least",
        ),
        ({"version": "2.0", "extensions": {"queues": {"messageEncoding": "x"}}}, "base64"),
        ({"version": "2.0", "watchFiles": "rules.yaml"}, "watchFiles must be a list"),
        ({"version": "2.0", "watchFiles": ["a/rules.yaml"]}, "without a path, not 'a/rules.yaml'"),
        ({"version": "2.0", "watchDirectories": [".."]}, "watchDirectories must hold names"),
    ],
)
def test_a_wrong_host_json_is_refused_by_name(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "host.json").write_text(json.dumps(content))

    with pytest.raises(HostError, match=message):
        load_host_json(tmp_path)


def test_a_folder_without_host_json_is_not_an_app(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="not a function app"):
        load_host_json(tmp_path)


def test_settings_replace_placeholders_and_name_connections() -> None:
    settings = {"Queue": "work", "AzureWebJobsStorage": "main", "OTHER": "other"}

    assert resolve("in-%QUEUE%", settings) == "in-work"
    assert connection_string(None, settings) == "main"
    assert connection_string("Storage", settings) == "main"
    assert connection_string("OTHER", settings) == "other"


@pytest.mark.parametrize(
    ("settings", "message"),
    [({}, "no app setting 'C'"), ({"C__queueServiceUri": "https://x"}, "identity-based")],
)
def test_a_missing_connection_is_told(settings: dict[str, str], message: str) -> None:
    with pytest.raises(HostError, match=message):
        connection_string("C", settings)


def test_a_connection_that_is_none_is_told() -> None:
    trigger = {"type": "queueTrigger", "queueName": "q"}
    functions = {"f": Function("f", "1", trigger, (trigger,))}
    supervisor: Any = None

    with pytest.raises(HostError, match="'AzureWebJobsStorage' is no storage connection string"):
        make_listeners(
            functions,
            {"AzureWebJobsStorage": "nonsense"},
            QueueOptions(),
            timedelta(minutes=1),
            supervisor,
        )


def test_local_settings_are_read_from_their_values(tmp_path: Path) -> None:
    path = tmp_path / "local.settings.json"
    path.write_text('{"IsEncrypted": false, "Values": {"A": "1"}}')

    assert load_local_settings(path) == {"A": "1"}
    path.write_text('{"Values": {"A": 1, "B": 0.5}}')
    assert load_local_settings(path) == {"A": "1", "B": "0.5"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"IsEncrypted": true}', "is encrypted"),
        (b'{"Values": ', "is not JSON"),
        (b"[]", "needs an object `Values`"),
        (b'{"Values": ["A"]}', "needs an object `Values`"),
        (b'{"Values": {"A": null}}', "`Values.A` should be text"),
        (b'{"Values": {"A": {"B": "1"}}}', "`Values.A` should be text"),
        (b"[" * 100_000, "is nested too deep"),
        ('{"Values": {}}'.encode("utf-16"), "can't be read"),
    ],
)
def test_local_settings_that_can_not_be_used_are_told(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "local.settings.json"
    path.write_bytes(content)

    with pytest.raises(HostError, match=message):
        load_local_settings(path)


@pytest.mark.parametrize(("name", "message"), [("absent.json", "does not exist"), (".", "read")])
def test_local_settings_that_are_no_file_are_told(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(HostError, match=message):
        load_local_settings(tmp_path / name)


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        (None, "found 0 functions"),
        ([{"type": "blobTrigger"}], "f has a binding of type 'blobTrigger'"),
        ([{"type": "httpTrigger"}, {"type": "queue"}], "f has a binding of type 'queue'"),
        ([{"type": "http"}], "f has 0 triggers"),
    ],
)
def test_an_index_that_cannot_be_served_in_full_is_refused(
    bindings: list[dict[str, str]] | None, message: str
) -> None:
    index = [] if bindings is None else [{"name": "f", "id": "1", "bindings": bindings}]
    for entry in index:
        entry["bindings"] = [json.dumps(binding) for binding in entry["bindings"]]

    with pytest.raises(HostError, match=message):
        parse_functions(index)


def test_a_missing_setting_is_told() -> None:
    with pytest.raises(HostError, match="no app setting 'QUEUE'"):
        resolve("in-%QUEUE%", {})


def route_pattern(template: str, prefix: str = "api") -> Any:
    """Return what matches a route template."""
    trigger = {"type": "httpTrigger", "name": "req", "route": template}
    return make_route(Function("f", "1", trigger, (trigger,)), prefix).pattern


@pytest.mark.parametrize(
    ("template", "path", "parameters"),
    [
        ("a/{id:int}", "api/A/12", {"id": "12"}),
        ("a/{id:int}", "api/a/x", None),
        ("a/{id?}", "api/a", {"id": None}),
        ("a/{*rest}", "api/a/b/c", {"rest": "b/c"}),
        ("a/{*rest}", "api/a", {"rest": None}),
        ("{x:guid}/y", "api/0f8fad5b-d9cb-469f-a165-70867728950e/y", {}),
        ("a.b", "api/axb", None),
    ],
)
def test_a_route_template_matches_as_asp_net_does(
    template: str, path: str, parameters: dict[str, str] | None
) -> None:
    match = route_pattern(template).fullmatch(path)

    assert (match is not None) == (parameters is not None)
    if match and parameters:
        assert match.groupdict() == parameters


def test_a_route_that_this_host_cannot_match_is_refused() -> None:
    with pytest.raises(HostError, match="constraint 'float'"):
        route_pattern("{x:float}")
    with pytest.raises(HostError, match="segment"):
        route_pattern("a-{x}")


def test_a_message_is_decoded_as_host_json_says() -> None:
    assert decode("aGk=", "base64") == b"hi"
    assert decode("aGk=", "none") == b"aGk="
    for wrong in ("hi!", "aGk", '{"a": 1}'):
        with pytest.raises(ValueError, match="not base64"):
            decode(wrong, "base64")


def test_frames_survive_the_wire_and_a_cut_frame_ends_it() -> None:
    frames = protocol.encode({"text": "ü" * 100}) + protocol.encode({"n": 1})[:-1]

    async def read() -> list[protocol.Message | None]:
        reader = asyncio.StreamReader()
        reader.feed_data(frames)
        reader.feed_eof()
        return [await protocol.receive(reader), await protocol.receive(reader)]

    assert asyncio.run(read()) == [{"text": "ü" * 100}, None]
