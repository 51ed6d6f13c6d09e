"""The load generator: its rate, what it counts, and what it does when answers are slow."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sandbox.load import NO_ANSWER, Load
from tests.timing import eventually

EP = "/onlineEndpoints/ep-1"
ROOT = Path(__file__).parents[2]


def load_of(arm, **options):
    url = arm.properties(EP)["scoringUri"]
    return Load(url, arm.key(), ca_path=arm.emulator.ca_path, **options)


def sent(load):
    return load.statuses().total()


def due(second):
    """Return how many requests were due in a second, whether or not the machine came to them."""
    return second.statuses.total() + second.unsent


def test_a_load_sends_at_the_stated_rate(arm, control):
    arm.have("blue", "green", blue=50, green=50)
    with load_of(arm, rate=50) as load:
        eventually(lambda: len(load.seconds()) >= 5)
    whole = load.seconds()[1:-1]
    assert [due(each) for each in whole] == pytest.approx([50] * len(whole), abs=1)
    assert set(load.statuses()) <= {200, NO_ANSWER}
    counted = sum(len(minute["latencies"]) for minute in control.measurements())
    assert 0 < load.statuses()[200] <= counted


def test_a_load_counts_statuses_and_latencies_by_second(arm, control):
    arm.have("blue", blue=100)
    control.scoring(error_rate=0.5, latency=0.02)
    with load_of(arm, rate=30) as load:
        eventually(lambda: sent(load) >= 60 and len(load.seconds()) >= 2)
    seconds = load.seconds()
    assert [each.at for each in seconds] == sorted(each.at for each in seconds)
    assert {200, 424} <= set(load.statuses()) <= {200, 424, NO_ANSWER}
    assert all(len(each.latencies) == each.statuses.total() for each in seconds)
    assert 20 <= load.latency(50) <= load.latency(95)


def test_slow_answers_do_not_slow_it_down(arm, control):
    arm.have("blue", blue=100)
    control.scoring(latency=1)
    began = time.monotonic()
    with load_of(arm, rate=20) as load:
        eventually(lambda: sent(load) >= 20)
        in_turn = time.monotonic() - began
        before = sent(load)
    assert before > 1.5 * in_turn, "one after the other they would be one a second"
    assert sent(load) > before, "those that were under way are waited for"


def test_no_more_than_so_many_requests_are_open(arm, control):
    arm.have("blue", blue=100)
    control.scoring(latency=0.5)
    with load_of(arm, rate=100, most_open=5) as load:
        eventually(lambda: sent(load) >= 10)
    unsent = sum(second.unsent for second in load.seconds())
    assert unsent > sent(load)


def test_the_rate_the_body_and_the_deployment_can_be_chosen(arm, control):
    arm.have("blue", "green", blue=100)
    control.scoring(deployment="green", output=[1])
    with load_of(arm, rate=200, body={}, deployment="green") as load:
        eventually(lambda: sent(load) >= 10)
        load.rate = 1
    assert {minute["deployment"] for minute in control.measurements()} == {"green"}


def test_no_request_meets_a_server_that_closes_an_idle_connection():
    ports = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            ports.append(self.client_address[1])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        with Load(f"http://127.0.0.1:{server.server_port}/", "key", rate=0.4) as load:
            eventually(lambda: sent(load) >= 3)
        server.shutdown()
    assert len(set(ports)) == len(ports), "each was idle for longer than two seconds"
    assert set(load.statuses()) == {200}


def test_what_gets_no_answer_is_counted_too(arm):
    arm.have("blue")
    with Load("https://localhost:9/score", "key", rate=50) as load:
        eventually(lambda: sent(load) >= 5)
    assert set(load.statuses()) == {NO_ANSWER}


@pytest.mark.parametrize("ending", [None, signal.SIGTERM])
def test_a_load_runs_as_a_program_with_a_key_that_begins_with_a_hyphen(arm, ending, monkeypatch):
    monkeypatch.setattr(secrets, "token_urlsafe", lambda size: "-" + "k" * size)
    arm.have("blue", blue=100)
    url = arm.properties(EP)["scoringUri"]
    assert arm.key().startswith("-")
    command = [sys.executable, "-m", "sandbox.load", url, "--token", arm.key(), "--rate", "5"]
    command += ["--ca", str(arm.emulator.ca_path)] + ([] if ending else ["--seconds", "3"])
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout
        # An answer may come later than the second in which its request was due.
        if ending and any("200: " in line for line in process.stdout):
            os.kill(process.pid, ending)
        last = process.stdout.readlines()[-1]
        assert process.wait(60) == 0
    assert {"200"} <= json.loads(last)["statuses"].keys() <= {"200", "0"}
