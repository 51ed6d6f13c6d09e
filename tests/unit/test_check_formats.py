"""The forms of the findings of `check` for programs, and its exit statuses."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from commands.check_formats import github_lines, sarif
from manage import app
from shared.schema.findings import Finding, Severity

RULES = """\
version: 1
workspaces: ["%SIGNALBOX_NO_SUCH_WORKSPACE%"]
reactions: []
"""


def run(path: Path, *options: str) -> tuple[int, str]:
    """Run the command on a file; return its exit status and what it printed."""
    result = CliRunner().invoke(app, ["check", str(path), *options])
    return result.exit_code, result.output


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "my rules.yaml"
    file.write_text(RULES, encoding="utf-8")
    return file


def test_a_warning_fails_only_where_it_is_asked_to(rules: Path) -> None:
    assert run(rules)[0] == 0
    assert run(rules, "--strict")[0] == 1


def test_a_file_without_findings_passes_the_strict_check_too(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1\nworkspaces: []\nreactions: []\n", encoding="utf-8")
    assert run(file, "--strict")[0] == 0


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif"])
def test_an_error_fails_in_every_form(rules: Path, form: str) -> None:
    rules.write_text(f"{RULES}nope: 1\n", encoding="utf-8")
    assert run(rules, "--format", form)[0] == 1
    assert run(rules.with_name("none.yaml"), "--format", form)[0] == 2


def test_json_is_a_form_and_an_option(rules: Path) -> None:
    assert run(rules, "--json") == run(rules, "--format", "json")


def test_a_workflow_command_has_the_place_and_the_text_of_a_finding(rules: Path) -> None:
    line, summary, *_ = run(rules, "--format", "github")[1].splitlines()
    place = f"::warning file={str(rules).replace(':', '%3A')},line=2,col=14,title=signalbox check::"
    assert line.startswith(f"{place}the app setting `SIGNALBOX_NO_SUCH_WORKSPACE` is not set%0A")
    assert summary.endswith("1 warning")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(texts, texts, texts)
def test_no_finding_makes_a_second_workflow_command(name: str, message: str, hint: str) -> None:
    finding = Finding(line=1, column=2, reaction=None, message=message, hint=hint)
    (line,) = github_lines(name or "x", [finding])
    assert not {"\n", "\r"} & set(line)
    properties, _, _ = line.removeprefix("::error ").partition("::")
    assert properties.count(",") == 3
    assert unquote(properties.partition(",")[0]) == f"file={name or 'x'}"


def result_of(finding: Finding, source: str = "rules/my file.yaml") -> dict[str, Any]:
    """Return the one result of a log, after it went through JSON."""
    log = json.loads(json.dumps(sarif(source, [finding])))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} >= {run["results"][0]["ruleId"]}
    result: dict[str, Any] = run["results"][0]
    return result


def test_a_result_of_sarif_has_the_place_of_a_finding() -> None:
    finding = Finding(line=3, column=7, reaction="tell", message="a", hint="b")
    result = result_of(finding)
    assert result["level"] == "error"
    assert result["message"] == {"text": "reaction 'tell': a\nb"}
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "rules/my%20file.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 3, "startColumn": 7},
    }


def test_a_finding_without_a_column_is_about_a_line() -> None:
    severity = Severity.WARNING
    finding = Finding(line=3, column=None, reaction=None, message="a", severity=severity)
    result = result_of(finding, "/srv/rules.yaml")
    assert result["level"] == "warning"
    place = result["locations"][0]["physicalLocation"]
    assert place["region"] == {"startLine": 3}
    assert place["artifactLocation"] == {"uri": "file:///srv/rules.yaml"}


def test_a_finding_of_one_of_several_files_names_that_file() -> None:
    finding = Finding(line=1, column=1, reaction=None, message="a", file="rules/deploy.yaml")
    assert "file=rules/deploy.yaml," in next(github_lines("rules", [finding]))
    place = result_of(finding, "rules")["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "rules/deploy.yaml"


def test_a_run_without_findings_has_an_empty_list_of_results() -> None:
    assert sarif("rules.yaml", [])["runs"][0]["results"] == []
