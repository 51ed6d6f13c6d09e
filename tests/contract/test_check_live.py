"""`signalbox check --live` against the AML emulator, over the wire."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from manage import app
from tests.contract.conftest import WORKSPACE, FakeCredential, Somebody
from tests.contract.test_workspaces import Stage

pytestmark = pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning")

FILE = f"""\
version: 1
workspaces: [{WORKSPACE.id}]
reactions:
  - name: deploy-churn
    on: ModelRegistered
    do:
      - deploy:
          endpoint: churn
          instance_type: Standard_DS3_v2
          environment: azureml:serving:1
          probe: {{request: golden/churn.json}}
  - name: deploy-scores
    on: ModelRegistered
    do:
      - deploy: {{endpoint: "${{{{ model.name }}}}", kind: batch, compute: cpu-clutser}}
  - name: keep
    on: RunCompleted
    do:
      - register: {{name: churn}}
"""
GOOD = FILE.replace("clutser", "cluster")


@pytest.fixture
def file(
    emulator: Any,
    control: Any,
    credential: FakeCredential,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A rules file, and settings with which the emulator is Azure."""
    settings = {
        "SIGNALBOX_ARM_ENDPOINT": emulator.url,
        "SSL_CERT_FILE": str(emulator.ca_path),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("shared.adapters.identity.make_credential", lambda _: credential)
    path = tmp_path / "reactions.yaml"
    path.write_text(FILE, encoding="utf-8")
    (tmp_path / "local.settings.json").write_text("{}", encoding="utf-8")
    return path


def check(file: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", str(file), "--live", *options])


def told(result: Result) -> list[str]:
    """Return each finding of a result as JSON: severity, place, message."""
    found = json.loads(result.stdout)["findings"]
    return [f"{it['severity']} {it['line']}:{it['column']} {it['message']}" for it in found]


def test_what_the_workspace_lacks_is_found_in_every_form(
    file: Path, workspaces: Any, control: Any, emulator: Any
) -> None:
    stage = Stage(workspaces, control, emulator)
    stage.workspaces.create_endpoint(WORKSPACE, "churn", auth_mode="key", tags={})
    stage.pass_time()
    result = check(file, "--json")
    assert result.exit_code == 1
    assert told(result) == [
        "error 8:21 endpoint 'churn' of workspace 'ws-a' was not made by Signalbox",
        "error 10:24 workspace ws-a has no environment azureml:serving:1",
        "error 15:71 workspace 'ws-a' has no compute 'cpu-clutser'",
    ]
    note = "not checked, because only an event decides it: `endpoint` of 'deploy-scores'"
    assert json.loads(result.stdout)["notes"] == [note]
    lines = check(file, "--format", "github").stdout.splitlines()
    assert [line.split("::")[1].split(",")[1] for line in lines[:3]] == [
        "line=8",
        "line=10",
        "line=15",
    ]
    assert f"note: {note}" in lines
    (run,) = json.loads(check(file, "--format", "sarif").stdout)["runs"]
    assert [it["level"] for it in run["results"]] == ["error"] * 3
    ((said,),) = [it["toolExecutionNotifications"] for it in run["invocations"]]
    assert said == {"level": "note", "message": {"text": note}}
    text = check(file).stdout
    assert "FILE:15:71 error in reaction 'deploy-scores'" in text.replace(str(file), "FILE")
    assert f"note: {note}\n" in text


def test_a_file_that_fits_the_workspace_ends_with_0_and_leaves_no_trace(
    file: Path, somebody: Somebody, control: Any
) -> None:
    somebody.put("/environments/serving/versions/1", {"image": "i"})
    file.write_text(GOOD, encoding="utf-8")
    control.clear_requests()
    result = check(file, "--strict")
    assert result.exit_code == 0, result.output
    assert {request["method"] for request in control.requests()} == {"GET"}


def test_cores_that_are_lacking_are_a_warning_which_strict_counts(
    file: Path, somebody: Somebody, control: Any
) -> None:
    somebody.put("/environments/serving/versions/1", {"image": "i"})
    file.write_text(GOOD, encoding="utf-8")
    control.quota(3, "standardDSv2Family")
    result = check(file, "--json")
    assert len(told(result)) == 1, result.stdout
    (message,) = told(result)
    assert message.startswith("warning 9:26 1 x Standard_DS3_v2 need 4 cores besides")
    assert (result.exit_code, check(file, "--strict").exit_code) == (0, 1)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("*/usages*", "It takes the role for the free cores of a region, or Reader"),
        ("*/onlineEndpoints/*", "It takes the role AzureML Data Scientist on the workspace"),
        ("*/workspaces/ws-a", "It takes the role AzureML Data Scientist on the workspace"),
    ],
)
def test_a_role_that_is_missing_is_named_once_at_the_workspace(
    file: Path, somebody: Somebody, control: Any, path: str, hint: str
) -> None:
    somebody.put("/environments/serving/versions/1", {"image": "i"})
    file.write_text(GOOD, encoding="utf-8")
    control.outage(status=403, path=path)
    result = check(file, "--json")
    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["severity"], finding["line"], finding["column"]) == ("error", 2, 14)
    assert finding["message"].startswith("reading ")
    assert finding["hint"].startswith(hint)


def test_a_service_that_is_down_is_a_finding(file: Path, control: Any) -> None:
    control.outage(status=400)
    result = check(file, "--json")
    (message,) = told(result)
    assert message.startswith("warning 2:14 this could not be checked: reading workspace 'ws-a'")
    assert result.exit_code == 0
