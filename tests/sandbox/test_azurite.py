"""Azurite as the sandbox runs it, spoken to by the real storage clients."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError
from azure.data.tables import TableServiceClient, UpdateMode
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from sandbox import azurite as azurite_module
from sandbox.azurite import Azurite, AzuriteFailed, AzuriteMissing, connection_string
from tests.timing import eventually


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_table_row_keeps_what_is_written_and_refuses_a_stale_etag(azurite: Azurite) -> None:
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        table = service.create_table("rows")
        table.create_entity({"PartitionKey": "p", "RowKey": "r", "n": 1})
        stale = table.get_entity("p", "r")
        table.update_entity({"PartitionKey": "p", "RowKey": "r", "n": 2})
        with pytest.raises(ResourceModifiedError):
            table.update_entity(
                stale,
                UpdateMode.REPLACE,
                etag=stale.metadata["etag"],
                match_condition=MatchConditions.IfNotModified,
            )
        assert table.get_entity("p", "r")["n"] == 2


def test_a_queue_hands_out_the_message_that_was_sent(azurite: Azurite) -> None:
    with QueueServiceClient.from_connection_string(azurite.connection_string) as service:
        queue = service.create_queue("messages")
        queue.send_message("hello")
        assert [each.content for each in queue.receive_messages()] == ["hello"]


def test_a_blob_is_read_back_as_it_was_written(azurite: Azurite) -> None:
    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        container = service.create_container("files")
        container.upload_blob("a/b.json", b"[]")
        assert container.download_blob("a/b.json").readall() == b"[]"


def test_a_connection_is_kept_for_longer_than_any_test_leaves_it_idle(azurite: Azurite) -> None:
    for port in (azurite.blob_port, azurite.queue_port, azurite.table_port):
        kept = httpx.get(f"http://127.0.0.1:{port}/").headers["keep-alive"]
        assert int(kept.removeprefix("timeout=")) > 3600


def test_two_azurites_run_side_by_side_on_ports_of_their_own(azurite: Azurite) -> None:
    with Azurite() as other:
        ports = {
            *(azurite.blob_port, azurite.queue_port, azurite.table_port),
            *(other.blob_port, other.queue_port, other.table_port),
        }
        assert len(ports) == 6


def test_a_connection_string_can_point_at_the_ports_of_something_in_between() -> None:
    text = connection_string(1, 2, 3)
    assert "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1" in text
    assert "QueueEndpoint=http://127.0.0.1:2/devstoreaccount1" in text
    assert "TableEndpoint=http://127.0.0.1:3/devstoreaccount1" in text


def test_after_stop_the_process_is_gone_and_asking_for_a_port_says_so() -> None:
    stopped = Azurite().start()
    pid = stopped.pid
    stopped.stop()
    stopped.stop()
    assert not is_running(pid)
    with pytest.raises(RuntimeError, match="not started"):
        _ = stopped.connection_string


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_azurite_dies_with_a_parent_that_is_killed_outright() -> None:
    program = (
        "import sys, time\n"
        "from sandbox.azurite import Azurite\n"
        "print(Azurite().start().pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(azurite_module.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        os.kill(parent.pid, signal.SIGKILL)
    eventually(lambda: not is_running(child))


def test_what_is_not_installed_is_said_together_with_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    monkeypatch.setattr(azurite_module, "_PROGRAM", program)
    with pytest.raises(AzuriteMissing, match="make setup"):
        Azurite().start()


def test_a_start_that_fails_tells_what_was_printed_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "broken.js"
    program.write_text("console.log('no room'); process.exit(3)")
    monkeypatch.setattr(azurite_module, "_PROGRAM", program)
    with pytest.raises(AzuriteFailed, match="no room"):
        Azurite().start()


def test_a_start_that_hangs_ends_with_the_timeout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "silent.js"
    program.write_text("setInterval(() => {}, 1000)")
    monkeypatch.setattr(azurite_module, "_PROGRAM", program)
    with pytest.raises(AzuriteFailed, match="did not listen"):
        Azurite(start_timeout=0.5).start()
