"""The app in the real worker, on the whole sandbox, with verbs for what happens around it."""

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from demo.stage import FUNCTIONS, Channel, app_settings
from sandbox.load import Load
from sandbox.stack import DEAD_LETTER_CONTAINER, Pace, Stack
from sandbox.tap import Request
from shared.adapters.storage.account import StorageAccount
from shared.adapters.storage.blobs import AzureBlobs
from shared.adapters.storage.queues import AzureQueues
from shared.adapters.storage.tables import AzureTables
from shared.base.clock import SystemClock
from shared.base.wakeups import GRACE
from shared.events.envelopes import parse_envelope, parse_events
from shared.journal import letters
from shared.journal.dead_letters import DeadLetters
from shared.journal.letters import Letter, LetterStatus
from shared.journal.outcomes import OutcomeStatus, ref_of
from shared.journal.records import EventRecord, Records
from shared.rollouts.engine.store import RolloutStore
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from tests.app.arm import Arm, Json
from tests.timing import PATIENCE

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
EVENTS_QUEUE = "workspace-events"
DRIFT_QUEUE = "drift-events"
CHANNEL_SECRET = "swordfish-of-the-channel"
MODEL_REGISTERED_SUBSCRIPTION = "model-registered-eventgridschema"
LEASE = timedelta(seconds=2)
RETRY_SECONDS = 1

#: A dead process comes back after two seconds; Event Grid repeats itself after a tenth of one; a
#: second stands for a minute of metrics, and metrics are a second late.
PACE = Pace(workspace=60.0, metrics=1.0, event_grid=0.01, visibility=timedelta(seconds=2))
#: Emulated seconds of every operation: over when the app looks for the first time.
_PROVISIONING = 30
_CORES = 10_000
_WRITES = frozenset({"PUT", "PATCH", "DELETE"})
#: More requests than storage gets while a test keeps it down.
_MANY = 100


def install_app(folder: Path, reactions: Path = HERE / "reactions.yaml") -> Path:
    """Copy what is deployed to a folder of its own, with the reactions of these tests."""
    for name in ("handlers", "shared"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for name in ("golden", "jobs"):
        shutil.copytree(HERE / name, folder / name)
    for path in (REPOSITORY / "function_app.py", REPOSITORY / "host.json", reactions):
        shutil.copy2(path, folder)
    return folder


class _Lines(logging.Handler):
    """Keeps what the host logs beside what the worker does: exceptions, with their tracebacks."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.extend(self.format(record).splitlines())


class Stage:
    """A running app and the cloud around it; a context manager."""

    def __init__(
        self, app_folder: Path, more: Callable[[Stack], Mapping[str, str]] = lambda _: {}
    ) -> None:
        """Run the app in this folder; `more` makes settings beside the usual ones."""
        self.app_folder = app_folder
        self._more = more
        self.log: list[str] = []
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as parts:
            host, lines = logging.getLogger("sandbox.functions_host"), _Lines(self.log)
            host.addHandler(lines)
            parts.callback(host.removeHandler, lines)
            self.stack = parts.enter_context(Stack(PACE, tapped=True))
            self.control = self.stack.control
            self.channel = parts.enter_context(Channel())
            self.arm = parts.enter_context(Arm(self.stack))
            self.http = parts.enter_context(httpx.Client(timeout=60, trust_env=False))
            self._open_storage(parts)
            self.control.provisioning(_PROVISIONING)
            self.control.quota(_CORES)
            self.start_app()
            self._parts = parts.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._parts.close()

    def _open_storage(self, parts: ExitStack) -> None:
        """Open the storage beside the taps, as services and through the app's own adapters."""
        connection = self.stack.azurite.connection_string
        account = StorageAccount({"AzureWebJobsStorage": connection}, _no_credential)
        self.table_service = parts.enter_context(account.table_client())
        self.queue_service = parts.enter_context(account.queue_client())
        self.blob_service = parts.enter_context(account.blob_client())
        self.tables = AzureTables(lambda: self.table_service)
        self.queues = AzureQueues(lambda: self.queue_service)
        self.blobs = AzureBlobs(lambda: self.blob_service)
        self.store = RolloutStore(tables=self.tables)
        self.records = Records(tables=self.tables, blobs=self.blobs)
        self.dead_letters = DeadLetters(
            tables=self.tables,
            queues=self.queues,
            blobs=self.blobs,
            clock=SystemClock(),
            retry_base=timedelta(seconds=RETRY_SECONDS),
        )
        for queue in (EVENTS_QUEUE, DRIFT_QUEUE):
            self.queue_service.create_queue(queue)
        self.blob_service.create_container(DEAD_LETTER_CONTAINER)

    # Actions on the app and on its surroundings

    @property
    def channel_url(self) -> str:
        """The channel's address, with a secret in it as most have."""
        return self.channel.url.replace("://", f"://signalbox:{CHANNEL_SECRET}@")

    def start_app(self) -> None:
        """Start the host, and have the workspace's events delivered to it."""
        self.settings = self.stack.app_settings() | app_settings(
            self.stack,
            SIGNALBOX_CHANNEL_TEAM=self.channel_url,
            SIGNALBOX_LEASE_SECONDS=f"{LEASE.total_seconds():.0f}",
            SIGNALBOX_RETRY_SECONDS=f"{RETRY_SECONDS}",
            SIGNALBOX_METRICS_GRAIN_SECONDS="1",
            PYTHON_ENABLE_OPENTELEMETRY="true",
            **self._more(self.stack),
        )
        self.stack.start_host(self.app_folder, self.settings, log=self.log.append)
        self.subscribe()

    def subscribe(self, **changes: Any) -> None:
        """Have the workspace's events delivered to the app as it is documented, but for changes."""
        self.stack.subscribe(FUNCTIONS, **changes)

    @contextmanager
    def untold(self) -> Iterator[None]:
        """Have Event Grid tell nobody of models that are registered in the block."""
        self.stack.event_grid.unsubscribe(MODEL_REGISTERED_SUBSCRIPTION)
        try:
            yield
            self.wait_for(
                "all events are out",
                lambda: all(item["state"] == "delivered" for item in self.control.events()),
            )
        finally:
            self.subscribe()

    def register(
        self,
        name: str,
        version: str = "1",
        *,
        kind: str = "mlflow_model",
        properties: Mapping[str, str] | None = None,
        uri: str = "",
        **tags: str,
    ) -> Json:
        """Register a model, tagged for deployment if nothing else is said; return its event."""
        body: Json = {"modelType": kind, "tags": tags or {"deploy": "true"}}
        body |= {"modelUri": uri} if uri else {}
        self.arm.put_model(name, version, body | {"properties": dict(properties or {})})
        subject = f"models/{name}:{version}"
        raised = [item["event"] for item in self.control.events()]
        event: Json = next(event for event in raised if event["subject"] == subject)
        return event

    def post(self, body: Any, function: str = "model_registered", **headers: str) -> httpx.Response:
        """Deliver to the webhook as Event Grid does, and return what it answered."""
        given = {"aeg-event-type": "Notification", **headers}
        return self.http.post(self.stack.host.event_grid_url(function), json=body, headers=given)

    def enqueue(self, text: str, queue: str = EVENTS_QUEUE) -> None:
        """Put a message into a queue, as it is."""
        self.queues.send(queue, text)

    @contextmanager
    def load(self, endpoint: str, *, rate: float = 80.0) -> Iterator[Load]:
        """Send an endpoint so many scoring requests a second in the block, as its callers do."""
        found = self.arm.endpoint(endpoint)
        assert found is not None
        uri, trusted = found["properties"]["scoringUri"], self.stack.workspace.ca_path
        with Load(uri, self.arm.scoring_token, rate=rate, ca_path=trusted) as load:
            yield load

    def manage(self, *arguments: str) -> str:
        """Run the operator's command line beside the app; return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, **self.settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kill_worker(self) -> None:
        """Kill the worker's process; the host starts another by itself."""
        self.stack.host.kill_worker()

    @contextmanager
    def during(self, *rules: str) -> Iterator[None]:
        """Have these rules of the workspace hold in the block, and no longer."""
        try:
            yield
        finally:
            for rule in rules:
                self.control.remove(rule)

    def is_used(self, rule: str) -> bool:
        """Say whether a rule of the workspace has been used as often as it may be."""
        rules = self.http.get(f"{self.stack.workspace.control_url}/control/rules").json()["value"]
        return any(each["id"] == rule and each["times"] == 0 for each in rules)

    @contextmanager
    def storage_down(self, service: str = "table") -> Iterator[None]:
        """Drop every connection of the app to one of the storage's services in the block."""
        is_down = True

        def drops(_: Request) -> bool:
            return is_down

        for _ in range(_MANY):
            self.stack.taps[service].strike(drops)
        try:
            yield
        finally:
            is_down = False

    @contextmanager
    def channel_down(self) -> Iterator[None]:
        """Have the channel take nothing in the block."""
        self.channel.is_down = True
        try:
            yield
        finally:
            self.channel.is_down = False

    def age(self, letter: Letter) -> None:
        """Have it that a letter has been due for a while, so that its message must be lost."""
        table, partition = letters.TABLE, letter.id[:2]
        row = self.tables.get(table, partition, letter.id)
        assert row is not None
        overdue = {**row.values, "due_at": letter.due_at - 2 * GRACE}
        self.tables.replace(table, partition, letter.id, overdue, etag=row.etag)

    # Observations

    def traffic(self, endpoint: str) -> dict[str, int]:
        """Return the shares of live traffic by deployment, without the zeros."""
        found = self.arm.endpoint(endpoint)
        shares = found["properties"]["traffic"] if found else {}
        return {name: share for name, share in shares.items() if share}

    def versions(self, endpoint: str) -> dict[str, str]:
        """Return the model version of each deployment."""
        found = self.arm.deployments(endpoint).items()
        return {name: item["properties"]["model"].rsplit("/", 1)[-1] for name, item in found}

    def serving(self, endpoint: str) -> str:
        """Return the version that has all the traffic; "" if none or not all."""
        versions = self.versions(endpoint)
        shares = self.traffic(endpoint)
        return next((versions[name] for name, share in shares.items() if share == 100), "")

    def writes(self, endpoint: str) -> list[tuple[str, str, int]]:
        """Return what the app changed of an endpoint: method, path below it, and status."""
        start = f"{self.stack.workspace_id}/onlineEndpoints/{endpoint}".lower()
        return [
            (item["method"], item["path"][len(start) :], item["status"])
            for item in self.control.requests()
            if item["method"] in _WRITES and f"{item['path']}/".lower().startswith(f"{start}/")
        ]

    def rollouts(self, model: str, version: str | None = None) -> list[Rollout]:
        """Return the rollouts of a model, or of one version."""
        found = (kept.value for kept in self.store.all())
        return [
            rollout
            for rollout in found
            if rollout.model.name == model and version in (None, rollout.model.version)
        ]

    def letters(self, event: Json) -> list[Letter]:
        """Return the letters about an event's subject, with their bodies."""
        about = str(event["subject"]).rpartition("/")[2]
        listed = self.dead_letters.all()
        ids = [letter.id for letter in listed if letter.about.rpartition(" ")[2] == about]
        return [letter for letter in map(self.dead_letters.get, ids) if letter is not None]

    def open_letters(self, event: Json) -> list[Letter]:
        """Return those that are not closed."""
        return [each for each in self.letters(event) if each.status is not LetterStatus.CLOSED]

    def record(self, event: Json) -> EventRecord | None:
        """Return what is on record of an event."""
        return self.records.get(ref_of(parse_events(parse_envelope(event))[0]))

    def told(self, about: str) -> list[str]:
        """Return the titles of the messages about something."""
        return [title for title in self.channel.titles() if about in title]

    # Waiting, always bounded

    def wait_for[T](self, what: str, look: Callable[[], T], *, seconds: float = PATIENCE) -> T:
        """Return the first true answer of `look`; say what was seen if there is none in time."""
        deadline = time.monotonic() + seconds
        while not (seen := look()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not in {seconds:g} s; seen last: {seen!r}\n{self}")
            time.sleep(0.05)
        return seen

    def wait_ended(self, model: str, version: str = "1", *, at: Phase = Phase.DONE) -> Rollout:
        """Return the rollout of a version when it has ended and everything about it is told.

        A phase of `at` counts as the end, too.
        """

        def ended() -> Rollout | None:
            found = self.rollouts(model, version)
            over = (each for each in found if each.phase is at or each.phase.is_terminal)
            return next((each for each in over if not each.notices), None)

        return self.wait_for(f"{model} {version} ends", ended)

    def wait_phase(self, model: str, version: str, phase: Phase) -> Rollout:
        """Return the rollout of a version when it is in this phase."""

        def found() -> Rollout | None:
            return next((one for one in self.rollouts(model, version) if one.phase is phase), None)

        return self.wait_for(f"{model} {version} is {phase}", found)

    def wait_live(self, model: str, version: str = "1", *, at: Phase = Phase.DONE) -> Rollout:
        """Return the rollout when it has come to `at`: by default, its old version is gone."""
        rollout = self.wait_ended(model, version, at=at)
        assert rollout.phase is at, f"{rollout.phase}: {rollout.reason}\n{self}"
        return rollout

    def wait_letter(self, event: Json, code: str) -> Letter:
        """Return the open letter of an event that has this code."""

        def found() -> Letter | None:
            return next((each for each in self.open_letters(event) if each.code == code), None)

        return self.wait_for(f"a letter {code}", found)

    def wait_letters_closed(self, event: Json) -> None:
        """Return when no letter of an event is open any more."""
        self.wait_for("letters close", lambda: not self.open_letters(event))

    def wait_recorded(
        self, event: Json, status: OutcomeStatus, step: str = "deploy-tagged-models/deploy"
    ) -> EventRecord:
        """Return the record of an event when it says this of a step."""

        def found() -> EventRecord | None:
            record = self.record(event)
            outcome = record.outcomes.get(step) if record else None
            return record if outcome is not None and outcome.status is status else None

        return self.wait_for(f"record of {event['subject']} says {status}", found)

    def __str__(self) -> str:
        """Describe what a failed wait needs: what is under way, and the last lines of the log."""
        rollouts = [
            f"  {rollout.model.name} {rollout.model.version}: {rollout.phase}, "
            f"tick {rollout.schedule.tick}, "
            f"{rollout.work.trouble or rollout.reason or 'no trouble'}"
            for kept in self.store.all()
            if not (rollout := kept.value).phase.is_terminal
        ]
        letters = [
            f"  {letter.status} {letter.about}: {letter.code}: {letter.reason}"
            for letter in self.dead_letters.all()
            if letter.status is not LetterStatus.CLOSED
        ]
        parts = {
            "rollouts under way": rollouts,
            "open letters": letters,
            "told last": [f"  {title}" for title in self.channel.titles()[-5:]],
            "the log": [f"  {line}" for line in self.log[-25:]],
        }
        return "\n".join(f"{title}:\n" + "\n".join(lines) for title, lines in parts.items())


def _no_credential() -> Any:
    raise AssertionError("a connection string needs no credential")
