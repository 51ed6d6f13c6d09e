"""A probe passes if the new deployment answers as it has to: status, time, and what it says."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.adapters.memory_workspaces import MemoryWorkspaces
from shared.errors import ParamsInvalid, WorkspaceThrottled
from shared.events import Workspace
from shared.rollouts.model import ProbeResult
from shared.rollouts.probe import EMPTY_REQUEST, probe
from shared.rollouts.strategy import Probe
from shared.workspaces import Endpoint, Score
from tests.unit.rollouts import NEW, NOW, make_endpoint, make_rollout

REQUEST, OUTPUT = "golden/churn.json", "golden/churn.output.json"
GOLDEN = Probe(request=REQUEST)
FULL = Probe(request=REQUEST, output=OUTPUT, tolerance=0.01)


class StandingClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW


class Listener(MemoryWorkspaces):
    """A workspace that remembers what it was asked to score."""

    asked: tuple[str, bytes, timedelta] | None = None

    def score(
        self,
        workspace: Workspace,
        endpoint: Endpoint,
        deployment: str,
        body: bytes,
        *,
        timeout: timedelta,
    ) -> Score:
        self.asked = (deployment, body, timeout)
        return super().score(workspace, endpoint, deployment, body, timeout=timeout)


def send(
    wanted: Probe, *, output: object = None, files: dict[str, bytes] | None = None, **score: Any
) -> tuple[ProbeResult, Listener]:
    """Send a probe to a deployment that answers so; return what came of it, and who was asked."""
    workspaces = Listener(StandingClock())
    workspaces.behaviour.scores[NEW] = Score(**{"status": 200, "body": b"[0]", **score})
    known = {
        REQUEST: b'{"input_data": [[1]]}',
        OUTPUT: json.dumps(output).encode(),
        **(files or {}),
    }

    def read(name: str) -> bytes:
        if name not in known:
            raise ParamsInvalid(f"the app has no file {name}")
        return known[name]

    return probe(make_rollout(), wanted, make_endpoint(), NEW, workspaces, read), workspaces


def test_the_golden_request_goes_straight_to_the_deployment() -> None:
    wanted = Probe(request=REQUEST, timeout=timedelta(seconds=3))
    found, workspaces = send(wanted, seconds=0.12)
    assert workspaces.asked == (NEW, b'{"input_data": [[1]]}', timedelta(seconds=3))
    assert found == ProbeResult(passed=True, detail="answered after 0.1 s")


def test_without_one_it_is_asked_nothing_in_particular() -> None:
    _, workspaces = send(Probe())
    assert workspaces.asked is not None
    assert workspaces.asked[1] == EMPTY_REQUEST


@pytest.mark.parametrize(
    ("wanted", "status", "model_status", "passed"),
    [
        (GOLDEN, 200, 0, True),
        (GOLDEN, 201, 0, False),
        (GOLDEN, 424, 400, False),
        (GOLDEN, 404, 0, False),
        (Probe(request=REQUEST, status=424), 424, 400, True),
        # Of an empty request, the container's own complaint proves that it is up.
        (Probe(), 200, 0, True),
        (Probe(), 204, 0, True),
        (Probe(), 424, 400, True),
        (Probe(), 424, 499, True),
        (Probe(), 424, 500, False),
        (Probe(), 424, 0, False),
        (Probe(), 400, 0, False),
        (Probe(), 503, 400, False),
        (Probe(), 503, 0, False),
    ],
)
def test_the_status_has_to_be_right(
    wanted: Probe, status: int, model_status: int, passed: bool
) -> None:
    found, _ = send(wanted, status=status, model_status=model_status)
    assert found.passed is passed


def test_a_wrong_status_is_told_with_the_answer_and_no_secret() -> None:
    body = b"no model; password=abcdefghijklmnop " + b"x" * 500
    found, _ = send(GOLDEN, status=424, model_status=503, body=body, seconds=2.0)
    assert found.detail.startswith(
        "expected 200, got 424 (the container answered 503) after 2.0 s: no model"
    )
    assert "abcdefghijklmnop" not in found.detail
    assert len(found.detail) < 300


@pytest.mark.parametrize(
    ("latency", "seconds", "detail"),
    [
        (None, 60.0, "answered after 60.0 s"),
        (500, 0.5, "answered after 0.5 s"),
        (500, 0.501, "the answer took 501 ms, more than 500 ms"),
        (1, 0.0, "answered after 0.0 s"),
    ],
)
def test_the_answer_may_take_no_longer(latency: int | None, seconds: float, detail: str) -> None:
    limit = None if latency is None else timedelta(milliseconds=latency)
    found, _ = send(Probe(request=REQUEST, latency=limit), seconds=seconds)
    assert found == ProbeResult(passed=latency is None or seconds * 1000 <= latency, detail=detail)


NESTED = {"rows": [{"p": 0.5, "label": "stays"}, {"p": None, "label": ""}]}


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ([0], "[0]"),
        ([0], "[0.0]"),
        ([0], "[0.009]"),
        ([100.0], "[100.9]"),
        ([-100], "[-99.1]"),
        ({"a": 1, "b": 2}, '{"b": 2.001, "a": 1}'),
        (NESTED, '{"rows": [{"p": 0.503, "label": "stays"}, {"label": "", "p": null}]}'),
        (True, "true"),
        ("text", '"text"'),
        (None, " null "),
        ([], "[]"),
    ],
)
def test_an_answer_within_the_tolerance_passes(expected: object, answer: str) -> None:
    found, _ = send(FULL, output=expected, body=answer.encode())
    assert found.passed, found.detail


@pytest.mark.parametrize(
    ("expected", "answer", "where"),
    [
        ([0], "[0.011]", "$[0]: 0.011 for 0"),
        ([100.0], "[101.1]", "$[0]: 101.1 for 100"),
        ([1], "[-1]", "$[0]: -1 for 1"),
        ([1], "[NaN]", "$[0]: nan for 1"),
        ([1], "[Infinity]", "$[0]: inf for 1"),
        ([1], f"[1{'0' * 5000}]", "$[0]: inf for 1"),
        ([1], "[true]", "$[0]"),
        (True, "1", "$"),
        ([1], '["1"]', "$[0]"),
        ([1], "[null]", "$[0]"),
        ([1, 2], "[1]", "$"),
        ([1], "1", "$"),
        ([1], '{"a": 1}', "$"),
        ({"a": 1}, "[1]", "$"),
        ({"a": 1}, "1", "$"),
        ({"a": 1}, "{}", "$"),
        ({"a": 1}, '{"a": 1, "b": 1}', "$"),
        ({"a": {"b": [1, 2]}}, '{"a": {"b": [1, 3]}}', "$['a']['b'][1]: 3 for 2"),
        ("stays", '"leaves"', "$"),
    ],
)
def test_an_answer_that_differs_is_told_with_where(
    expected: object, answer: str, where: str
) -> None:
    found, _ = send(FULL, output=expected, body=answer.encode())
    assert found == ProbeResult(
        passed=False, detail=f"the answer differs from the expected one at {where}"
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe{", b"[1", b"[" * 100_000])
def test_an_answer_that_is_no_json_does_not_pass(body: bytes) -> None:
    found, _ = send(FULL, output=[1], body=body)
    assert found == ProbeResult(passed=False, detail="the answer is no JSON")


def test_nor_does_any_where_the_expected_output_is_none() -> None:
    found, _ = send(FULL, files={OUTPUT: b"[1,"})
    assert found == ProbeResult(passed=False, detail="the expected output is no JSON")


def test_without_a_tolerance_numbers_have_to_be_the_same() -> None:
    exact = Probe(request=REQUEST, output=OUTPUT, tolerance=0.0)
    assert send(exact, output=[0.1], body=b"[0.1]")[0].passed
    assert not send(exact, output=[0.1], body=b"[0.10000000000000002]")[0].passed


def test_an_answer_that_is_wrong_in_several_ways_is_told_with_all() -> None:
    wanted = Probe(request=REQUEST, output=OUTPUT, latency=timedelta(milliseconds=1))
    found, _ = send(wanted, output=[1], status=500, seconds=1.0, body=b"oops")
    assert [fault.split()[0] for fault in found.detail.split("; ")] == ["expected", "the", "the"]


def test_a_file_that_the_app_has_not_is_no_answer_of_the_deployment_s() -> None:
    with pytest.raises(ParamsInvalid):
        send(Probe(request="golden/other.json"))


def test_a_workspace_that_does_not_answer_is_none_either() -> None:
    workspaces = MemoryWorkspaces(StandingClock())

    def busy(name: str) -> None:
        raise WorkspaceThrottled(name)

    workspaces.before = busy
    with pytest.raises(WorkspaceThrottled):
        probe(make_rollout(), Probe(), make_endpoint(), NEW, workspaces, lambda _: b"")
