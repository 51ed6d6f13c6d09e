"""The app on the sandbox: its settings and subscriptions there, and ways to see what it does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Self

from sandbox.stack import Stack
from shared.events.model import EventType

APP_ROOT = Path(__file__).resolve().parent.parent

#: The rules of the stories, and the copy that people change.
RULES = APP_ROOT / "demo" / "reactions.yaml"
OWN_RULES = APP_ROOT / ".sandbox" / "reactions.yaml"

#: The function that takes each type of event.
FUNCTIONS: Mapping[str, str] = {
    f"Microsoft.MachineLearningServices.{event_type}": function
    for event_type, function in {
        EventType.MODEL_REGISTERED: "model_registered",
        EventType.MODEL_DEPLOYED: "model_deployed",
        EventType.RUN_COMPLETED: "run_completed",
        EventType.RUN_STATUS_CHANGED: "run_status_changed",
        "DatasetDriftDetected": "dataset_drift_detected",
    }.items()
}


#: The topic on which reactions may publish events of their own.
NEWS_TOPIC = "news"


def app_settings(stack: Stack, **changes: str) -> dict[str, str]:
    """Return the app's own settings on the sandbox, where waiting is short."""
    return {
        "SIGNALBOX_WORKSPACE": stack.workspace_id,
        "SIGNALBOX_ARM_ENDPOINT": stack.workspace.url,
        "SIGNALBOX_SWEEP_SCHEDULE": "*/10 * * * * *",
        "SIGNALBOX_LEASE_SECONDS": "4",
        "SIGNALBOX_RETRY_SECONDS": "1",
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
        **changes,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A message that a channel got; `good` says whether it is good news."""

    title: str
    text: str
    good: bool
    at: datetime


class Channel:
    """A channel that takes what Apprise posts to a `json://` address; a context manager."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.news: SimpleQueue[Told] = SimpleQueue()
        self.is_down = False
        channel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if channel.is_down:
                    self.send_error(503)
                    return
                message = Told(
                    title=body["title"],
                    text=body["message"],
                    good=body["type"] == "success",
                    at=datetime.now(UTC),
                )
                channel.told.append(message)
                channel.news.put(message)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Keep the terminal quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """The channel's Apprise URL."""
        return f"json://127.0.0.1:{self._server.server_address[1]}/"

    def titles(self) -> list[str]:
        """Return the titles of what was told so far."""
        return [message.title for message in self.told]

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, name="channel", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
