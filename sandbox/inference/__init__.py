"""Microsoft's own inference server with a model in it, as a deployment's container has it.

It is slow to start and has a Python environment of its own, so the workspace emulator does not use
it: a test compares the emulator's answers with those of the real server.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import httpx

from sandbox.running import Running

_HERE = Path(__file__).parent
#: Made by `make setup`; beside this environment's own Python, whichever folder that is in.
PYTHON = Path(sys.prefix) / "inference" / "bin" / "python"
_APP = "azureml_inference_server_http.server.entry:app"
_START_SECONDS = 120.0
_POLL_SECONDS = 0.1


class InferenceFailed(RuntimeError):
    """The server, or what makes the models for it, ended or did not answer in time."""


def make_models(folder: Path) -> None:
    """Save one MLflow model of each kind below a folder: see `make_models.py`."""
    command = [str(_find_python()), str(_HERE / "make_models.py"), str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise InferenceFailed(f"no models could be made:\n{made.stdout}{made.stderr}")


class InferenceServer(Running):
    """One server process for one model, at a free port of this machine.

    Without a folder of `code`, which has a `score.py`, the model is an MLflow one.
    """

    def __init__(self, model: Path, code: Path = _HERE) -> None:
        self._model = model
        self._code = code
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        return self.start().wait()

    def start(self) -> Self:
        """Start the process and return at once: several may start at the same time."""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        # The process inherits our socket, so no other can take its port in between.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            number = listener.fileno()
            code = "import gunicorn.app.wsgiapp as app; app.run()"
            self._process = subprocess.Popen(
                [str(_find_python()), "-c", code, "--bind", f"fd://{number}", _APP],
                env=os.environ
                | {
                    "AML_APP_ROOT": str(self._code),
                    "AZUREML_ENTRY_SCRIPT": "score.py",
                    "AZUREML_MODEL_DIR": str(self._model),
                    "PYTHONPATH": "",
                },
                cwd=tempfile.gettempdir(),
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def wait(self) -> Self:
        """Return when the server says that it is healthy."""
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(self.url, timeout=_START_SECONDS).text == "Healthy":
                    return self
            time.sleep(_POLL_SECONDS)
        printed = self._printed()
        self.stop()
        raise InferenceFailed(f"the inference server did not start. It printed:\n{printed}")

    def stop(self) -> None:
        """Kill the whole process group; harmless when already stopped."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._output is not None:
            self._output.close()

    def _printed(self) -> str:
        assert self._output is not None
        return os.pread(self._output.fileno(), 1 << 20, 0).decode(errors="replace")


def _find_python() -> Path:
    if not PYTHON.is_file():
        raise InferenceFailed(f"there is no inference server at {PYTHON}: run `make setup`")
    return PYTHON
