"""The files of a folder are one reactions file."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

import manage
from shared.actions import ACTIONS
from shared.base.errors import ReactionsInvalid
from shared.base.rules_files import read_rules
from shared.reactions.load import load_reactions
from shared.reactions.model import Reactions
from shared.schema.findings import ReactionsFaulty
from shared.services import Services

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
TEAM = f"""version: 1
workspaces: ['{ID}']
channels: [team]
vars: {{what: new}}
defaults: {{notify: {{channel: team}}}}
orphans: {{after: 1d, notify: [team]}}
reactions:
  - name: first
    on: ModelRegistered
    do: [{{notify: {{title: x}}}}]
"""
CHURN = """version: 1
reactions:
  - name: second
    on: ModelRegistered
    do:
      - notify: {title: "${{ vars.what }}"}
"""


def load(files: Mapping[str, str]) -> Reactions:
    return load_reactions(files, actions=ACTIONS, settings={})


def found(second: str) -> list[str]:
    """Return the findings in two files, of which the first has no mistake."""
    try:
        findings = load({"a.yaml": TEAM, "b.yaml": second}).warnings
    except ReactionsFaulty as error:
        findings = error.findings
    return [item.describe("rules") for item in findings]


def test_reactions_of_all_files_are_there_and_use_what_any_file_declares() -> None:
    loaded = load({"a.yaml": TEAM, "b.yaml": CHURN})
    assert [reaction.name for reaction in loaded.reactions] == ["first", "second"]
    assert loaded.reactions[1].do[0].params == {"channel": "team", "title": "new"}
    assert loaded.warnings == ()
    assert loaded.orphans is not None


@pytest.mark.parametrize(
    ("second", "finding"),
    [
        (
            CHURN.replace("{title:", "{txt: x, title:"),
            "b.yaml:6:18: reaction 'second': `notify` has no `txt`",
        ),
        (
            CHURN.replace("on: ModelRegistered", "on: ModelRegistered\n    when: model.nam"),
            "b.yaml:5:17: reaction 'second': `model` has no `nam`",
        ),
        (
            CHURN.replace("second", "first"),
            "b.yaml:3:11: reaction 'first': the name is taken by the reaction at a.yaml:8",
        ),
        (
            CHURN + "channels: [team]",
            "b.yaml:7:12: channel 'team' is here twice, first at a.yaml:3",
        ),
        (
            CHURN + "topics: [news, news]",
            "b.yaml:7:16: topic 'news' is here twice, first at b.yaml:7",
        ),
        (
            CHURN + "vars: {what: old, other: 1}",
            "b.yaml:7:8: `vars.what` is here a second time, first at a.yaml:4",
        ),
        (
            CHURN + "defaults: {notify: {channel: ops}}",
            "b.yaml:7:12: `defaults.notify` is here a second time, first at a.yaml:5",
        ),
        (
            CHURN + "orphans: {after: 2d, notify: [team]}",
            "b.yaml:7:1: `orphans` is here a second time, first at a.yaml:6",
        ),
        (CHURN.replace("version: 1", "version: 2"), "b.yaml:1:1: `version:` differs from that"),
        (CHURN.replace("version: 1", "# none"), "b.yaml:2:1: `version:` is missing"),
        (CHURN + "orphan: {}", "b.yaml:7:1: the file has no `orphan`"),
        ("[]", "b.yaml:1:1: the file should be a mapping, found a list"),
        ("a: [", "b.yaml:1:5: YAML: "),
        ("", "b.yaml:1: the file is empty"),
    ],
)
def test_a_mistake_is_found_in_its_file(second: str, finding: str) -> None:
    (first, *others) = found(second)
    assert first.startswith(finding)
    assert others == []


def test_a_folder_is_read_in_order_of_names_without_other_files(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "notes.txt", ".c.yaml"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / "inner.yaml").mkdir()
    assert read_rules(tmp_path, "rules") == {"rules/a.yaml": "a.yaml", "rules/b.yml": "b.yml"}


def test_the_app_runs_the_reactions_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEAM, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(CHURN, encoding="utf-8")
    services = Services({"SIGNALBOX_REACTIONS": str(tmp_path)})
    assert services.reactions.get("second") is not None


def test_check_shows_the_line_of_the_file_that_has_the_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEAM, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(CHURN.replace("second", "first"), encoding="utf-8")
    result = CliRunner().invoke(manage.app, ["check", str(tmp_path)], env={"COLUMNS": "300"})
    assert result.exit_code == 1
    assert f"{tmp_path / 'b.yaml'}:3:11 error in reaction 'first'" in result.stdout
    assert "3 |   - name: first" in result.stdout


def test_a_folder_without_rules_is_an_error(tmp_path: Path) -> None:
    services = Services({"SIGNALBOX_REACTIONS": str(tmp_path)})
    with pytest.raises(ReactionsInvalid, match="can't be read"):
        _ = services.reactions
