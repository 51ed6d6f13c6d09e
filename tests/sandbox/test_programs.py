"""The sandbox's programs for trying an app by hand: they send, listen, say what they are."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from azure.storage.queue import QueueClient

from sandbox import send
from sandbox.azurite import Azurite

ROOT = Path(__file__).parents[2]


@contextmanager
def program(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module of the sandbox until the block ends."""
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_a_file_is_sent_to_a_queue_that_is_made_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "event.json"
    file.write_text('{"id": "1"}')
    with Azurite() as azurite:
        connection = ["--connection", azurite.connection_string]
        assert send.main(["events", str(file), *connection]) == 0
        assert send.main(["events", *connection]) == 0
        with QueueClient.from_connection_string(azurite.connection_string, "events") as queue:
            assert [message.content for message in queue.peek_messages(5)] == ['{"id": "1"}']
    assert capsys.readouterr().out.splitlines() == [
        "queue events is there; 1 sent",
        "queue events is there; 0 sent",
    ]


def test_a_storage_that_is_not_there_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;"
        "QueueEndpoint=http://127.0.0.1:9/a;"
    )

    assert send.main(["events", "--connection", nowhere]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_file_that_is_not_there_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send.main(["events", str(tmp_path / "nope.json")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_is_posted_is_printed() -> None:
    with program("sandbox.listen", "--port", "0") as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        statuses = [
            httpx.post(f"{url}/team", json={"title": "grüß"}).status_code,
            httpx.post(f"{url}/", content=b"no json").status_code,
        ]
        process.terminate()
        printed = process.stdout.read()

    assert statuses == [200, 200]
    assert printed == '/team: {\n  "title": "grüß"\n}\n/: no json\n'
    assert process.returncode == 0


def test_the_stack_says_what_it_is_and_how_it_is_used() -> None:
    with program("sandbox.stack") as process:
        assert process.stdout
        said = process.stdout.read()

    for way in ("with Stack() as stack:", "make demo", "python -m sandbox.functions_host"):
        assert way in said


def test_a_port_that_is_taken_is_told_in_a_line() -> None:
    with program("sandbox.listen", "--port", "0") as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip().rpartition(":")[2]
        again = subprocess.run(
            [sys.executable, "-m", "sandbox.listen", "--port", port],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert (again.returncode, again.stdout) == (1, "")
    (told,) = again.stderr.splitlines()
    assert told.startswith(f"cannot listen on port {port}: ")
