"""The demo without stories: people change its rules, send it models and customers, and see why."""

import io
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from demo import load
from demo.rules import Rules
from demo.screen import Screen
from demo.stage import APP_ROOT, OWN_RULES, RULES
from demo.watch import Watch
from shared.journal.outcomes import WHOLE, Outcome, OutcomeStatus
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.phases import Phase
from shared.workspaces.metrics import Measure
from tests.timing import PATIENCE

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def own_rules() -> Iterator[Path]:
    """Give the copy of the rules that people change, and put back what was there before."""
    before = OWN_RULES.read_bytes() if OWN_RULES.exists() else None
    OWN_RULES.unlink(missing_ok=True)
    yield OWN_RULES
    OWN_RULES.unlink(missing_ok=True)
    if before is not None:
        OWN_RULES.write_bytes(before)


class Played:
    """The demo in a process of its own, and the lines that it writes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: SimpleQueue[str] = SimpleQueue()
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def until(self, pattern: str) -> str:
        """Wait for a line, and return it."""
        seen = []
        while True:
            try:
                seen.append(self._lines.get(timeout=PATIENCE))
            except Empty:
                raise AssertionError(f"no {pattern} in:\n{''.join(seen)}") from None
            if re.search(pattern, seen[-1]):
                return seen[-1]


def run(*arguments: str) -> str:
    """Run a program of the demo, as in another terminal, and return what it writes."""
    ended = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=APP_ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_app_is_the_players_from_the_first_minute(own_rules: Path) -> None:
    command = [sys.executable, "-m", "demo", "--play"]
    with subprocess.Popen(command, cwd=APP_ROOT, stdout=subprocess.PIPE, text=True) as process:
        demo = Played(process)
        try:
            demo.until("It keeps running until you press Ctrl-C")
            demo.until(r"rollouts list --all")
            run("demo.register", "churn", "1")
            demo.until(r"live +churn-v1-[0-9a-f]{6} serves all traffic")
            assert "answers: churn-v1-" in run("demo.load", "churn", "--seconds", "2")

            run("demo.register", "churn", "2", "--no-deploy")
            demo.until(r"skipped +deploy-tagged-models for ModelRegistered churn:2$")
            demo.until(r"`is_true\(model.tags.deploy\)` is false")

            text = own_rules.read_text()
            own_rules.write_text(text + "\n  - name: nothing-yet\n")
            demo.until(r"rules +reactions.yaml: 2 errors$")
            demo.until(r"`on:` is missing")
            own_rules.write_text(text.replace("model.tags.deploy", "model.tags.go"))
            demo.until(r"rules +reactions.yaml: 3 reactions, no errors$")
            run("demo.register", "churn", "3", "--tag", "go=yes", "--no-deploy")
            demo.until(r"rollout of churn 3 to endpoint churn")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
    assert process.returncode == 0


def test_the_players_own_rules_stay_as_they_were_left(own_rules: Path) -> None:
    from demo.show import _own_rules

    assert _own_rules().read_text() == RULES.read_text()
    own_rules.write_text("mine")
    assert _own_rules().read_text() == "mine"


def test_a_change_of_the_rules_is_told_once_with_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "reactions.yaml"
    path.write_text(RULES.read_text())
    rules = Rules(path, APP_ROOT, {"SIGNALBOX_WORKSPACE": ""})
    assert list(rules.changes()) == []

    path.write_text("version: 1\n")
    [(summary, findings)] = rules.changes()
    assert summary == "reactions.yaml: 2 errors"
    assert "`reactions:` is missing" in findings
    assert list(rules.changes()) == []

    path.unlink()
    assert list(rules.changes()) == [("reactions.yaml can't be read", "")]


def _watch(records: Any, *, terminal: bool = False, rules: Any = None) -> tuple[Watch, Any]:
    shown = io.StringIO()
    screen = Screen(Console(file=shown, width=200, force_terminal=terminal, highlight=False))
    event_grid = SimpleNamespace(deliveries=[], published=lambda topic: [])
    stack: Any = SimpleNamespace(event_grid=event_grid)
    channel: Any = SimpleNamespace(news=SimpleQueue())
    customer: Any = SimpleNamespace(switches=[])
    return Watch(stack, channel, customer, records, screen, rules), shown


def _records(**more: Any) -> Any:
    empty: dict[str, Any] = {"rollouts": list, "loops": list, "letters": list}
    return SimpleNamespace(**empty, **more)


def test_a_skipped_reaction_is_shown_once_with_its_reason() -> None:
    outcomes = {
        "deploy/*": Outcome(status=OutcomeStatus.SKIPPED, detail="the tag is missing"),
        "tell/notify": Outcome(status=OutcomeStatus.DONE, detail="told team"),
        WHOLE: Outcome(status=OutcomeStatus.SKIPPED, detail="the workspace is not listed"),
    }
    record: Any = SimpleNamespace(
        event="key", type="ModelRegistered", about="churn:8", recorded_at=NOW, outcomes=outcomes
    )
    rules: Any = SimpleNamespace(changes=list)
    watch, shown = _watch(_records(skipped=lambda since: [record]), rules=rules)
    watch.look()
    watch.look()
    text = shown.getvalue()
    assert text.count("skipped       deploy for ModelRegistered churn:8") == 1
    assert text.count("the tag is missing") == 1
    assert text.count("skipped       ModelRegistered churn:8") == 1
    assert "told team" not in text


def _looks(*outcomes: GateOutcome) -> tuple[Any, Any]:
    """Return a rollout and what its gates measured."""
    found = [
        Measurement(at=NOW, step=1, measure=Measure.LATENCY, outcome=each, detail=f"it is {each}")
        for each in outcomes
    ]
    gating = SimpleNamespace(looked_at=NOW)
    work = SimpleNamespace(trouble="")
    rollout = SimpleNamespace(
        id="r", history=(), work=work, gating=gating, phase=Phase.HOLDING, measured=found
    )
    return rollout, found


def test_on_a_terminal_gates_that_pass_are_one_line_that_updates() -> None:
    rollout, found = _looks(GateOutcome.PASS, GateOutcome.PASS)
    records = _records(measured=lambda _: found)
    records.rollouts = lambda: [rollout]
    watch, shown = _watch(records, terminal=True)
    watch.look()
    assert "it is pass" not in shown.getvalue()
    assert watch.gates == "gates: latency pass"

    found.append(_looks(GateOutcome.FAIL)[1][0])
    rollout.gating.looked_at += timedelta(seconds=1)
    watch.look()
    assert "it is fail" in shown.getvalue()
    assert watch.gates == "gates: latency fail"

    rollout.phase = Phase.ROLLED_BACK
    watch.look()
    assert watch.gates == ""


def test_in_a_pipe_each_look_of_a_gate_is_a_line() -> None:
    rollout, found = _looks(GateOutcome.PASS, GateOutcome.PASS)
    records = _records(measured=lambda _: found)
    records.rollouts = lambda: [rollout]
    watch, shown = _watch(records)
    watch.look()
    assert shown.getvalue().count("it is pass") == 2


@pytest.mark.parametrize(
    ("answered", "statuses", "line"),
    [
        ({}, {}, "answers: none yet"),
        ({"b": 1, "a": 2}, {200: 3}, "answers: a 2, b 1"),
        ({"a": 2}, {200: 2, 424: 1, 0: 3}, "answers: a 2, 3 without an answer, 1 times HTTP 424"),
    ],
)
def test_the_answers_are_counted_in_one_line(
    answered: dict[str, int], statuses: dict[int, int], line: str
) -> None:
    asked: Any = SimpleNamespace(
        answered_by=lambda: Counter(answered), statuses=lambda: Counter(statuses)
    )
    assert load.counts(asked) == line
