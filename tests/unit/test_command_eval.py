"""`signalbox eval`: what it prints, with which status it ends, and its prompt."""

import json
from pathlib import Path

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
EVENTS = Path(__file__).parent.parent / "events"
MODEL = str(EVENTS / "model_registered.cloud_event.json")
BREACH = str(EVENTS / "model_monitor.breach.event_grid.json")


def run(*words: str, lines: str | None = None) -> Result:
    return CliRunner().invoke(app, ["eval", *words], input=lines)


def test_the_value_is_followed_by_those_of_its_parts() -> None:
    done = run("is_true(model.tags.deploy) && model.name == 'x'", "--event", MODEL)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "false  (boolean)",
        "  is_true(model.tags.deploy)  false",
        "    model.tags.deploy         null",
        "  model.name == 'x'           false",
        '    model.name                "sklearn_regression_model"',
    ]


def test_a_fault_is_shown_with_a_caret_below_it() -> None:
    done = run("model.name = 'x'", "--event", MODEL)
    assert done.exit_code == 1
    assert done.output.splitlines()[:3] == ["model.name = 'x'", "           ^", "unexpected `=`"]
    done = run("model.nam", "--event", MODEL)
    assert done.output.splitlines()[1:4] == ["model.nam", "      ^", "`model` has no `nam`"]


def test_a_template_is_completed() -> None:
    done = run("${{ model.name }} is new", "--event", MODEL, "--json")
    assert json.loads(done.output)["value"] == "sklearn_regression_model is new"
    assert json.loads(done.output)["parts"][0]["text"] == "model.name"


def test_of_several_events_one_is_chosen_by_its_type() -> None:
    assert '"RunStatusChanged"' in run("type", "-e", BREACH).output
    assert '"DriftDetected"' in run("type", "-e", BREACH, "--type", "DriftDetected").output
    done = run("type", "-e", BREACH, "--type", "AlertFired")
    assert (done.exit_code, "only RunStatusChanged, DriftDetected" in done.output) == (1, True)


def test_a_prompt_answers_line_after_line() -> None:
    done = run("-e", MODEL, lines="model.version\n\nfields\nfunctions\n(\nquit\n1\n")
    shown = done.output.splitlines()
    assert shown[0] == '"3"  (text)'
    assert any(line.split() == ["model.tags.area", '"diabetes"'] for line in shown)
    assert any("is_true, join" in line for line in shown)
    assert "ends too early" in done.output
    assert done.exit_code == 1, "of lines in a pipe, one had an error"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "file.json: the body is not JSON"),
        ('{"id": "1"}', "file.json: the envelope has no eventType"),
        (None, "there is no file"),
    ],
)
def test_what_is_no_event_is_said(tmp_path: Path, body: str | None, said: str) -> None:
    path = tmp_path / "file.json"
    if body is not None:
        path.write_text(body, encoding="utf-8")
    done = run("type", "-e", str(path))
    assert (done.exit_code, said in done.output) == (1, True), done.output


def test_an_event_on_record_is_named_by_the_beginning_of_its_id(services: Services) -> None:
    raw = model_registered(WORKSPACE.id, "churn", "8", at=SystemClock().now())
    (event,) = parse_events(parse_envelope(raw))
    news = {"*": Outcome(status=OutcomeStatus.SKIPPED)}
    services.records.add(ref_of(event), news, delivery=True, body=json.dumps(raw))
    assert '"churn"' in run("model.name", "-e", raw["id"][:13]).output
    done = run("model.name", "-e", "no-such-id")
    assert "no event of this id is on record" in done.output


def test_nothing_of_an_event_steers_the_terminal(tmp_path: Path) -> None:
    raw = json.loads((EVENTS / "model_registered.event_grid.json").read_text())
    raw = raw[0] if isinstance(raw, list) else raw
    raw["data"]["modelTags"] = {"note": "\x1b[31mred"}
    path = tmp_path / "file.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    done = run("model.tags.note", "-e", str(path))
    assert "\x1b" not in done.output
