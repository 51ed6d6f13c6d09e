"""`signalbox backtest`, over the records of the app's own storage."""

import json
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from bench.events import model_registered
from manage import app
from shared.base.clock import SystemClock
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import Workspace
from shared.journal.outcomes import Outcome, OutcomeStatus, ref_of
from shared.services import Services

WORKSPACE = Workspace(subscription="s", resource_group="rg", name="main")
RULES = f"""\
version: 1
workspaces: [{WORKSPACE.id}]
channels: [team]
reactions:
  - name: tell
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do: [notify: {{channel: team, title: "${{{{ model.name }}}}"}}]
  - name: log
    on: ModelRegistered
    do: [notify: {{channel: team, title: any}}]
"""
AT = SystemClock().now() - timedelta(hours=1)
#: The records of one storage are of all tests of this module.
MODELS = {"yes": "true", "no": "false", "also": "true"}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: Services) -> tuple[Path, Path]:
    """The app's rules file and one to change, with three events on record."""
    current, new = tmp_path / "current.yaml", tmp_path / "new.yaml"
    for path in (current, new):
        path.write_text(RULES, encoding="utf-8")
    monkeypatch.setenv("SIGNALBOX_REACTIONS", str(current))
    done = Outcome(status=OutcomeStatus.DONE)
    for name, deploy in MODELS.items():
        raw = {**model_registered(WORKSPACE.id, name, "1", tags={"deploy": deploy}), "id": name}
        raw["eventTime"] = AT.isoformat()
        (event,) = parse_events(parse_envelope(raw))
        news = (
            {"tell/notify": done}
            if deploy == "true"
            else {"tell/*": Outcome(status=OutcomeStatus.SKIPPED)}
        )
        services.records.add(
            ref_of(event), {**news, "log/notify": done}, delivery=True, body=json.dumps(raw)
        )
    return current, new


def run(new: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["backtest", "--since", "1d", "--rules", str(new), *words])


def test_the_same_file_ends_with_0(files: tuple[Path, Path]) -> None:
    done = run(files[1])
    assert done.exit_code == 0, done.output
    assert "3 events from" in done.output
    assert "no difference: 2 reactions would have done what was done" in done.output
    assert "a backtest can't know:" in done.output


def test_a_change_is_said_reaction_by_reaction_and_ends_with_3(files: tuple[Path, Path]) -> None:
    files[1].write_text(RULES.replace("deploy)", "deploy) && model.name != 'also'"))
    done = run(files[1])
    assert done.exit_code == 3, done.output
    assert "tell  (differs in the files: when)" in done.output
    assert "set off: 2 times on record, 1 by the new file" in done.output
    assert "1 fewer" in done.output
    assert "also:1" in done.output
    assert "`model.name != 'also'` is false" in done.output
    assert "no difference: log" in done.output
    assert run(files[1], "--expect", "tell").exit_code == 0


def test_programs_get_json_and_a_junit_report(files: tuple[Path, Path], tmp_path: Path) -> None:
    files[1].write_text(RULES.replace("title: any", "title: new"))
    report = tmp_path / "report.xml"
    done = run(files[1], "--json", "--junit", str(report))
    found = json.loads(done.output)
    assert (found["events"], found["unexpected"]) == (3, ["log"])
    by_name = {item["name"]: item for item in found["reactions"]}
    assert by_name["log"]["values"]["count"] == 3
    assert "'any' → 'new'" in by_name["log"]["values"]["examples"][0]["detail"]
    suite = ElementTree.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed = {case.get("name"): case.find("failure") is not None for case in suite}
    assert failed == {"tell": False, "log": True}


def test_events_without_a_body_are_counted(files: tuple[Path, Path], services: Services) -> None:
    raw = model_registered(WORKSPACE.id, "kept-before", "1")
    raw["eventTime"] = (SystemClock().now() - timedelta(days=3)).isoformat()
    (event,) = parse_events(parse_envelope(raw))
    services.records.add(ref_of(event), {}, delivery=True)
    words = ["backtest", "--since", "4d", "--until", "2d", "--rules", str(files[1])]
    done = CliRunner().invoke(app, words)
    assert "1 event left out: its body was not kept" in done.output, done.output


def test_a_file_with_mistakes_is_refused(files: tuple[Path, Path]) -> None:
    files[1].write_text(RULES.replace("model.name", "model.nam"))
    done = run(files[1])
    assert (done.exit_code, "has no `nam`" in done.output) == (1, True), done.output
    assert "can't be read" in run(files[1].parent / "none.yaml").output
    assert "not before" in run(files[1], "--until", "2d").output
