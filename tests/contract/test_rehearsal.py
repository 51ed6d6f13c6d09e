"""A rehearsal on the real storage and the emulated AML: it says everything, and writes nothing."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bench.events import drift_detected, model_registered
from commands import trial
from commands.rehearsal import Rehearsal
from manage import app
from sandbox.azurite import Azurite, connection_string
from sandbox.tap import Tap
from sandbox.workspace.control import Control
from sandbox.workspace.server import WorkspaceEmulator
from shared.actions import ACTIONS
from shared.adapters.aml.connection import Aml
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.adapters.http import Http
from shared.base.clock import SystemClock
from shared.events.envelopes import parse_envelope, parse_events
from shared.journal.outcomes import OutcomeStatus
from shared.reactions.load import load_reactions
from shared.services import Ports, Services
from shared.workspaces.model import DeploymentSpec
from tests.contract.conftest import WORKSPACE, FakeCredential, Somebody

RULES = f"""\
version: 1
workspaces: [{WORKSPACE.id}]
channels: [team, nobody]
rollouts:
  careful:
    steps: [{{traffic: 10%}}, {{hold: 15m}}, {{traffic: 100%}}]
reactions:
  - name: deploy-it
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do:
      - deploy:
          endpoint: "${{{{ model.name }}}}"
          instance_type: "${{{{ model.tags.signalbox_size || 'Standard_DS3_v2' }}}}"
          allow: {{instance_type: [Standard_DS3_v2]}}
          rollout: careful
          adopt: true
          notify: [team]
      - notify: {{channel: team, title: "${{{{ model.name }}}} goes out"}}
  - name: tell-nobody
    on: ModelRegistered
    do: [notify: {{channel: nobody, title: new}}]
  - name: never
    on: ModelRegistered
    when: model.tags.Deploy == 'true'
    do: [notify: {{channel: team, title: never}}]
  - name: train
    on: DriftDetected
    do:
      - retrain:
          target: {{webhook: {{name: hook}}}}
          inputs: {{monitor: "${{{{ drift.monitor }}}}"}}
          notify: [team]
"""


class Watched(Http):
    """Notes the methods of all requests."""

    def __init__(self, ca_path: str) -> None:
        super().__init__(ca_path=ca_path)
        self.methods: list[str] = []

    def send(self, method: str, url: str, **options: Any) -> Any:
        self.methods.append(method)
        return super().send(method, url, **options)


class Stage:
    """The app's parts on a real account and a workspace, with all their requests on record."""

    def __init__(self, services: Services, taps: list[Tap], http: Watched, environ: Any) -> None:
        self.services, self._taps, self.http, self.environ = services, taps, http, environ

    def writes(self) -> list[str]:
        """Return every request that is not a mere reading."""
        storage = [f"{it.method} {it.path}" for tap in self._taps for it in tap.requests]
        asked = [*storage, *self.http.methods]
        assert any(line.startswith("GET") for line in asked), "the taps see what is read"
        return [line for line in asked if line.split()[0] not in ("GET", "HEAD")]


@pytest.fixture
def stage(
    azurite: Azurite, emulator: WorkspaceEmulator, control: Control, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    with ExitStack() as parts:
        ports = (azurite.blob_port, azurite.queue_port, azurite.table_port)
        taps = [parts.enter_context(Tap(f"http://127.0.0.1:{port}")) for port in ports]
        environ = {
            "AzureWebJobsStorage": connection_string(*(tap.port for tap in taps)),
            "SIGNALBOX_CHANNEL_TEAM": "json://127.0.0.1:1/team",
            "SIGNALBOX_WEBHOOK_HOOK": "https://127.0.0.1:1/hook",
        }
        http = Watched(str(emulator.ca_path))
        aml = Aml(FakeCredential, arm_endpoint=emulator.url, http=http, clock=SystemClock())
        workspaces = parts.enter_context(closing(ArmWorkspaces(aml)))
        reactions = load_reactions(RULES, actions=ACTIONS, settings=environ)
        services = Services(environ, Ports(workspaces=workspaces), reactions=reactions)

        @contextmanager
        def given() -> Iterator[Services]:
            yield services

        monkeypatch.setattr(trial, "app_services", given)
        monkeypatch.setattr(trial, "settings_beside_app", lambda: environ)
        yield Stage(services, taps, http, environ)


@pytest.fixture
def model(somebody: Somebody) -> None:
    """A tagged model in the workspace."""
    properties = {
        "modelType": "mlflow_model",
        "modelUri": "azureml://jobs/j/outputs/artifacts/model",
        "flavors": {"python_function": {"data": {}}},
        "tags": {"deploy": "true"},
    }
    somebody.put("/models/churn/versions/8", properties)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["try", *words])


@pytest.mark.usefixtures("model")
def test_a_model_is_read_from_the_workspace_and_everything_that_would_happen_is_said(
    stage: Stage,
) -> None:
    done = run("--model", "churn:8")
    shown = done.output
    assert "deploy-it: is set off" in shown, shown
    assert "endpoint:                churn" in shown
    assert "model churn:8 is a mlflow_model, tags: deploy=true" in shown
    assert "there is no endpoint churn" in shown
    assert "Standard_DS3_v2 has 4 cores" in shown
    assert "would make endpoint churn" in shown
    assert "would be started: rollout of churn 8 to churn" in shown
    assert "would tell team: churn goes out" in shown
    assert "churn-v8-" in shown.split("each step at the earliest:")[1]
    assert "never: is not set off" in shown
    assert "SIGNALBOX_CHANNEL_NOBODY" in shown
    assert done.exit_code == 1, "one channel has no setting"
    assert stage.writes() == []


@pytest.mark.usefixtures("model")
def test_where_a_version_serves_the_steps_of_the_rollout_are_foretold_with_their_times(
    stage: Stage, control: Control, tmp_path: Path
) -> None:
    real = stage.services.workspaces
    real.create_endpoint(WORKSPACE, "churn", auth_mode="key", tags={})
    control.advance(3600)
    old = DeploymentSpec(
        model_id=f"{WORKSPACE.id}/models/churn/versions/8",
        instance_type="Standard_DS3_v2",
        instance_count=1,
    )
    real.create_deployment(WORKSPACE, "churn", "old", old)
    control.advance(3600)
    endpoint = real.get_endpoint(WORKSPACE, "churn")
    assert endpoint is not None
    real.set_traffic(WORKSPACE, endpoint, {"old": 100}, {})
    control.advance(3600)
    stage.http.methods.clear()
    shown = run("--model", "churn:8").output
    assert "endpoint churn is Succeeded, split: old 100%" in shown, shown
    assert "deployments of churn: old (Succeeded)" in shown
    assert " of 100 of its family are left" in shown
    assert "100 of 100" not in shown
    assert "would make deployment churn-v8-" in shown
    coming = shown.split("each step at the earliest:")[1]
    assert [word in coming for word in ("10%", "hold", "100%", "old")] == [True] * 4, coming
    rules = tmp_path / "cautious.yaml"
    rules.write_text(RULES.replace("adopt: true", "adopt: false"))
    shown = run("--model", "churn:8", "--rules", str(rules)).output
    assert "would be refused: rollout.refused: endpoint churn was not made by Signalbox" in shown
    assert stage.writes() == []


@pytest.mark.usefixtures("model")
def test_programs_get_the_same_as_data(stage: Stage) -> None:
    (found,) = json.loads(run("--model", "churn:8", "--json").output)
    by_name = {item["name"]: item for item in found["reactions"]}
    deploy, notify = by_name["deploy-it"]["steps"]
    assert deploy["values"]["rollout"] == "careful"
    assert deploy["rollout"]["next"][-1]["what"]
    assert notify["would"] == ["tell team: churn goes out"]
    assert [step["refused"] for step in by_name["tell-nobody"]["steps"]] == [True]
    assert (by_name["never"]["matches"], "`deploy`" in by_name["never"]["near"]) == (False, True)
    assert stage.writes() == []


def test_a_value_that_a_tag_may_not_choose_is_refused(
    stage: Stage, somebody: Somebody, tmp_path: Path
) -> None:
    tags = {"deploy": "true", "signalbox_size": "Standard_ND96"}
    properties = {"modelType": "mlflow_model", "modelUri": "azureml://x", "tags": tags}
    somebody.put("/models/large/versions/1", properties)
    path = tmp_path / "event.json"
    path.write_text(json.dumps(model_registered(WORKSPACE.id, "large", "1", tags=tags)))
    done = run(str(path))
    assert "would be refused: deploy.tag_forbidden" in done.output, done.output
    assert stage.writes() == []


def test_an_environment_is_looked_up_in_the_workspace(
    stage: Stage, somebody: Somebody, tmp_path: Path
) -> None:
    properties = {"modelType": "custom_model", "modelUri": "azureml://x", "tags": {"deploy": "1"}}
    somebody.put("/models/pickle/versions/1", properties)
    path = tmp_path / "rules.yaml"
    own = "environment: azureml:serving@latest\n          adopt: true"
    path.write_text(RULES.replace("adopt: true", own))
    tried = ("--model", "pickle:1", "--rules", str(path))
    missing = run(*tried).output
    assert "there is no environment serving@latest" in missing, missing
    assert "would be refused: action.params: workspace ws-a has no environment" in missing
    somebody.put("/environments/serving/versions/7", {"image": "i"})
    found = run(*tried).output
    assert "environment serving@latest is serving:7" in found, found
    assert "would make deployment pickle-v1-" in found or "would make endpoint pickle" in found
    assert stage.writes() == []


def test_a_model_that_is_not_there_is_superseded_and_not_waited_for(
    stage: Stage, tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(model_registered(WORKSPACE.id, "gone", "1")))
    done = run(str(path))
    assert "there is no model gone:1" in done.output, done.output
    assert "would be skipped: superseded" in done.output or "absent" in done.output, done.output
    assert "there is no model gone:2 in ws-a" in run("--model", "gone:2").output
    assert stage.writes() == []


def test_a_training_is_not_started(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(drift_detected(WORKSPACE.id, "churn-monitor")))
    done = run(str(path))
    assert "would start a webhook with monitor=churn-monitor" in done.output, done.output
    assert stage.writes() == []


def test_other_rules_are_tried_on_request(stage: Stage, tmp_path: Path) -> None:
    rules, event = tmp_path / "new.yaml", tmp_path / "event.json"
    rules.write_text(RULES.replace("'true'", "'yes'").replace("Deploy ==", "deploy =="))
    raw = model_registered(WORKSPACE.id, "x", "1", tags={"deploy": "yes"})
    event.write_text(json.dumps(raw))
    assert "never: is set off" in run(str(event), "--rules", str(rules)).output
    assert "never: is not set off" in run(str(event)).output


def test_an_event_of_a_workspace_that_is_not_listed_does_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(model_registered(WORKSPACE.id.replace("ws-a", "other"), "x", "1")))
    done = run(str(path))
    assert "nothing would be done: reactions.yaml does not list it" in done.output, done.output


@pytest.mark.usefixtures("model")
def test_what_is_written_is_seen_within_the_rehearsal_and_nowhere_else(stage: Stage) -> None:
    raw = model_registered(WORKSPACE.id, "churn", "8", at=datetime.now(UTC))
    events = parse_events(parse_envelope(raw))
    rehearsal = Rehearsal(stage.services, stage.environ, stage.services.reactions)
    (first,) = rehearsal.rehearse(raw, events)
    outcome = first.steps["deploy-it/deploy"].outcome
    assert outcome is not None
    assert outcome.status is OutcomeStatus.WAITING
    rollout = first.steps["deploy-it/deploy"].rollout
    assert rollout is not None
    assert stage.services.rollouts.store.get(rollout.partition, rollout.id) is None
    assert rehearsal.rollouts.store.get(rollout.partition, rollout.id) is not None
    assert stage.writes() == []
