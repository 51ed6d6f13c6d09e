"""Azurite: real storage queues, tables and blobs, in memory, for as long as this process lives."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from sandbox.running import Running

ACCOUNT_NAME = "devstoreaccount1"
#: The emulator's published key, the same on every machine; it protects nothing.
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
#: The account of a workspace's own storage; no account in Azure has that name.
WORKSPACE_ACCOUNT = "sandboxworkspace7f3a9c1e"
SERVICES = ("Blob", "Queue", "Table")

_ACCOUNTS = ";".join(f"{name}:{ACCOUNT_KEY}" for name in (ACCOUNT_NAME, WORKSPACE_ACCOUNT))
_PROGRAM = Path(__file__).parent / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_FLAGS = ("--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry")
#: Azurite closes a connection after 5 idle seconds, even while a request is written to it.
#: On a busy machine that request is lost, and a client does not send a POST again.
_KEEP_ALIVE_SECONDS = 86_400
_LISTENING = re.compile(r"Azurite (\w+) service is successfully listening at \S+:(\d+)\s")
# Node leaves when its standard input ends, which the system sees to even when this process is
# killed outright, whichever of its threads started Azurite.
_LEAVE_WITH_PARENT = "data:text/javascript,process.stdin.on('end',()=>process.exit()).resume()"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobAccount:
    """A storage account's blobs: its name, its key and its address."""

    name: str
    key: str = field(repr=False)
    url: str


class AzuriteMissing(RuntimeError):
    """Azurite or Node is not installed; the message says what to run."""


class AzuriteFailed(RuntimeError):
    """Azurite ended or did not answer in time; the message holds what it printed."""


def connection_string(blob_port: int, queue_port: int, table_port: int) -> str:
    """Return the storage connection string for an Azurite at these local ports."""
    endpoints = zip(SERVICES, (blob_port, queue_port, table_port), strict=True)
    return ";".join(
        (
            "DefaultEndpointsProtocol=http",
            f"AccountName={ACCOUNT_NAME}",
            f"AccountKey={ACCOUNT_KEY}",
            *(f"{name}Endpoint=http://127.0.0.1:{port}/{ACCOUNT_NAME}" for name, port in endpoints),
        )
    )


class Azurite(Running):
    """One Azurite process on ports of its own; everything in it is gone after stop()."""

    def __init__(self, start_timeout: float = 60.0) -> None:
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._ports: Mapping[str, int] = {}

    def start(self) -> Self:
        """Start the process and return when blob, queue and table all listen."""
        if self._process is not None:
            raise RuntimeError("Azurite is already started")
        command = [find_node(), "--import", _LEAVE_WITH_PARENT, str(_find_program()), *_FLAGS]
        for service in SERVICES:
            # The system picks the ports and Azurite prints them, so no other process can take them.
            command += [f"--{service.lower()}Port", "0"]
            command += [f"--{service.lower()}KeepAliveTimeout", f"{_KEEP_ALIVE_SECONDS}"]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            command,
            cwd=tempfile.gettempdir(),
            env={**os.environ, "AZURITE_ACCOUNTS": _ACCOUNTS},
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._ports = self._wait_listening()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill the whole process group; harmless when already stopped."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            # Not terminated gently: nothing is on disk, and closing waits for idle connections.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if self._output is not None:
            self._output.close()
        self._ports = {}

    @property
    def pid(self) -> int:
        """Return the process id, for tests that kill or watch it."""
        if self._process is None:
            raise RuntimeError("Azurite is not started")
        return self._process.pid

    @property
    def blob_port(self) -> int:
        """Return the port of the blob service."""
        return self._port("Blob")

    @property
    def queue_port(self) -> int:
        """Return the port of the queue service."""
        return self._port("Queue")

    @property
    def table_port(self) -> int:
        """Return the port of the table service."""
        return self._port("Table")

    @property
    def connection_string(self) -> str:
        """Return the connection string of all three services."""
        return connection_string(self.blob_port, self.queue_port, self.table_port)

    @property
    def workspace_account(self) -> BlobAccount:
        """Return the account that a workspace keeps its files in, apart from the app's own."""
        url = f"http://127.0.0.1:{self.blob_port}"
        return BlobAccount(name=WORKSPACE_ACCOUNT, key=ACCOUNT_KEY, url=url)

    def _port(self, service: str) -> int:
        if service not in self._ports:
            raise RuntimeError("Azurite is not started")
        return self._ports[service]

    def _wait_listening(self) -> Mapping[str, int]:
        assert self._process is not None
        deadline = time.monotonic() + self._start_timeout
        while True:
            ended = self._process.poll() is not None
            printed = self._printed()
            ports = {name: int(port) for name, port in _LISTENING.findall(printed)}
            if ended:
                raise AzuriteFailed(f"Azurite ended while starting. It printed:\n{printed}")
            if all(service in ports for service in SERVICES):
                return ports
            if time.monotonic() > deadline:
                raise AzuriteFailed(
                    f"Azurite did not listen within {self._start_timeout:g} s. It printed:\n"
                    f"{printed}"
                )
            time.sleep(0.02)

    def _printed(self) -> str:
        assert self._output is not None
        # The process writes through the same file offset; pread leaves it where it is.
        return os.pread(self._output.fileno(), 1 << 20, 0).decode(errors="replace")


def find_node() -> str:
    # `make setup` puts Node beside Python where the machine has none.
    beside_python = str(Path(sys.executable).parent)
    path = os.pathsep.join((beside_python, os.environ.get("PATH", os.defpath)))
    node = shutil.which("node", path=path)
    if node is None:
        raise AzuriteMissing("Node is not installed: run `make setup`")
    return node


def _find_program() -> Path:
    if not _PROGRAM.is_file():
        raise AzuriteMissing(f"Azurite is not installed in {_PROGRAM.parents[3]}: run `make setup`")
    return _PROGRAM
