"""The demo ends as it says, or says why not; and it never leaves anything behind."""

import io
import re
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from rich.console import Console

from demo.play import NotAsTold, Play
from demo.screen import Screen
from demo.stage import APP_ROOT

_LONGEST = 150

_CHURN_1_CRASHES = """
from dataclasses import replace
from demo.show import perform
from demo.stories import STORIES

def tell(play):
    play.stack.control.fail_deployment(model="churn", version="1")
    return STORIES[0].tell(play)

raise SystemExit(perform([replace(STORIES[0], tell=tell), STORIES[1]], once=True))
"""

_AZURITE_IS_MISSING = """
from pathlib import Path
from demo.show import perform
from sandbox import azurite

azurite._PROGRAM = Path("/nowhere/sandbox/node_modules/azurite/dist/src/azurite.js")
raise SystemExit(perform([], once=True))
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=APP_ROOT,
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    )


def test_every_story_ends_as_told():
    ended = _run("-m", "demo", "--once")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert len(re.findall(r"s  as told       [1-5]\. ", ended.stdout)) == 5
    verdict = ended.stdout.splitlines()[-1]
    found = re.fullmatch(
        r"5 of 5 stories ended as told; of (\d+) scoring requests 0 failed\.", verdict
    )
    assert found is not None, verdict
    assert int(found[1]) > 100


def test_a_story_that_ends_otherwise_ends_the_demo_with_1_and_the_reason():
    ended = _run("-c", _CHURN_1_CRASHES)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Not as told: churn 1 is rolled-back, not done: ResourceNotReady" in ended.stdout
    assert "the app's last log lines:" in ended.stdout
    assert "NOT as told   1. A tagged model goes live" in ended.stdout
    assert "happened      not told" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("0 of 2 stories ended as told")


def test_without_azurite_it_says_what_to_run():
    ended = _run("-c", _AZURITE_IS_MISSING)
    assert ended.returncode == 1
    assert "run `make setup`" in ended.stdout
    assert ended.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_interrupted(number):
    with subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=APP_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "is being created" in line:
                break
        children = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(number)
        rest, errors = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert errors == ""
    assert rest.endswith("Stopped; nothing is left running.\n")
    assert len(children) >= 2
    assert not [child for child in children if child.is_running()]


def test_a_failed_scoring_request_breaks_the_story():
    customer: Any = SimpleNamespace(answered=99, failures=["HTTP 503 of churn-v1-0a1b2c"])
    play = Play(**dict.fromkeys(Play.__dataclass_fields__, None) | {"customer": customer})
    play.screen = Screen(Console(file=io.StringIO()))
    with pytest.raises(NotAsTold, match="HTTP 503 of churn-v1-0a1b2c"):
        play.check_nothing_failed()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_of_any_width_shows_everything(width):
    screen, shown = _screen(width=width, force_terminal=True)
    screen.chapter("1. A title", "An opening that does not fit on a line of so few characters.")
    screen.line("rolling-back", "churn-v3-0a1b2c failed; traffic stays with what is healthy " * 3)
    screen.quote("ModuleNotFoundError: No module named 'sklearn'")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
    assert max(map(len, plain.splitlines())) <= width
    assert plain.count("healthy") == 3
    assert re.search(r"'\s*s?\s*k?\s*learn|sklearn", plain)


def test_a_pipe_gets_plain_lines():
    screen, shown = _screen()
    screen.chapter("1. A title", "An opening")
    screen.line("deployment", "churn-v1-0a1b2c is being created, with no traffic " * 4)
    with screen.footer(lambda: "waiting"):
        screen.quote("as it is\n  indented")
    lines = shown.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[3].startswith("   0.0s  deployment    churn-v1-0a1b2c is being created")
    assert lines[5].endswith("|    indented")
    assert "\x1b" not in shown.getvalue()
    assert "waiting" not in shown.getvalue()


def _screen(**options: Any) -> tuple[Screen, io.StringIO]:
    shown = io.StringIO()
    return Screen(Console(file=shown, highlight=False, **options)), shown
