"""The emulator's own parts: its clock, its rules, and itself as a process."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from sandbox.workspace.clock import Clock
from sandbox.workspace.rules import Match, Rules, Scoring, Subject
from tests.timing import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_time_can_be_advanced():
    clock = Clock()
    before = clock.now()
    clock.advance(300)
    assert 300 <= (clock.now() - before).total_seconds() < 310


def test_a_fast_clock_shortens_waits():
    clock = Clock(speed=100)
    clock_now = clock.now()
    assert clock.retry_after(500) == "5"
    assert clock.retry_after(10) == "1"
    assert clock.real_seconds_until(clock_now) == 0


@pytest.mark.parametrize("value", [0, -1])
def test_time_does_not_stand_still_or_go_back(value):
    clock = Clock()
    with pytest.raises(ValueError, match="positive"):
        clock.run_at(value)
    with pytest.raises(ValueError, match="positive"):
        clock.advance(value)


@pytest.mark.parametrize(
    ("match", "covers"),
    [
        (Match(), True),
        (Match(model="CHURN", version="3"), True),
        (Match(model="ch*", deployment="*"), True),
        (Match(endpoint="ep-?"), True),
        (Match(version="2"), False),
        (Match(workspace="other"), False),
        (Match(deployment="blue"), False),
    ],
)
def test_a_rule_matches_names_by_glob(match, covers):
    subject = Subject(workspace="ws", endpoint="ep-1", model="churn", version="3")
    assert match.covers(subject) is covers


def test_the_rule_set_last_wins_until_it_is_used_up():
    rules = Rules(lambda: NOW)
    rules.put("usual", {"effect": "scoring", "error_rate": 0.1})
    rules.put("once", {"effect": "scoring", "error_rate": 1.0, "times": 1})
    taken = [rules.take(Scoring, Subject()) for _ in range(3)]
    assert [effect and effect.error_rate for effect in taken] == [1.0, 0.1, 0.1]
    assert [document["id"] for document in rules.documents()] == ["usual", "once"]


def test_operations_end_in_real_time_on_a_fast_clock(start_emulator):
    arm = start_emulator(speed=10_000)
    created = arm.put_endpoint()
    assert created.headers["retry-after"] == "1"
    eventually(lambda: arm.operation(created)["status"] == "Succeeded")


def test_the_same_seed_makes_the_same_choices(start_emulator):
    def choices(seed):
        arm = start_emulator(seed=seed)
        arm.have("blue", "green", blue=50, green=50)
        key = arm.key()
        return [arm.score(token=key).headers["azureml-model-deployment"] for _ in range(20)]

    assert choices(1) == choices(1) != choices(2)


def test_the_emulator_runs_as_a_process_until_it_is_signalled(tmp_path):
    command = [sys.executable, "-m", "sandbox.workspace", "--ca-folder", str(tmp_path)]
    command += ["--workspace", "ws-a", "--quota", "standardDSv2Family=6", "--kubernetes", "arc"]
    command += ["--metrics-lag", "180", "--real-time-metrics"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with process:
        assert process.stdout
        addresses = json.loads(process.stdout.readline())
        clock = httpx.get(f"{addresses['control_url']}/control/clock").json()
        assert clock["speed"] == 1
        assert Path(addresses["ca_path"]).read_text().startswith("-----BEGIN CERTIFICATE")
        process.terminate()
        assert process.wait(60) == 0
