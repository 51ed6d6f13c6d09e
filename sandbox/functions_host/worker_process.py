"""One worker process, from its start to its end."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from sandbox.functions_host import protocol
from sandbox.functions_host.errors import (
    HostError,
    InvocationFailed,
    WorkerExited,
    WorkerReplaced,
)
from sandbox.functions_host.functions import Function, parse_functions
from sandbox.functions_host.protocol import Message, Value

#: The real host gives up on a worker that has not started within a minute.
START_LIMIT_SECONDS = 60.0
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_REPOSITORY = Path(__file__).parents[2]


class WorkerProcess:
    """A running worker that has indexed the app."""

    def __init__(
        self,
        process: subprocess.Popen[str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        log: Callable[[str], None],
    ) -> None:
        self.functions: dict[str, Function] = {}
        self._process = process
        self._writer = writer
        self._log = log
        self._last_lines: deque[str] = deque(maxlen=20)
        self._log_reader = threading.Thread(target=self._copy_log, name="worker-log", daemon=True)
        self._log_reader.start()
        self._index: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._pending: dict[str, asyncio.Future[Value | None]] = {}
        self._end: type[InvocationFailed] = WorkerExited
        self._receiver = asyncio.create_task(self._receive(reader))

    @classmethod
    async def start(
        cls,
        app_dir: Path,
        settings: Mapping[str, str],
        log: Callable[[str], None],
        log_level: str,
    ) -> Self:
        """Start a worker and wait until it has indexed the app; HostError if it can't."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            process = _spawn(app_dir, settings, log_level, theirs.fileno())
        worker = cls(process, reader, writer, log)
        try:
            async with asyncio.timeout(START_LIMIT_SECONDS):
                worker.functions = worker._read_index(await worker._index, app_dir)
        except TimeoutError as error:
            await worker.end()
            raise HostError(f"no worker within {START_LIMIT_SECONDS:.0f} s") from error
        except BaseException:
            await worker.end()
            raise
        return worker

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Return whether the process is still connected."""
        return not self._receiver.done()

    async def invoke(self, request: Message) -> Value | None:
        """Run one function and return its `$return` value; InvocationFailed when it raises."""
        if not self.alive:
            raise WorkerExited("the worker process exited")
        future: asyncio.Future[Value | None] = asyncio.get_running_loop().create_future()
        self._pending[request["id"]] = future
        self._writer.write(protocol.encode(request))
        try:
            return await future
        finally:
            del self._pending[request["id"]]

    async def idle(self) -> None:
        """Wait until it runs no function, or is gone."""
        while self._pending and self.alive:
            await asyncio.wait([*self._pending.values()])

    async def exited(self) -> None:
        """Wait until the process is gone and its running invocations have been failed."""
        await asyncio.shield(self._receiver)
        await self.end()

    @property
    def was_replaced(self) -> bool:
        """Return whether the host itself ended the process, because a function ran too long."""
        return self._end is WorkerReplaced

    def kill(self) -> None:
        """Kill the process, as a crash would; harmless when it is gone."""
        self._process.kill()

    def replace(self) -> None:
        """Kill the process because a function ran too long: what else it runs fails with it."""
        self._end = WorkerReplaced
        self.kill()

    async def end(self) -> None:
        """Kill the process if it still runs, and give back everything it held."""
        self.kill()
        await asyncio.to_thread(self._process.wait)
        await self._receiver
        await asyncio.to_thread(self._log_reader.join, 1.0)
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    def _read_index(self, answer: Message | None, app_dir: Path) -> dict[str, Function]:
        if answer is None:
            # Its last words come through the log, which ends with the process.
            self._log_reader.join(1.0)
            said = "\n".join(self._last_lines)
            raise HostError(f"the worker exited while it indexed {app_dir}:\n{said}")
        if answer["type"] == "failed":
            raise HostError(
                f"the worker could not index {app_dir}: {answer['message']}\n"
                f"{answer['stack_trace']}"
            )
        return parse_functions(answer["functions"])

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        while (message := await protocol.receive(reader)) is not None:
            if message["type"] == "result":
                self._settle(message)
            else:
                self._index.set_result(message)
        if not self._index.done():
            self._index.set_result(None)
        for future in self._pending.values():
            if not future.done():
                future.set_exception(self._end("the worker process exited"))

    def _settle(self, result: Message) -> None:
        future = self._pending.get(result["id"])
        if future is None or future.done():
            return
        if result["error"]:
            future.set_exception(InvocationFailed(**result["error"]))
        else:
            future.set_result(result["return_value"])

    def _copy_log(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._last_lines.append(line.rstrip("\n"))
                self._log(line.rstrip("\n"))


def _spawn(
    app_dir: Path, settings: Mapping[str, str], log_level: str, fd: int
) -> subprocess.Popen[str]:
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {
        "AzureWebJobsScriptRoot": str(app_dir),
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "PYTHONUNBUFFERED": "1",
    }
    environment |= settings
    of_app = settings.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([str(_REPOSITORY), *([of_app] if of_app else [])])
    return subprocess.Popen(
        [
            sys.executable,
            *("-m", "sandbox.functions_host.worker"),
            *("--socket", str(fd), "--log-level", log_level),
        ],
        cwd=app_dir,
        env=environment,
        pass_fds=[fd],
        # Ctrl-C in a terminal is for the host, which then ends the worker.
        process_group=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
