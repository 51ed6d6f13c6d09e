"""The whole app on in-memory ports and a clock that only moves when there is nothing to do."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from shared.actions import ACTIONS
from shared.base.ports import Row
from shared.events.model import Workspace
from shared.journal import announcements, letters, records
from shared.journal.letters import Letter
from shared.journal.outcomes import Outcome, outcome_from
from shared.reactions.load import load_reactions
from shared.reactions.model import Reactions
from shared.retraining.model import Loop
from shared.rollouts.engine import advance
from shared.rollouts.state.rollout import Rollout
from shared.services import Ports, Services
from shared.twins.clock import ManualClock
from shared.twins.metrics import MemoryMetrics
from shared.twins.storage import MemoryBlobs, MemoryChannels, MemoryQueues, MemoryTables
from shared.twins.targets import MemoryTargets
from shared.twins.topics import MemoryTopics
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import RunRecord

WORKSPACE = Workspace(subscription="5a2c-sub", resource_group="rg", name="ws")
LEASE = timedelta(seconds=60)

REACTIONS = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: deploy-tagged-models
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do:
      - deploy:
          endpoint: ${{{{ model.name }}}}
          instance_type: Standard_DS3_v2
          keep_old: 30m
          timeout: 1h
          notify: [team]
          allow:
            endpoint: [churn-*]
            instance_type: [Standard_DS2_v2, Standard_DS3_v2]
            instance_count: [1, 2]
            probe_request: [golden/*.json]
  - name: tell-failed-runs
    on: RunStatusChanged
    when: run.status == 'Failed'
    do:
      - notify: {{channel: team, title: "${{{{ run.id }}}} failed"}}
"""
#: The same with a ceiling on messages that no story reaches.
WITHOUT_CEILING = REACTIONS.replace("reactions:", "messages: {per_hour: 1000}\nreactions:", 1)


@cache
def _loaded(reactions: str) -> Reactions:
    """Return the rules of a file, which nothing changes: most stories have the same."""
    return load_reactions(reactions, actions=ACTIONS, settings={})


class World:
    """The app, its storage and the workspace, with verbs for what happens to them."""

    def __init__(self, reactions: str = REACTIONS, **settings: str) -> None:
        """Have these reactions and app settings."""
        self.app_settings = settings
        self.clock = ManualClock()
        self.tables = MemoryTables()
        self.queues = MemoryQueues(self.clock)
        self.blobs = MemoryBlobs()
        self.channels = MemoryChannels()
        self.topics = MemoryTopics()
        self.workspaces = MemoryWorkspaces(self.clock)
        self.metrics = MemoryMetrics(self.clock, self.workspaces)
        self.reactions = reactions
        self.targets = MemoryTargets()
        #: Is told of retrainings' models and rollouts in place of the loops.
        self.listener: Any = None
        self._events = 0
        self.start_app()

    def start_app(self, *, budget: timedelta | None = None) -> None:
        """Build the app anew on the same storage, as a restarted worker does.

        `budget` replaces the time that a trigger may take.
        """
        self.services = Services(
            self.app_settings,
            Ports(
                clock=self.clock,
                tables=self.tables,
                queues=self.queues,
                blobs=self.blobs,
                channels=self.channels,
                topics=self.topics,
                workspaces=self.workspaces,
                metrics=self.metrics,
                target=self.targets.get,
            ),
            reactions=_loaded(self.reactions),
        )
        if budget is not None:
            self.services.settings = replace(self.services.settings, budget=budget)
        if self.listener is not None:
            follow = self.listener.rollout_changed
            self.services.rollouts = replace(self.services.rollouts, follow=follow)
            self.services.retrainings = self.listener
        self.records = self.services.records
        self.letters = self.services.dead_letters
        self.folds = self.services.folds
        self.loops = self.services.loops
        self.approvals = self.services.approvals
        self.rollouts = self.services.rollouts
        self.react = self.services.react
        self.sweep = self.services.sweep

    def complete(self, event_id: str, run_id: str, tags: Mapping[str, str]) -> dict[str, Any]:
        """Have a run with these tags complete, and return the event that tells of it."""
        run = RunRecord(id=run_id, status="Completed", root_id=run_id, tags=tags)
        self.workspaces.add_run(WORKSPACE, run)
        return run_completed(event_id, self.clock.now(), run_id, tags)

    def register(
        self, name: str = "churn", version: str = "1", *, kind: str = "mlflow_model", **tags: str
    ) -> dict[str, Any]:
        """Register a model in the workspace and return the event that tells of it."""
        tags = tags or {"deploy": "true"}
        self.workspaces.register(WORKSPACE, name, version, tags=tags, kind=kind)
        self._events += 1
        return model_registered(f"event-{self._events}", self.clock.now(), name, version, tags)

    def settle(self, *, until: Callable[[], bool] = lambda: False, most: int = 400) -> None:
        """Hand out due messages, and let time pass to the next one, until there is none left."""
        for _ in range(most):
            if until():
                return
            self.deliver()
            due = self.next_due()
            if due is None:
                return
            self.metrics.observe()
            self.clock.time = max(self.clock.time, due)
        raise AssertionError("it does not settle")

    def deliver(self) -> None:
        """Hand out the messages that are due now."""
        for message in self.queues.take(advance.QUEUE):
            self.rollouts.advance(message)
        for message in self.queues.take(letters.QUEUE):
            letter = self.letters.due(message)
            if letter is not None:
                self.react.replay(letter)
        for message in self.queues.take(announcements.QUEUE):
            self.services.announcement_publisher.publish(message)

    def next_due(self) -> datetime | None:
        """Return when the next message is due, or None."""
        queues = (advance.QUEUE, letters.QUEUE, announcements.QUEUE)
        return min((due for queue in queues for due, _ in self.queues.waiting(queue)), default=None)

    def endpoint(self, name: str = "churn") -> Mapping[str, int]:
        """Return the live traffic of an endpoint."""
        return self.workspaces.endpoints[WORKSPACE.key, name].traffic

    def deployments(self, name: str = "churn") -> dict[str, str]:
        """Return the model version of each deployment of an endpoint."""
        found = self.workspaces.deployments.get((WORKSPACE.key, name), {})
        return {item.name: item.model.rsplit("/", 1)[-1] for item in found.values()}

    def serving(self, name: str = "churn") -> str:
        """Return the model version that gets all traffic; "" where nothing does."""
        shares = {name: share for name, share in self.endpoint(name).items() if share}
        if not shares:
            return ""
        assert list(shares.values()) == [100]
        return self.deployments(name)[next(iter(shares))]

    def told(self) -> list[str]:
        """Return the titles of the messages that were sent."""
        return [message.title for message in self.channels.sent]

    def all_rollouts(self) -> list[Rollout]:
        """Return every rollout, the oldest first."""
        found = [kept.value for kept in self.rollouts.store.all()]
        return sorted(found, key=lambda rollout: rollout.created_at)

    def loop(self) -> Loop:
        """Return the only loop."""
        (kept,) = self.loops.store.all()
        return kept.value

    def all_letters(self) -> list[Letter]:
        """Return every letter, with its body."""
        found = (self.letters.get(letter.id) for letter in self.letters.all())
        return [letter for letter in found if letter is not None]

    def rows(self, table: str) -> list[Row]:
        """Return every row of a table."""
        return list(self.tables.query(table))

    def outcome(self, step: str = "deploy-tagged-models/deploy") -> Outcome:
        """Return the outcome of a step, of the only event that has it."""
        found = [
            outcome_from(item[step])
            for row in self.rows(records.TABLE)
            if step in (item := json.loads(str(row.values["outcomes"])))
        ]
        assert len(found) == 1
        return found[0]

    def outcome_of(self, about: str, step: str) -> Outcome:
        """Return the outcome of a step for the event about this."""
        rows = [row for row in self.rows(records.TABLE) if row.values["about"] == about]
        assert len(rows) == 1
        return outcome_from(json.loads(str(rows[0].values["outcomes"]))[step])


def drift_detected(event_id: str, time: datetime, **data: Any) -> dict[str, Any]:
    """Return the envelope of a drift that somebody publishes; `data` replaces what it usually is.

    By default one feature is half as far again from its baseline as it may be.
    """
    usual = {
        "monitor": "churn-monitor",
        "signal": "data_drift",
        "state": "breach",
        "metrics": [{"name": "psi", "value": 0.3, "threshold": 0.2, "feature": "age"}],
        "window": {
            "id": event_id,
            "start": (time - timedelta(days=1)).isoformat(),
            "end": time.isoformat(),
        },
    }
    return {
        "id": event_id,
        "topic": WORKSPACE.id,
        "subject": "drift",
        "eventType": "Signalbox.DriftDetected",
        "eventTime": time.isoformat(),
        "dataVersion": "1",
        "metadataVersion": "1",
        "data": usual | data,
    }


def model_registered(
    event_id: str,
    time: datetime,
    name: str = "churn",
    version: str = "1",
    tags: Mapping[str, Any] | None = None,
    workspace: Workspace = WORKSPACE,
) -> dict[str, Any]:
    """Return the Event Grid envelope of a model that was registered."""
    return {
        "id": event_id,
        "topic": workspace.id,
        "subject": f"models/{name}:{version}",
        "eventType": "Microsoft.MachineLearningServices.ModelRegistered",
        "eventTime": time.isoformat(),
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": {
            "modelName": name,
            "modelVersion": version,
            "modelTags": dict(tags if tags is not None else {"deploy": "true"}),
            "modelProperties": {},
        },
    }


def run_status_changed(event_id: str, time: datetime, status: str = "Failed") -> dict[str, Any]:
    """Return the Event Grid envelope of a run whose status changed."""
    return {
        "id": event_id,
        "topic": WORKSPACE.id,
        "subject": "experiments/e1/runs/run-1",
        "eventType": "Microsoft.MachineLearningServices.RunStatusChanged",
        "eventTime": time.isoformat(),
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": {
            "experimentId": "e1",
            "experimentName": "exp",
            "runId": "run-1",
            "runType": "azureml.pipeline",
            "runStatus": status,
            "runTags": {},
            "runProperties": {},
        },
    }


def run_completed(
    event_id: str, time: datetime, run_id: str = "run-1", tags: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the Event Grid envelope of a run that completed."""
    return {
        "id": event_id,
        "topic": WORKSPACE.id,
        "subject": f"experiments/e1/runs/{run_id}",
        "eventType": "Microsoft.MachineLearningServices.RunCompleted",
        "eventTime": time.isoformat(),
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": {
            "experimentId": "e1",
            "experimentName": "exp",
            "runId": run_id,
            "runType": "azureml.scriptrun",
            "runTags": dict(tags or {}),
            "runProperties": {},
        },
    }
