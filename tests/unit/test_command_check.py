"""`signalbox check`: what it prints, and with which status it ends."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from textwrap import dedent

import pytest
import typer
from typer.testing import CliRunner

from commands.check import check_text
from commands.common import local_settings
from manage import app
from shared.actions import ACTIONS
from shared.base.settings import APP_ROOT, read_settings
from shared.reactions.model import Params
from shared.schema.values import ChannelName

pytestmark = pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning")

ID = (
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/main"
)
GOOD = """\
version: 1
workspaces: ["%CHECK_TEST_WORKSPACE%"]
channels: [team]
reactions:
  - name: tell
    on: ModelRegistered
    do:
      - notify:
          channel: team
          title: "${{ model.name }} registered"
"""
BAD = GOOD.replace("model.name", "model.nam").replace("channel: team", "channel: taem")


class Notify(Params):
    """Sample values of an action."""

    channel: ChannelName
    title: str


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good file, with the settings beside it."""
    path = tmp_path / "reactions.yaml"
    path.write_text(GOOD, encoding="utf-8")
    values = {"CHECK_TEST_WORKSPACE": ID, "SIGNALBOX_CHANNEL_TEAM": "json://localhost:9000/team"}
    settings = {"IsEncrypted": False, "Values": values}
    (tmp_path / "local.settings.json").write_text(json.dumps(settings), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "settings", "summary"),
    [
        (GOOD, {"CHECK_TEST_WORKSPACE": ID}, "reactions.yaml: 1 reaction, no errors"),
        (GOOD, {}, "reactions.yaml: 1 reaction, no errors, 1 warning"),
        (BAD, {}, "reactions.yaml: 2 errors, 1 warning"),
        ("a: [", {}, "reactions.yaml: 1 error"),
    ],
)
def test_a_file_is_summed_up_in_one_line(text: str, settings: dict[str, str], summary: str) -> None:
    assert check_text(text, {"notify": Notify}, settings).summary == summary


def test_a_good_file_ends_with_0(file: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(file)])
    assert (result.exit_code, result.output) == (0, f"{file}: 1 reaction, no errors\n")


def test_the_app_s_own_file_is_named_as_seen_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(APP_ROOT)
    last = CliRunner().invoke(app, ["check"]).output.splitlines()[-1]
    assert last.startswith("reactions.yaml: 3 reactions, no errors")


def test_the_environment_goes_before_the_local_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECK_TEST_WORKSPACE", "nothing of the kind")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 1
    assert "`%CHECK_TEST_WORKSPACE%` holds no ARM id of a workspace" in result.output


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "is not set"),
        (" ", "is not set"),
        ("hello-not-a-url", "holds no address that Apprise can read"),
        ("nosuchservice://s3cret/x", "holds no address that Apprise can read"),
        ("json://localhost/a", None),
        ("@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/team)", None),
    ],
)
def test_a_channel_that_nobody_could_be_told_on_is_a_warning_without_its_value(
    file: Path, monkeypatch: pytest.MonkeyPatch, value: str, told: str | None
) -> None:
    monkeypatch.setenv("SIGNALBOX_CHANNEL_TEAM", value)
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 0
    assert ("FILE:3:12 warning" in result.output.replace(str(file), "FILE")) is (told is not None)
    assert told is None or f"the app setting `SIGNALBOX_CHANNEL_TEAM` {told}" in result.output
    assert "hello" not in result.output
    assert "s3cret" not in result.output


def test_a_channel_that_no_reaction_uses_is_told_once(file: Path) -> None:
    file.write_text(GOOD.replace("[team]", "[team, other]"), encoding="utf-8")
    assert CliRunner().invoke(app, ["check", str(file)]).output.count("warning") == 2


def test_each_finding_is_shown_with_its_place_its_line_and_what_would_be_right(file: Path) -> None:
    file.write_text(BAD, encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 1
    assert result.output.replace(str(file), "FILE") == dedent(
        """\
        FILE:9:20 error in reaction 'tell'
          there is no channel 'taem'
             9 |           channel: taem
                                    ^
          Did you mean `team`?

        FILE:10:29 error in reaction 'tell'
          `model` has no `nam`
            10 |           title: "${{ model.nam }} registered"
                                             ^
          Did you mean `name`?

        FILE: 2 errors
        """
    )


def test_what_looks_like_markup_is_printed_as_it_is(file: Path) -> None:
    file.write_text(GOOD.replace("name: tell", "name: '[bold]tell[/]'"), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert "a reaction can't be called '[bold]tell[/]'" in result.output


def test_nothing_of_a_file_can_steer_the_terminal(file: Path) -> None:
    file.write_text(GOOD.replace("name: tell", 'name: "\\e]0;x\\a"'), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "\x07" not in result.output


def test_programs_read_json(file: Path) -> None:
    file.write_text(BAD, encoding="utf-8")
    result = CliRunner().invoke(app, ["check", "--json", str(file)])
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert (document["source"], document["reactions"]) == (str(file), None)
    assert document["findings"][0] == {
        "line": 9,
        "column": 20,
        "reaction": "tell",
        "message": "there is no channel 'taem'",
        "hint": "Did you mean `team`?",
        "severity": "error",
        "file": str(file),
    }


@pytest.mark.parametrize("body", [None, b"\xff\xfe\x00"])
def test_a_file_that_can_not_be_read_ends_with_2(tmp_path: Path, body: bytes | None) -> None:
    path = tmp_path / "reactions.yaml"
    if body is not None:
        path.write_bytes(body)
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 2
    assert f"{path} can't be read: " in result.stderr


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"Values": {"A": "1", "B": 2, "C": 0.5}}', {"A": "1", "B": "2", "C": "0.5"}),
        ('\ufeff{"Values": {"A": "1"}}', {"A": "1"}),
        ("{}", {}),
    ],
)
def test_local_settings_are_their_values_as_text(
    tmp_path: Path, text: str, values: dict[str, str]
) -> None:
    path = tmp_path / "local.settings.json"
    path.write_text(text, encoding="utf-8")
    assert local_settings(path) == values


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{"IsEncrypted": true, "Values": {"A": "1"}}',
            "is encrypted: run `func settings decrypt`",
        ),
        ('{"Values": []}', "is damaged: it needs an object `Values`"),
        ("[]", "is damaged: it needs an object `Values`"),
        ('{"Values": {"A": null}}', "is damaged: `Values.A` should be text"),
        ('{"Values": {"A": {"B": "s3cret"}}}', "is damaged: `Values.A` should be text"),
        ('{\n"Values": {"A": "1",}}', "is damaged: line 2, column 20: "),
        ('{"Values": {"A": "1', "is damaged: line 1, column 18: Unterminated string\n"),
        ("[" * 100_000, "is damaged: it is nested too deep"),
        ("\udcff", "can't be read (UnicodeDecodeError)"),
    ],
)
def test_local_settings_that_can_not_be_used_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    path = tmp_path / "local.settings.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(typer.Exit):
        local_settings(path)
    assert f"{path} {told}" in capsys.readouterr().err


def test_local_settings_that_are_absent_are_none(tmp_path: Path) -> None:
    assert local_settings(tmp_path / "local.settings.json") == {}


def test_a_golden_request_that_the_app_does_not_have_is_found_before_it_is_needed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "reactions.yaml"
    path.write_text(
        "version: 1\nworkspaces: ['%WS%']\nreactions:\n  - name: go\n    on: ModelRegistered\n"
        "    do:\n      - deploy:\n          endpoint: e\n"
        "          instance_type: Standard_DS3_v2\n          probe: {request: golden/gone.json}\n"
    )
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 1
    assert "the app has no file 'golden/gone.json'" in result.output


ROLLOUT = """\
version: 1
workspaces: ["%CHECK_TEST_WORKSPACE%"]
rollouts:
  careful:
    steps:
      - probe: {request: golden/churn.json, output: golden/gone.json}
      - traffic: 10
      - hold: 15m
  idle:
    based_on: canary
reactions:
  - name: go
    on: ModelRegistered
    do:
      - deploy: {endpoint: e, instance_type: Standard_DS3_v2, rollout: carefull}
"""


def test_what_is_wrong_with_a_strategy_is_shown_with_the_rest(file: Path) -> None:
    file.write_text(ROLLOUT, encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 1
    assert result.output.replace(str(file), "FILE") == dedent(
        """\
        FILE:6:53 error
          the app has no file 'golden/gone.json'
             6 |       - probe: {request: golden/churn.json, output: golden/gone.json}
                                                                     ^
          Did you mean `golden/churn.json`?

        FILE:7:18 error
          `steps[1].traffic` should be a percentage, found 10
             7 |       - traffic: 10
                                  ^
          Write `10%`.

        FILE:15:72 error in reaction 'go'
          there is no strategy 'carefull'
            15 |       - deploy: {endpoint: e, instance_type: Standard_DS3_v2, rollout: carefull}
                                                                                        ^
          Did you mean `careful`?

        FILE: 3 errors
        """
    )


RETRAIN = """\
version: 1
workspaces: ["%CHECK_TEST_WORKSPACE%"]
reactions:
  - name: retrain-churn
    on: DriftDetected
    do:
      - retrain:
          target:
            job:
              file: jobs/churn.yaml
          inputs:
            days: 14
"""


def test_the_shipped_job_can_be_run_by_a_reaction(file: Path) -> None:
    file.write_text(RETRAIN, encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.output == f"{file}: 1 reaction, no errors\n"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("job: {file: train/churn.yaml}", "should be a .yaml file below `jobs/`"),
        ("job: {file: jobs/gone.yaml}", "the app has no file 'jobs/gone.yaml'"),
        (
            "github: {repository: a/b, workflow: .github/workflows/retrain.yml}",
            "name the workflow's file without its folder: retrain.yml",
        ),
        (
            "job: {file: jobs/churn.yaml}\n            webhook: {name: a}",
            "give exactly one of job, component, batch_endpoint, copy_of, data_factory, "
            "azure_devops, github, webhook; found `job` and `webhook`",
        ),
        ("{}", "found none"),
    ],
)
def test_a_target_that_is_none_says_what_is_wrong_with_it(
    file: Path, target: str, message: str
) -> None:
    text = RETRAIN.replace("job:\n              file: jobs/churn.yaml", target)
    file.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["check", "--json", str(file)])
    assert result.exit_code == 1
    (finding,) = json.loads(result.output)["findings"]
    assert message in finding["message"]


def test_every_fault_of_a_job_s_file_is_shown_where_the_file_is_named(file: Path) -> None:
    file.write_text(RETRAIN.replace("days: 14", "dayz: 14\n            hours: 1"), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", "--json", str(file)])
    assert result.exit_code == 1
    findings = json.loads(result.output)["findings"]
    known = "its inputs: window_start, window_end, days, data"
    assert [(item["line"], item["column"], item["message"]) for item in findings] == [
        (10, 21, f"jobs/churn.yaml can't be run: the job has no input `{name}`; {known}")
        for name in ("dayz", "hours")
    ]


def test_a_job_s_file_is_read_only_where_a_reaction_names_one() -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def find(name: str, inputs: Collection[str]) -> tuple[str, ...]:
        asked.append((name, tuple(inputs)))
        return ()

    settings = {"CHECK_TEST_WORKSPACE": ID}
    check_text(GOOD, ACTIONS, settings, find_job_faults=find)
    assert asked == []
    check_text(RETRAIN, ACTIONS, settings, find_job_faults=find)
    assert asked == [("jobs/churn.yaml", ("days",))]
    check_text(
        RETRAIN.replace("jobs/churn", "other/churn"), ACTIONS, settings, find_job_faults=find
    )
    check_text(RETRAIN.replace("churn.yaml", "${{ x }}"), ACTIONS, settings, find_job_faults=find)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("when", "field"),
    [
        ("drift.state == 'breach'", "drift.state"),
        ("drift.monitor == 'm' && starts_with(drift.signal, 'churn')", "drift.signal"),
    ],
)
def test_a_condition_that_hides_windows_from_a_retraining_is_a_warning(
    when: str, field: str
) -> None:
    text = (
        f'version: 1\nworkspaces: ["{ID}"]\nreactions:\n  - name: retrain\n    on: DriftDetected\n'
        f"    when: {when}\n    do:\n      - retrain: {{target: {{webhook: {{name: trainer}}}}}}\n"
    )
    (finding,) = check_text(text, ACTIONS, {}).findings
    assert (finding.severity, finding.line) == ("warning", 6)
    assert finding.message == f"`retrain` has to hear of every `{field}`, not of some"


@pytest.mark.parametrize("setting", ["", "demo/reactions.yaml"])
def test_the_file_of_the_app_is_checked_from_wherever_the_command_is_run(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if setting:
        monkeypatch.setenv("SIGNALBOX_REACTIONS", setting)
    result = CliRunner().invoke(app, ["check"])
    looked_at = result.output.splitlines()[-1].partition(": ")[0]
    assert Path(looked_at) == read_settings(dict(os.environ)).reactions
    assert Path(looked_at).is_file()
