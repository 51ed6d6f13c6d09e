"""The app, or the empty one, on the sandbox: started, sent events, and looked at."""

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import httpx
from azure.data.tables import TableServiceClient

from bench.events import Json, model_registered, run_status_changed
from bench.figure import BenchFailed
from demo.stage import APP_ROOT, Channel, app_settings
from sandbox.stack import Pace, Stack
from sandbox.workspace.identity import issue_token
from shared.adapters.storage.account import StorageAccount
from shared.rollouts.engine import store

EMPTY_APP = Path(__file__).parent / "empty_app"
#: The shipped ones fold what repeats, and read the runs that they tell of.
REACTIONS = Path(__file__).parent / "reactions.yaml"
#: Apart from those above: who retrains nothing does not pay for it.
DRIFT_REACTIONS = Path(__file__).parent / "drift.yaml"

#: Queues are looked at so seldom that the looking costs nothing beside what is measured.
QUIET = Pace(polling=timedelta(seconds=5))

#: The packages of the command line are in requirements-cli.txt, and not where the app is deployed.
#: httpx imports a command line of its own where it finds them.
_NOT_DEPLOYED = """
import sys
for name in ("click", "pygments", "rich", "typer"):
    sys.modules[name] = None
"""

_PATIENCE = 60.0
_NOTIFICATION = {"aeg-event-type": "Notification"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The sandbox, a channel, and clients of all that is looked at or used; no app yet."""

    stack: Stack
    channel: Channel
    http: httpx.Client
    arm: httpx.Client
    tables: TableServiceClient
    folder: Path

    def start(
        self,
        app: Path = APP_ROOT,
        *,
        log: Callable[[str], None] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Start an app and return when it is indexed."""
        ours = app_settings(
            self.stack,
            SIGNALBOX_CHANNEL_TEAM=self.channel.url,
            SIGNALBOX_REACTIONS=str(REACTIONS),
            PYTHONPATH=str(self.folder),
        )
        (self.folder / "sitecustomize.py").write_text(_NOT_DEPLOYED, encoding="utf-8")
        # Without a log of its own, what the worker prints goes nowhere.
        self.stack.start_host(app, {**ours, **(settings or {})}, log=log or _drop)

    def send(self, function: str, events: Sequence[Json]) -> None:
        """Deliver events as Event Grid does; return when each of them was handled.

        Raises: BenchFailed where the app did not take one.
        """
        url = self.stack.host.event_grid_url(function)
        answer = self.http.post(url, headers=_NOTIFICATION, json=list(events))
        if answer.status_code != 202:
            raise BenchFailed(f"{function} answered {answer.status_code}: {answer.text[:500]}")

    def runs(self, status: str, count: int) -> list[Json]:
        """Return events of runs; the bench's reactions tell of Failed ones, and of no others."""
        return [run_status_changed(self.stack.workspace_id, status) for _ in range(count)]

    def put(self, path: str, properties: Json) -> None:
        """Have somebody put a resource into the workspace, at a path below it."""
        workspace = self.stack.workspace
        self.arm.put(
            f"{workspace.url}{self.stack.workspace_id}/{path}",
            params={"api-version": "2025-12-01"},
            headers={"Authorization": f"Bearer {issue_token(workspace.url, 'tenant', 'person')}"},
            json={"properties": properties},
        ).raise_for_status()

    def put_component(self, name: str, **spec: Any) -> None:
        """Have somebody register version 1 of a component."""
        whole = {"name": name, "version": "1", "inputs": {}, "outputs": {}, **spec}
        self.put(f"components/{name}/versions/1", {"componentSpec": whole})

    def register(self, name: str, version: str, **more: str) -> Json:
        """Register a model that is tagged to be deployed, and return the event that tells of it."""
        tags = {"deploy": "true", **more}
        model = {"modelType": "mlflow_model", "modelUri": f"azureml://models/{name}"}
        self.put(f"models/{name}/versions/{version}", {**model, "tags": tags})
        return model_registered(self.stack.workspace_id, name, version, tags=tags)

    def reactions(self, *, keep_old: str) -> Path:
        """Return the path of reactions like the bench's, but for how long they keep the old.

        The file is gone when the bench is closed.
        """
        ours = REACTIONS.read_text(encoding="utf-8")
        text, count = re.subn(r"(?<=keep_old: )\w+", keep_old, ours)
        if count != 1:
            raise BenchFailed("reactions.yaml does not say once how long the old is kept")
        path = self.folder / "reactions.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def runs_ended(self, root: str) -> list[Json]:
        """Return the events of a run, and of all below it, when it has ended and each is out.

        Raises: BenchFailed where that takes too long.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            runs = [run for run in self.stack.control.runs() if root in (run["id"], run["rootId"])]
            raised = [item["event"] for item in self.stack.control.events()]
            ids = {run["id"] for run in runs}
            told = [event for event in raised if event["data"].get("runId") in ids]
            ended = {event["data"]["runId"] for event in told if "runStatus" not in event["data"]}
            if ids and ended == ids:
                return told
            if time.monotonic() > deadline:
                raise BenchFailed(f"run {root} did not end within {_PATIENCE:.0f} s")
            time.sleep(0.05)

    def open_rollouts(self) -> int:
        """Return how many rollouts have not ended."""
        rows = self.tables.get_table_client(store.TABLE).list_entities()
        return sum(1 for row in rows if row["kind"] == "rollout" and row["open"])


@contextmanager
def open_bench(pace: Pace = QUIET, *, tapped: bool = False) -> Iterator[Bench]:
    """Run the sandbox inside the block."""
    with ExitStack() as parts:
        stack = parts.enter_context(Stack(pace, tapped=tapped))
        channel = parts.enter_context(Channel())
        # Plain HTTP: loading the world's certificate authorities would be for nothing.
        http = parts.enter_context(httpx.Client(timeout=120, verify=False))
        trusted = ssl.create_default_context(cafile=str(stack.workspace.ca_path))
        arm = parts.enter_context(httpx.Client(verify=trusted))
        account = StorageAccount(stack.app_settings(), _no_credential)
        yield Bench(
            stack=stack,
            channel=channel,
            http=http,
            arm=arm,
            tables=parts.enter_context(account.table_client()),
            folder=Path(parts.enter_context(TemporaryDirectory(prefix="bench-"))),
        )


def _no_credential() -> NoReturn:
    raise AssertionError("the sandbox's storage has a key")


def _drop(line: str) -> None:
    pass
