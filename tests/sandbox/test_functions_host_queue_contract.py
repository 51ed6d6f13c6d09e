"""The host's queue trigger answers as the real one was measured to: a table of messages."""

import base64
import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage

from sandbox.azurite import Azurite
from sandbox.functions_host.host import FunctionsHost
from sandbox.functions_host.host_json import CORES
from sandbox.functions_host.queue_metadata import message_metadata, with_members
from sandbox.functions_host.supervisor import DEATHS_APART, Deaths
from tests.timing import eventually

APP = Path(__file__).parent / "apps" / "functions_host"
ROOT = Path(__file__).parents[2]


def base64_of(content: bytes | str) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


@dataclass
class Place:
    """A queue of its own and its poison queue, the notes of the sample app, and its settings."""

    storage: str
    folder: Path
    name: str = field(default_factory=lambda: f"queue-{uuid.uuid4()}")

    @property
    def settings(self) -> dict[str, str]:
        return {
            "NOTES_FILE": str(self.folder / "notes"),
            "QUEUE": self.name,
            "SCHEDULE": "0 0 0 1 1 *",
            "STORAGE": self.storage,
        }

    def host(self, **options: Any) -> FunctionsHost:
        """Return a host that polls often, not started."""
        polling = timedelta(milliseconds=200)
        options = {"max_polling_interval": polling, "timers": False, **options}
        return FunctionsHost(APP, self.settings, **options)

    def send(self, *texts: str) -> None:
        """Put messages into the queue as they are."""
        with QueueClient.from_connection_string(self.storage, self.name) as queue:
            with suppress(ResourceExistsError):
                queue.create_queue()
            for text in texts:
                queue.send_message(text)

    def go(self) -> None:
        """Let functions end that were told to wait."""
        (self.folder / "notes.go").touch()

    def left(self) -> int:
        """Return how many messages are in the queue, visible or not."""
        with QueueClient.from_connection_string(self.storage, self.name) as queue:
            return queue.get_queue_properties().approximate_message_count or 0

    def buried(self) -> list[QueueMessage]:
        """Return the messages in the poison queue."""
        name = f"{self.name}-poison"
        with QueueClient.from_connection_string(self.storage, name) as queue:
            try:
                return list(queue.peek_messages(32))
            except ResourceNotFoundError:
                return []

    def notes(self) -> list[dict[str, Any]]:
        """Return what the function noted so far."""
        file = self.folder / "notes"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    """The connection string of an Azurite."""
    with Azurite() as azurite:
        yield azurite.connection_string


@pytest.fixture
def place(storage: str, tmp_path: Path) -> Place:
    return Place(storage, tmp_path)


@dataclass(frozen=True)
class Case:
    """A message and what becomes of it.

    `body` and `metadata` are what the function gets, None where it is not called; `tries` is after
    how many deliveries the message is buried, 0 = it is not.
    """

    text: str
    body: str | None = None
    tries: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)


def json_case(text: str, **metadata: Any) -> Case:
    return Case(base64_of(text), text, metadata=metadata)


MESSAGES = {
    "base64": Case(base64_of("plain-text"), "plain-text"),
    "raw": Case('{"not": "base64"}', tries=1),
    "white-space": Case(" d2hpdGUg\nc3BhY2U= ", "white space"),
    "no-padding": Case(base64_of("pa").rstrip("="), tries=1),
    "url-safe": Case(base64.urlsafe_b64encode(b"\xfb\xff\xbf").decode(), tries=1),
    "no-text": Case(base64_of(b"\xff\xfe\xfd"), tries=2),
    "empty": Case("", ""),
    "bom": Case(base64_of("\ufeffbom"), "\ufeffbom"),
    "json-id": json_case('{"id": "the-event-s"}', id="the-event-s"),
    "json-id-case": json_case('{"ID": "the event s"}', id="the event s"),
    "json-count": json_case('{"dequeuecount": 99}', attempt=99),
    "json-count-text": json_case('{"DequeueCount": "98"}', attempt=98),
    "json-receipt": json_case('{"PopReceipt": {"a": 1}}', receipt=True),
    "json-null": json_case('{"Id": null, "DequeueCount": null}', attempt=1),
    "json-array-member": json_case('{"DequeueCount": [9]}', attempt=1),
    "json-array": json_case('[{"DequeueCount": 9}]', attempt=1),
    "json-newtonsoft": json_case("{'DequeueCount': 97,}", attempt=97),
    "json-count-no-number": Case(base64_of('{"DequeueCount": true}'), tries=2),
    "json-count-fraction": Case(base64_of('{"DequeueCount": 1.5}'), tries=2),
    "json-time-no-time": Case(base64_of('{"InsertionTime": "zzz"}'), tries=2),
    "json-time-in-culture": Case(base64_of('{"InsertionTime": "2026-11-28T08:00:00Z"}'), tries=2),
}


@pytest.fixture(scope="module")
def settled(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where every message of the table has become what it becomes."""
    place = Place(storage, tmp_path_factory.mktemp("messages"))
    place.send(*(case.text for case in MESSAGES.values()))
    with place.host() as host:
        eventually(lambda: not place.left() and host.idle())
        assert host.invocations["on_message"].failed == 2 * 4, "those that can't be converted"
    return place


@pytest.mark.parametrize("case", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_becomes_what_it_becomes_in_the_real_host(settled: Place, case: Case) -> None:
    notes = [note for note in settled.notes() if note["body"] == case.body]
    buried = [message for message in settled.buried() if message.content == case.text]

    assert (len(notes), len(buried)) == (case.body is not None, case.tries > 0)
    assert case.metadata.items() <= (notes[0].items() if notes else {}.items())


def test_a_buried_message_is_new_and_lives_a_week(settled: Place) -> None:
    for message in settled.buried():
        assert message.dequeue_count == 0
        assert message.expires_on is not None
        assert message.inserted_on is not None
        assert message.expires_on - message.inserted_on == timedelta(days=7)


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        ('{"n": 1.10}', {"n": {"string": "1.1"}}),
        ('{"t": "2026-11-28T10:00:00+02:00"}', {"t": {"string": "11/28/2026 08:00:00"}}),
        ('{"b": true}', {"b": {"string": "True"}}),
        ('{"o": {"a": 1}}', {"o": {"json": '{"a":1}'}}),
        ('{"x": null, "y": [1]}', {}),
        ('{"ID": "a"}', {"Id": {"string": "a"}}),
        ("[1]", {}),
        ("{no json}", {}),
    ],
    ids=["number", "time", "boolean", "object", "null-and-array", "case", "array", "not-json"],
)
def test_the_members_of_a_json_message_are_metadata_and_win(
    text: str, metadata: dict[str, Any]
) -> None:
    own = {"Id": {"string": "the message's"}}

    assert with_members(own, text) == own | metadata


def test_the_metadata_of_a_message_are_what_the_real_host_tells() -> None:
    moment = datetime(2026, 12, 5, 11, 9, 31, tzinfo=UTC)
    message = QueueMessage(content="x", id="m", pop_receipt="p", dequeue_count=2)
    message.inserted_on = message.expires_on = message.next_visible_on = moment
    told = message_metadata(message, "x", "f")
    host = json.loads(told.pop("sys")["json"])

    time = {"json": '"2026-12-05T11:09:31+00:00"'}
    assert told == {
        "Id": {"string": "m"},
        "PopReceipt": {"string": "p"},
        "DequeueCount": {"json": "2"},
        "InsertionTime": time,
        "ExpirationTime": time,
        "NextVisibleTime": time,
    }
    assert (host.keys(), host["MethodName"]) == ({"MethodName", "UtcNow", "RandGuid"}, "f")


def test_as_many_messages_are_worked_on_as_a_batch_and_the_threshold(place: Place) -> None:
    place.send(*(base64_of("slow") for _ in range(30)))
    most = 4 + 4 // 2 * CORES
    with place.host() as host:
        seen: set[int] = set()

        def done() -> bool:
            counts = host.invocations["on_message"]
            seen.add(counts.running)
            return counts.succeeded >= 12

        eventually(done)
    assert max(seen) <= most


def test_messages_of_a_worker_that_is_replaced_for_a_timeout_fail_with_it(place: Place) -> None:
    place.send(base64_of("hang"))

    # Both come back after visibilityTimeout, not when their lease ends; and it is no death.
    with place.host(visibility=timedelta(minutes=10), most_deaths=1):
        eventually(lambda: len(place.notes()) == 1)
        place.send(base64_of("hang too"))
        eventually(lambda: len(place.buried()) == 2)


def test_after_the_third_death_of_the_worker_the_host_ends(place: Place) -> None:
    ended: list[bool] = []
    host = place.host(on_end=lambda: ended.append(True), visibility=timedelta(seconds=1)).start()
    for deaths in range(1, 3):
        host.kill_worker()
        eventually(lambda: host.restarts == deaths)  # noqa: B023 - it is over before the next
    assert not ended
    host.kill_worker()
    eventually(lambda: bool(ended))
    host.stop()


def test_deaths_count_together_unless_half_an_hour_lies_between_two() -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    deaths = Deaths(3, clock=lambda: now[0])

    assert not deaths.is_last()
    now[0] += DEATHS_APART
    assert not deaths.is_last()
    now[0] += DEATHS_APART + timedelta(seconds=1)
    assert not deaths.is_last()
    now[0] += DEATHS_APART
    assert not deaths.is_last()
    now[0] += DEATHS_APART
    assert deaths.is_last()
    assert not Deaths(None).is_last()


@contextmanager
def draining(host: FunctionsHost) -> Iterator[None]:
    """Have the host told to end, gracefully, and be ended after the block."""
    thread = threading.Thread(target=host.stop, kwargs={"drain": True})
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_host_that_is_drained_settles_what_it_has_begun(place: Place) -> None:
    place.send(base64_of("wait"))
    host = place.host().start()
    eventually(lambda: len(place.notes()) == 1)
    with draining(host):
        place.go()

    assert place.left() == 0


def test_a_host_that_is_stopped_at_once_settles_nothing(place: Place) -> None:
    place.send(base64_of("wait"))
    host = place.host().start()
    eventually(lambda: len(place.notes()) == 1)
    host.stop()

    assert place.left() == 1


def test_the_command_drains_when_it_is_told_to_end(place: Place) -> None:
    place.send(base64_of("wait"))
    settings = place.folder / "local.settings.json"
    settings.write_text(json.dumps({"Values": place.settings}))
    command = [sys.executable, "-m", "sandbox.functions_host", str(APP), "--port=0"]
    with subprocess.Popen([*command, f"--settings={settings}"], cwd=ROOT, stdout=-1) as process:
        eventually(lambda: any("body" in note for note in place.notes()))
        process.send_signal(signal.SIGTERM)
        place.go()
        process.communicate()

    assert (process.returncode, place.left()) == (0, 0)


def test_a_request_that_is_being_answered_is_answered_by_a_host_that_is_drained(
    place: Place,
) -> None:
    host = place.host().start()
    url = f"{host.url}/api/greetings/x?order=wait&code={host.function_key}"
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(httpx.post(url).status_code))
    thread.start()
    eventually(lambda: host.invocations["greet"].running == 1)
    with draining(host):
        place.go()
    thread.join()

    assert statuses == [201]
