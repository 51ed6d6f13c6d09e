"""The whole cloud on a laptop: storage, Event Grid, a workspace, and a Functions host on them."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from sandbox.azurite import Azurite, connection_string
from sandbox.event_grid import BlobContainer, EventGrid, Schema, Subscription, Webhook
from sandbox.functions_host.host import FunctionsHost
from sandbox.tap import Tap
from sandbox.workspace.control import Control
from sandbox.workspace.server import WorkspaceEmulator
from sandbox.workspace.settings import Settings as WorkspaceSettings

SYSTEM_TOPIC = "workspace"
DEAD_LETTER_CONTAINER = "event-grid-dead-letters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the sandbox's time runs."""

    #: Emulated seconds of the workspace per real second.
    workspace: float = 60.0
    #: Real seconds by which metrics are late.
    metrics: float = 0.0
    #: Real seconds that one of Event Grid's seconds takes.
    event_grid: float = 0.02
    #: How long a message stays hidden whose worker died; 10 minutes in Azure.
    visibility: timedelta = timedelta(seconds=3)
    #: How often an idle queue is looked at, at the most.
    polling: timedelta = timedelta(milliseconds=100)


class Stack:
    """Starts the parts in order and stops them in reverse; a context manager.

    The host is started on its own, by `start_host`, since its settings name the other parts.
    """

    def __init__(self, pace: Pace | None = None, *, tapped: bool = False) -> None:
        """With `tapped`, storage is reached through taps that can count, and strike."""
        self.pace = pace or Pace()
        self._tapped = tapped
        self._parts = ExitStack()
        self._host: FunctionsHost | None = None
        self.taps: dict[str, Tap] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_host()
        self._parts.close()

    def _start(self) -> None:
        enter = self._parts.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory(prefix="sandbox-")))
        self.azurite = enter(Azurite())
        ports = {
            "blob": self.azurite.blob_port,
            "queue": self.azurite.queue_port,
            "table": self.azurite.table_port,
        }
        if self._tapped:
            self.taps = {
                name: enter(Tap(f"http://127.0.0.1:{port}")) for name, port in ports.items()
            }
            ports = {name: tap.port for name, tap in self.taps.items()}
        #: The address that the app uses; the other parts reach storage directly.
        self.storage = connection_string(ports["blob"], ports["queue"], ports["table"])
        authority = trustme.CA()
        self.event_grid = enter(
            EventGrid(time_scale=self.pace.event_grid, response_timeout=30.0, authority=authority)
        )
        topic = self.event_grid.add_topic(SYSTEM_TOPIC, system=True)
        self.workspace = enter(
            WorkspaceEmulator(
                WorkspaceSettings(
                    ca_folder=folder,
                    topic_url=topic.endpoint,
                    topic_key=topic.key,
                    storage=self.azurite.workspace_account,
                    speed=self.pace.workspace,
                    metrics_lag=self.pace.metrics,
                    # The app lives in real time, and asks for what happened in it.
                    real_time_metrics=True,
                ),
                authority=authority,
            )
        )
        self.control = enter(Control(self.workspace.control_url))

    @property
    def workspace_id(self) -> str:
        """The ARM id of the workspace."""
        settings = self.workspace.settings
        return (
            f"/subscriptions/{settings.subscription}/resourceGroups/{settings.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{settings.workspaces[0]}"
        )

    @property
    def host(self) -> FunctionsHost:
        """The Functions host; an error before `start_host`."""
        if self._host is None:
            raise RuntimeError("the host is not started")
        return self._host

    def app_settings(self) -> dict[str, str]:
        """Return what Azure would set for an app with a managed identity and this storage."""
        return {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "AzureWebJobsStorage": self.storage,
            **self.workspace.environment(),
        }

    def start_host(
        self,
        app_dir: Path,
        settings: Mapping[str, str],
        *,
        timers: bool = False,
        log: Callable[[str], None] | None = None,
    ) -> FunctionsHost:
        """Start the function app and return its host when it is ready."""
        options: dict[str, Any] = {} if log is None else {"log": log}
        self._host = FunctionsHost(
            app_dir,
            {**self.app_settings(), **settings},
            visibility=self.pace.visibility,
            max_polling_interval=self.pace.polling,
            timers=timers,
            # Tests kill more workers in half an hour than the real host tolerates.
            most_deaths=None,
            **options,
        ).start()
        return self._host

    def stop_host(self) -> None:
        """Stop the function app; harmless when it is not running."""
        host, self._host = self._host, None
        if host is not None:
            host.stop()

    def subscribe(
        self, functions: Mapping[str, str], schema: Schema = Schema.EVENT_GRID, **changes: Any
    ) -> None:
        """Have the workspace's events delivered to the app: event type to function name."""
        for event_type, function in functions.items():
            subscription = Subscription(
                name=f"{function}-{schema}".replace("_", "-").lower(),
                topic=SYSTEM_TOPIC,
                destination=Webhook(self.host.event_grid_url(function)),
                schema=schema,
                included_event_types=(event_type,),
                dead_letter=BlobContainer(self.azurite.connection_string, DEAD_LETTER_CONTAINER),
            )
            self.event_grid.subscribe(replace(subscription, **changes))


_USE = """
This starts no app, because it knows of none: it is for programs that bring one.

  from sandbox.stack import Stack

  with Stack() as stack:
      host = stack.start_host(app_dir, {})    # a folder with function_app.py and host.json
      stack.subscribe({"Microsoft.MachineLearningServices.ModelRegistered": "on_event"})
      stack.control.…                         # what happens in the workspace, see its README

To see the app of this repository on it: make demo
To serve an app without a workspace:     python -m sandbox.functions_host APP_DIR
What is what:                            sandbox/README.md
"""

if __name__ == "__main__":
    print(__doc__, _USE, sep="\n", end="")
