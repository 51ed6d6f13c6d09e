"""A log holds what the app says, on lines that nobody else can write, and no secrets."""

import ast
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.base.telemetry import LOG_FIELDS, guard_logs

ROOT = Path(__file__).parent.parent.parent
SECRET = "AccountKey=s3cr3tValue/abc+def=="
FORGED = "no such column\n[2026-01-05T10:00:00Z] Executed 'Functions.sweep' (Succeeded)"

log = logging.getLogger("some.library")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Return the lines of a handler that somebody else has installed."""
    make = logging.getLogRecordFactory()
    guard_logs()
    guard_logs()
    caplog.handler.setFormatter(logging.Formatter("%(message)s"))
    yield caplog
    logging.setLogRecordFactory(make)


def test_a_text_of_outside_makes_no_line_of_the_log(lines: pytest.LogCaptureFixture) -> None:
    log.warning("step failed: %s", FORGED)
    log.warning(FORGED)
    assert [line for line in lines.text.splitlines() if line.startswith("[2026")] == []
    assert len(lines.text.splitlines()) == 2


@pytest.mark.parametrize("values", [(SECRET,), ({"text": SECRET},), (f"a\x1b[2Jb {SECRET}",)])
def test_no_secret_and_no_control_character_reaches_a_log(
    lines: pytest.LogCaptureFixture, values: tuple[object, ...]
) -> None:
    log.error("it said %s", *values)
    assert "s3cr3t" not in lines.text
    assert "\x1b" not in lines.text
    assert "AccountKey=[redacted]" in lines.text


def test_a_traceback_is_told_without_secrets_and_indented(lines: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError(SECRET) from ValueError(f"{FORGED}\n{SECRET}")

    try:
        fail()
    except RuntimeError:
        log.exception("step failed unexpectedly")
    first, *others = lines.text.splitlines()
    assert first == "step failed unexpectedly"
    assert all(line.startswith("  ") for line in others)
    assert "  ValueError: no such column" in others
    assert "test_a_traceback_is_told" in lines.text
    assert "s3cr3t" not in lines.text


def test_words_and_values_that_do_not_fit_are_told_and_raise_nothing(
    lines: pytest.LogCaptureFixture,
) -> None:
    log.warning("%d of %s", "many")
    assert lines.text.strip() == "%d of %s"


def test_a_long_text_is_cut(lines: pytest.LogCaptureFixture) -> None:
    log.warning("x " * 100_000)
    assert len(lines.text) < 5_000


def test_the_log_is_guarded_once_the_app_has_its_services() -> None:
    code = (
        "import logging; logging.basicConfig(format='%(message)s'); "
        "from shared.services import services; services(); "
        f"logging.getLogger('azure.core').warning('it said %s', {FORGED + SECRET!r})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(ran.stderr.splitlines()) == 1
    assert "s3cr3t" not in ran.stderr


@pytest.mark.parametrize("folder", ["shared", "handlers"])
def test_every_line_of_ours_has_constant_words_and_fields_that_are_ours(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if ast.unparse(node.func.value) not in ("log", "logger", "logging"):
                continue
            if node.func.attr not in ("debug", "info", "warning", "error", "exception", "critical"):
                continue
            where = f"{path.name}:{node.lineno}"
            assert isinstance(node.args[0], ast.Constant), where
            for keyword in node.keywords:
                if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
                    names = {ast.literal_eval(key) for key in keyword.value.keys if key}
                    assert names <= LOG_FIELDS, where


@pytest.mark.parametrize("folder", ["shared", "handlers"])
def test_nothing_is_printed_past_the_log(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "print"), path
