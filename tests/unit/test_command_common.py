"""All commands: narrow terminals, and nobody signed in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from commands import common
from manage import app

ROOT = Path(__file__).parent.parent.parent
COLUMNS = ("id", "endpoint", "reason")
ROWS = [
    ("3f2a", "churn", "gate error_rate: 2.5% against 0.1%, and the limit is 0.5 points more"),
    ("77aa", "payments-in-europe", ""),
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of eighty columns without colours."""
    console = Console(width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(common, "_console", lambda: console)


@pytest.mark.usefixtures("terminal")
def test_a_table_that_fits_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_table(COLUMNS[:2], [row[:2] for row in ROWS])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["id", "endpoint"], ["3f2a", "churn"], ["77aa", "payments-in-europe"]]


@pytest.mark.usefixtures("terminal")
def test_a_table_that_is_too_wide_is_told_row_by_row_and_no_word_is_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    common.print_table(COLUMNS, ROWS)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.split() == [
        *("3f2a", "endpoint", "churn", "reason", *ROWS[0][2].split()),
        *("77aa", "endpoint", "payments-in-europe"),
    ]


def test_a_table_in_a_pipe_is_a_line_a_row_with_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_table(COLUMNS, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert [tuple(line.split("\t")) for line in lines] == [COLUMNS, *ROWS]


LONG = "  2026-03-02 09:06:30Z  holding  " + "a word, and the next one; " * 4 + "end"


@pytest.mark.usefixtures("terminal")
def test_a_long_line_goes_on_below_its_last_column(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_lines([LONG])
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("  2026-03-02 09:06:30Z  holding  a word,")
    assert all(line.startswith(" " * 33) and line[33] != " " for line in rest)
    assert max(map(len, (first, *rest))) <= 80
    assert " ".join((first + "".join(rest)).split()) == " ".join(LONG.split())


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("x" * 90, ["x" * 90]),
        ("name:  " + "x" * 90, ["name:  " + "x" * 90]),
        (
            "y" * 60 + "  " + "word " * 5,
            ["y" * 60 + "  " + "word " * 3, "  word word"],
        ),
        (
            " " * 21 + "99 requests; " + "word " * 10 + "end",
            [" " * 21 + "99 requests; " + "word " * 9, " " * 21 + "word end"],
        ),
        ("", [""]),
    ],
)
def test_a_message_is_wrapped_between_words(
    capsys: pytest.CaptureFixture[str], line: str, lines: list[str]
) -> None:
    common.print_lines([line])
    assert capsys.readouterr().out.splitlines() == [each.rstrip() for each in lines]


def test_a_long_line_in_a_pipe_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_lines([LONG])
    assert capsys.readouterr().out == f"{LONG}\n"


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("command", ["", "check", "letters", "rollouts", "loops", "endpoints"])
def test_help_has_whole_sentences_at_any_width(command: str, width: int) -> None:
    told = CliRunner().invoke(app, [*command.split(), "--help"], terminal_width=width).output
    assert max(map(len, told.splitlines())) <= width
    assert "..." not in told.replace("[ARGS]...", "")
    assert "<bool>" not in told


def test_there_is_completion_for_bash() -> None:
    environ = {"_SIGNALBOX_COMPLETE": "complete_bash", "COMP_WORDS": "signalbox rollouts pr"}
    done = CliRunner().invoke(app, prog_name="signalbox", env={**environ, "COMP_CWORD": "2"})
    assert done.output.split() == ["promote"]


@pytest.mark.parametrize(
    "command",
    ["letters list", "letters show 3f", "rollouts list", "loops list", "rollouts abort 3f -m x"],
)
def test_where_nobody_has_signed_in_a_command_says_so_on_two_lines(command: str) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AzureWebJobsStorage__accountName": "railway",
        "SIGNALBOX_WORKSPACE": "/subscriptions/s",
        # The only way to sign in, and there is none of it: no address is asked.
        "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", *command.split()],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("storage.denied: ")
    assert first.endswith("storage account railway: no credential could sign in")
    assert "az login" in second


def test_a_python_without_the_apps_packages_is_told_how_to_get_them() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "manage.py", "check"],  # -S: no installed package is found
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (told,) = done.stderr.splitlines()
    assert "`make setup`" in told
