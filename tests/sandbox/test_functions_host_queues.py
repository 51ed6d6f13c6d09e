"""The host feeds queue functions from real storage queues, and survives what they do to it."""

import base64
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage

from sandbox.azurite import Azurite
from sandbox.functions_host.host import FunctionsHost
from tests.timing import eventually

APP = Path(__file__).parent / "apps" / "functions_host"


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    """The connection string of an Azurite."""
    with Azurite() as azurite:
        yield azurite.connection_string


class Sample:
    """The sample app's queue, its poison queue and what its function noted."""

    def __init__(self, storage: str, folder: Path, queue: str) -> None:
        self.queue = QueueClient.from_connection_string(storage, queue)
        self.poison = QueueClient.from_connection_string(storage, f"{queue}-poison")
        self._notes_file = folder / "notes"
        self.settings = {
            "NOTES_FILE": str(self._notes_file),
            "QUEUE": queue,
            "SCHEDULE": "0 0 0 1 1 *",
            "STORAGE": storage,
        }

    def __enter__(self) -> "Sample":
        return self

    def __exit__(self, *_: object) -> None:
        self.queue.close()
        self.poison.close()

    def host(self, lease_seconds: int = 1) -> FunctionsHost:
        """Return a host with quick polling and short leases, not started."""
        return FunctionsHost(
            APP,
            self.settings,
            timers=False,
            visibility=timedelta(seconds=lease_seconds),
            max_polling_interval=timedelta(milliseconds=200),
        )

    def send(self, body: str) -> None:
        """Send a message as other senders do: base64."""
        self.send_raw(base64.b64encode(body.encode()).decode())

    def send_raw(self, text: str) -> None:
        """Send text as it is."""
        with suppress(ResourceExistsError):
            self.queue.create_queue()
        self.queue.send_message(text)

    def notes(self) -> list[dict[str, Any]]:
        """Return what the function noted so far."""
        if not self._notes_file.exists():
            return []
        return [json.loads(line) for line in self._notes_file.read_text().splitlines()]

    def left(self) -> int:
        """Return how many messages are in the queue, visible or not."""
        return self.queue.get_queue_properties().approximate_message_count or 0

    def buried(self) -> list[QueueMessage]:
        """Return the messages in the poison queue."""
        try:
            return list(self.poison.peek_messages(32))
        except ResourceNotFoundError:
            return []


@pytest.fixture
def sample(storage: str, tmp_path: Path) -> Iterator[Sample]:
    """The sample app with a queue of the test's own."""
    name = f"queue-{uuid.uuid4()}"
    with Sample(storage, tmp_path, name) as sample:
        yield sample


def test_a_message_reaches_its_function_with_its_facts_and_is_deleted(sample: Sample) -> None:
    sample.send("grüß dich")

    with sample.host() as host:
        eventually(lambda: len(sample.notes()) == 1 and host.idle())

    (note,) = sample.notes()
    assert (note["body"], note["attempt"], note["receipt"]) == ("grüß dich", 1, True)
    assert note["inserted"] < note["expires"]
    assert sample.left() == 0


def test_the_host_waits_for_a_queue_that_does_not_exist_yet(sample: Sample) -> None:
    with sample.host() as host:
        sample.send("late")
        eventually(lambda: host.invocations["on_message"].succeeded == 1)


def test_messages_of_one_batch_are_worked_on_together(sample: Sample) -> None:
    sample.send("meet")
    sample.send("meet")

    with sample.host() as host:
        eventually(lambda: host.invocations["on_message"].succeeded == 2)


def test_a_failed_message_comes_back_and_is_buried_at_the_last_attempt(sample: Sample) -> None:
    sample.send("raise")

    with sample.host() as host:
        eventually(lambda: len(sample.buried()) == 1 and host.idle())
        counts = host.invocations["on_message"]

    assert (counts.started, counts.failed) == (2, 2)
    assert [note["attempt"] for note in sample.notes()] == [1, 2]
    assert base64.b64decode(sample.buried()[0].content) == b"raise"
    assert sample.left() == 0


def test_an_undecodable_message_is_buried_at_once_as_it_is(sample: Sample) -> None:
    sample.send_raw('{"not": "base64"}')

    with sample.host() as host:
        eventually(lambda: len(sample.buried()) == 1 and host.idle())
        assert host.invocations["on_message"].started == 0

    assert sample.buried()[0].content == '{"not": "base64"}'
    assert sample.left() == 0


def test_a_message_whose_worker_crashed_stays_hidden_until_its_lease_ends(sample: Sample) -> None:
    sample.send("crash once")

    with sample.host(lease_seconds=2) as host:
        eventually(lambda: host.invocations["on_message"].succeeded == 1)
        assert host.restarts == 1

    first, second = sample.notes()
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert first["lease_ends"] <= second["noted"]


def test_a_message_that_always_crashes_its_worker_is_buried_too(sample: Sample) -> None:
    sample.send("crash")

    with sample.host() as host:
        eventually(lambda: len(sample.buried()) == 1)
        assert host.invocations["on_message"].started == 2


def test_a_lease_is_renewed_while_the_function_runs(sample: Sample) -> None:
    sample.send("hang")

    # It hangs longer than its lease, until functionTimeout: 2 s.
    with sample.host() as host:
        eventually(lambda: host.invocations["on_message"].failed == 1)

    assert [note["attempt"] for note in sample.notes()] == [1]


def test_a_message_held_when_the_host_stops_is_not_lost(sample: Sample) -> None:
    sample.send("hang")
    with sample.host():
        eventually(lambda: len(sample.notes()) == 1)

    assert sample.left() == 1


@contextmanager
def command(sample: Sample) -> Iterator[subprocess.Popen[str]]:
    """Run the host as a command, from the moment it serves."""
    settings_file = Path(sample.settings["NOTES_FILE"]).with_name("local.settings.json")
    settings_file.write_text(json.dumps({"Values": sample.settings}))
    arguments = [str(APP), "--port", "0", "--settings", str(settings_file)]
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox.functions_host", *arguments],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            while "functionName=on_cloud_event" not in process.stdout.readline():
                assert process.poll() is None
            yield process
            process.stdout.read()
        finally:
            process.kill()


def test_the_worker_does_not_outlive_a_killed_host_whatever_it_runs(sample: Sample) -> None:
    sample.send("hang")
    with command(sample) as process:
        eventually(lambda: any(note.get("body") == "hang" for note in sample.notes()))
        (worker,) = psutil.Process(process.pid).children()
        process.kill()

    eventually(lambda: not worker.is_running())


def test_the_command_serves_until_interrupted(sample: Sample) -> None:
    with command(sample) as process:
        (worker,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)

    assert process.returncode == 0
    assert not worker.is_running()
