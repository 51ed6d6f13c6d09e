"""The host starts another worker when a file changes that host.json names."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from sandbox.functions_host.host import FunctionsHost
from tests.timing import eventually

_CODE = """
import os, time
from pathlib import Path
import azure.functions as func
app = func.FunctionApp()
WORD = Path('word.txt').read_text()
SHARED = Path('words/deep/word.txt').read_text()

@app.route(route='word', auth_level=func.AuthLevel.ANONYMOUS)
def word(req: func.HttpRequest) -> str:
    if 'slow' in req.params:
        Path('begun').touch()
        while not Path('go').exists():
            time.sleep(0.05)
    return f'{WORD} {SHARED} {os.getpid()}'
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "function_app.py").write_text(_CODE)
    watched = {"version": "2.0", "watchFiles": ["word.txt"], "watchDirectories": ["words"]}
    (tmp_path / "host.json").write_text(json.dumps(watched))
    (tmp_path / "word.txt").write_text("one")
    (tmp_path / "words" / "deep").mkdir(parents=True)
    (tmp_path / "words" / "deep" / "word.txt").write_text("old")
    return tmp_path


def ask(host: FunctionsHost, query: str = "") -> list[str]:
    """Return the two words that the app has read, and the process that serves."""
    return httpx.get(f"{host.url}/api/word{query}", timeout=30).text.split()


@pytest.mark.parametrize(
    ("path", "expected"),
    [("word.txt", ["two", "old"]), ("words/deep/word.txt", ["one", "two"])],
    ids=["watchFiles", "watchDirectories"],
)
def test_a_changed_file_is_read_by_the_next_worker(
    app: Path, path: str, expected: list[str]
) -> None:
    with FunctionsHost(app, {}, timers=False) as host:
        assert ask(host)[:2] == ["one", "old"]

        (app / path).write_text("two")

        eventually(lambda: ask(host)[:2] == expected)
        assert host.restarts == 0  # no worker died


def test_what_runs_when_a_file_changes_may_end(app: Path) -> None:
    with FunctionsHost(app, {}, timers=False) as host, ThreadPoolExecutor() as pool:
        before = host.worker_pid
        slow = pool.submit(ask, host, "?slow")
        eventually((app / "begun").exists)

        (app / "word.txt").write_text("two")
        eventually(lambda: host.worker_pid != before)
        (app / "go").touch()

        assert slow.result() == ["one", "old", str(before)]
        assert ask(host)[0] == "two"


def test_an_app_that_a_change_breaks_goes_on_as_it_was(
    app: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FunctionsHost(app, {}, timers=False) as host:
        pid = host.worker_pid
        (app / "function_app.py").write_text("raise RuntimeError('broken')")
        (app / "word.txt").write_text("two")
        eventually(lambda: "the app did not start again" in caplog.text)

        assert ask(host) == ["one", "old", str(pid)]
        (app / "function_app.py").write_text(_CODE)
        (app / "word.txt").write_text("three")
        eventually(lambda: ask(host)[0] == "three")


def test_a_file_that_host_json_does_not_name_changes_nothing(
    app: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FunctionsHost(app, {}, timers=False) as host:
        (app / "other.txt").write_text("two")
        pid = host.worker_pid
        eventually(lambda: ask(host)[0] == "one")
        (app / "word.txt").write_text("two")
        eventually(lambda: host.worker_pid != pid)

    assert caplog.text.count("a watched file has changed") == 1
