"""host.json: the part that this host obeys. A mistake is an error, and no default replaces it."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sandbox.functions_host.errors import HostError

_OBEYED = {"version", "extensions", "functionTimeout", "watchDirectories", "watchFiles"}
_IGNORED = {
    "aggregator",
    "applicationInsights",
    "concurrency",
    "extensionBundle",
    "healthMonitor",
    "logging",
    "managedDependency",
    "singleton",
    "telemetryMode",
}
_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(\.\d{1,7})?")
_UNLIMITED = "-1"
CORES = os.process_cpu_count() or 1


@dataclass(frozen=True)
class QueueOptions:
    """`extensions.queues`, with the real host's defaults."""

    max_polling_interval: timedelta = timedelta(minutes=1)
    #: How long a message whose function failed stays invisible before the next attempt.
    visibility_timeout: timedelta = timedelta(0)
    batch_size: int = 16
    #: New messages are fetched when no more than this many are being worked on.
    new_batch_threshold: int = 8 * CORES
    max_dequeue_count: int = 5
    message_encoding: str = "base64"


@dataclass(frozen=True)
class HostJson:
    """The options in the app's host.json."""

    #: None = unlimited.
    function_timeout: timedelta | None = timedelta(minutes=30)
    route_prefix: str = "api"
    queues: QueueOptions = field(default_factory=QueueOptions)
    #: Folders of the app, and names of files; a change to one starts the worker anew.
    watch_directories: tuple[str, ...] = ()
    watch_files: tuple[str, ...] = ()


def load_host_json(app_dir: Path) -> HostJson:
    """Read and check the app's host.json; HostError names the key that is wrong."""
    path = app_dir / "host.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise HostError(f"{path} does not exist: {app_dir} is not a function app") from None
    except json.JSONDecodeError as error:
        raise HostError(f"{path} is not JSON: {error}") from error
    try:
        return parse_host_json(content)
    except ValueError as error:
        raise HostError(f"{path}: {error}") from error


def parse_host_json(content: Any) -> HostJson:
    """Turn host.json's content into options; ValueError names the key that is wrong."""
    _check_keys("host.json", content, _OBEYED | _IGNORED)
    if content.get("version") != "2.0":
        raise ValueError(f'"version" must be "2.0", not {content.get("version")!r}')
    extensions = content.get("extensions", {})
    http = extensions.get("http", {})
    timeout = content.get("functionTimeout", "00:30:00")
    return HostJson(
        function_timeout=None if timeout == _UNLIMITED else _parse_timeout(timeout),
        route_prefix=http.get("routePrefix", "api").strip("/"),
        queues=_parse_queues(extensions.get("queues", {})),
        watch_directories=_parse_names("watchDirectories", content.get("watchDirectories", [])),
        watch_files=_parse_names("watchFiles", content.get("watchFiles", [])),
    )


def _parse_names(key: str, names: Any) -> tuple[str, ...]:
    # The real host compares a changed file's name, and the first folder of its path, with them.
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{key} must be a list of names")
    for name in names:
        if not name or "/" in name or name in (".", ".."):
            raise ValueError(f"{key} must hold names without a path, not {name!r}")
    return tuple(names)


def _parse_timeout(text: Any) -> timedelta:
    span = _time_span("functionTimeout", text)
    if span < timedelta(seconds=1):
        raise ValueError("functionTimeout must be at least 00:00:01")
    return span


def _parse_queues(content: Any) -> QueueOptions:
    known = {
        "maxPollingInterval",
        "visibilityTimeout",
        "batchSize",
        "newBatchThreshold",
        "maxDequeueCount",
        "messageEncoding",
    }
    _check_keys("extensions.queues", content, known)
    encoding = str(content.get("messageEncoding", "base64")).lower()
    if encoding not in ("base64", "none"):
        raise ValueError(f'messageEncoding must be "base64" or "none", not {encoding!r}')
    polling = _time_span("maxPollingInterval", content.get("maxPollingInterval", "00:01:00"))
    if polling < timedelta(milliseconds=100):
        raise ValueError("maxPollingInterval must be at least 00:00:00.100")
    batch_size = _integer(content, "batchSize", 16, 1, 32)
    threshold = batch_size // 2 * CORES
    return QueueOptions(
        max_polling_interval=polling,
        visibility_timeout=_time_span(
            "visibilityTimeout", content.get("visibilityTimeout", "00:00:00")
        ),
        batch_size=batch_size,
        new_batch_threshold=_integer(content, "newBatchThreshold", threshold, 0, 1000),
        max_dequeue_count=_integer(content, "maxDequeueCount", 5, 1, 1000),
        message_encoding=encoding,
    )


def _check_keys(name: str, content: Any, known: set[str]) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{name} must be an object")  # noqa: TRY004 - one error for a bad file
    unknown = sorted(content.keys() - known)
    if unknown:
        raise ValueError(f"{name} has unknown keys {', '.join(unknown)}")


def _integer(content: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    number = content.get(key, default)
    if type(number) is not int or not low <= number <= high:
        raise ValueError(f"{key} must be a whole number from {low} to {high}, not {number!r}")
    return number


def _time_span(key: str, text: Any) -> timedelta:
    match = _TIME_SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f'{key} must be a time span such as "00:00:30", not {text!r}')
    days, hours, minutes, seconds, fraction = match.groups()
    return timedelta(
        days=int(days or 0),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds) + float(fraction or 0),
    )
