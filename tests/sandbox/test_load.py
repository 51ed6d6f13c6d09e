"""The load generator: its rate, what it counts, and what it does when answers are slow."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.load import NO_ANSWER, Load

EP = "/onlineEndpoints/ep-1"
ROOT = Path(__file__).parents[2]


def load_of(arm, **options):
    url = arm.properties(EP)["scoringUri"]
    return Load(url, arm.key(), ca_path=arm.emulator.ca_path, **options)


def until(holds, seconds=10):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sent(load):
    return load.statuses().total()


def test_it_sends_at_the_stated_rate(arm, control):
    arm.have("blue", "green", blue=50, green=50)
    with load_of(arm, rate=100) as load:
        until(lambda: sent(load) >= 300)
    whole = load.seconds()[1:-1]
    # How many of them are unsent is the machine's matter: it may be busy.
    assert whole
    assert all(99 <= each.statuses.total() + each.unsent <= 101 for each in whole)
    assert set(load.statuses()) == {200}
    counted = sum(len(minute["latencies"]) for minute in control.measurements())
    assert counted == sent(load)


def test_it_counts_statuses_and_latencies_by_second(arm, control):
    arm.have("blue", blue=100)
    control.scoring(error_rate=0.5, latency=0.02)
    with load_of(arm, rate=60) as load:
        until(lambda: sent(load) >= 90)
    seconds = load.seconds()
    assert len(seconds) >= 2
    assert [each.at for each in seconds] == sorted(each.at for each in seconds)
    assert set(load.statuses()) == {200, 424}
    assert all(len(each.latencies) == each.statuses.total() for each in seconds)
    assert 20 <= load.latency(50) <= load.latency(95)


def test_slow_answers_do_not_slow_it_down(arm, control):
    arm.have("blue", blue=100)
    control.scoring(latency=1)
    with load_of(arm, rate=50) as load:
        until(lambda: sent(load) >= 20)
    assert sent(load) >= 50, "those that were under way are waited for"


def test_no_more_than_so_many_requests_are_open(arm, control):
    arm.have("blue", blue=100)
    control.scoring(latency=0.5)
    with load_of(arm, rate=100, most_open=5) as load:
        until(lambda: sent(load) >= 10)
    unsent = sum(second.unsent for second in load.seconds())
    assert unsent > sent(load)


def test_the_rate_the_body_and_the_deployment_can_be_chosen(arm, control):
    arm.have("blue", "green", blue=100)
    control.scoring(deployment="green", output=[1])
    with load_of(arm, rate=200, body={}, deployment="green") as load:
        until(lambda: sent(load) >= 10)
        load.rate = 1
    assert {minute["deployment"] for minute in control.measurements()} == {"green"}


def test_what_gets_no_answer_is_counted_too(arm):
    arm.have("blue")
    with Load("https://localhost:9/score", "key", rate=50) as load:
        until(lambda: sent(load) >= 5)
    assert set(load.statuses()) == {NO_ANSWER}


@pytest.mark.parametrize("ending", [None, signal.SIGTERM])
def test_it_runs_as_a_program_whatever_the_key_begins_with(arm, ending, monkeypatch):
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size: "-" + "k" * size)
    arm.have("blue", blue=100)
    url = arm.properties(EP)["scoringUri"]
    assert arm.key().startswith("-")
    command = [sys.executable, "-m", "sandbox.load", url, "--token", arm.key(), "--rate", "20"]
    command += ["--ca", str(arm.emulator.ca_path)] + ([] if ending else ["--seconds", "3"])
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout
        # An answer may come later than the second in which its request was due.
        assert any("200: " in line for line in process.stdout)
        if ending:
            os.kill(process.pid, ending)
        last = process.stdout.readlines()[-1]
        assert process.wait(10) == 0
    assert json.loads(last)["statuses"].keys() == {"200"}
