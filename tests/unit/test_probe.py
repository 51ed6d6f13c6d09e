"""A probe passes if the new deployment answers as it has to: status, time, and what it says."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import (
    ParamsInvalid,
    WorkspaceDenied,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.events.model import Workspace
from shared.rollouts.engine.probe import probe
from shared.rollouts.engine.samples import EMPTY_REQUEST
from shared.rollouts.state.rollout import ProbeResult
from shared.rollouts.state.tags import TAG_ENVIRONMENT, TAG_ROLLOUT
from shared.rollouts.strategy.model import Probe
from shared.twins.clock import ManualClock
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import Deployment, Endpoint, Score, State
from tests.unit.rollouts import NEW, NOW, make_endpoint, make_rollout

REQUEST, OUTPUT = "golden/churn.json", "golden/churn.output.json"
GOLDEN = Probe(request=REQUEST)
FULL = Probe(request=REQUEST, output=OUTPUT, tolerance=0.01)


#: Made by Signalbox; its model has no files.
OURS = Deployment(name=NEW, state=State.SUCCEEDED, tags={TAG_ROLLOUT: "r1"})


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
    workspaces = Listener(ManualClock(NOW))
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

    return probe(make_rollout(), wanted, make_endpoint(), OURS, workspaces, read), workspaces


def test_the_golden_request_goes_straight_to_the_deployment() -> None:
    wanted = Probe(request=REQUEST, timeout=timedelta(seconds=3))
    found, workspaces = send(wanted, seconds=0.12)
    assert workspaces.asked == (NEW, b'{"input_data": [[1]]}', timedelta(seconds=3))
    assert found == ProbeResult(passed=True, detail="answered golden/churn.json after 0.1 s")


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
        (None, 60.0, "answered golden/churn.json after 60.0 s"),
        (500, 0.5, "answered golden/churn.json after 0.5 s"),
        (500, 0.501, "the answer took 501 ms, more than 500 ms"),
        (1, 0.0, "answered golden/churn.json after 0.0 s"),
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


def test_a_probe_whose_expected_output_is_no_json_fails() -> None:
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
    workspaces = MemoryWorkspaces(ManualClock(NOW))

    def busy(name: str) -> None:
        raise WorkspaceThrottled(name)

    workspaces.before = busy
    with pytest.raises(WorkspaceThrottled):
        probe(make_rollout(), Probe(), make_endpoint(), OURS, workspaces, lambda _: b"")


# Without a golden request, of a model that says what it takes


EXAMPLE = json.dumps(
    {
        "signature": {"inputs": '[{"type": "double", "name": "a"}]'},
        "saved_input_example_info": {"type": "dataframe", "artifact_path": "example.json"},
    }
)
SIGNATURE = json.dumps({"signature": {"inputs": '[{"type": "string", "name": "a"}]'}})
REFUSED = Score(status=424, model_status=500, body=b'{"message": "it raised"}', seconds=0.2)
COMPLAINT = Score(status=424, model_status=400, seconds=0.1)
GOOD = Score(status=200, body=b"[1]", seconds=0.1)
SLOW = WorkspaceUnreachable("scoring: no answer (ReadTimeout)")


class Model(MemoryWorkspaces):
    """A workspace with a model whose server answers an empty request one way, others another."""

    def __init__(self, mlmodel: str, others: Score | Exception, empty: Score = COMPLAINT) -> None:
        super().__init__(ManualClock(NOW))
        model = self.register(make_rollout().workspace, "churn", "2", tags={})
        self.files = {
            (model.id, "MLmodel"): mlmodel.encode(),
            (model.id, "example.json"): b'{"columns": ["a"], "data": [[2.5]]}',
        }
        self.of_model = {"model": model.id}
        self.others, self.empty = others, empty
        self.asked: list[tuple[Any, timedelta]] = []

    def score(
        self,
        workspace: Workspace,
        endpoint: Endpoint,
        deployment: str,
        body: bytes,
        *,
        timeout: timedelta,
    ) -> Score:
        self.asked.append((json.loads(body), timeout))
        answer = self.empty if body == EMPTY_REQUEST else self.others
        if isinstance(answer, Exception):
            raise answer
        return answer

    def probe(self, *, is_ours: bool = True, has_code: bool = False, **wanted: Any) -> ProbeResult:
        tags = {TAG_ROLLOUT: "r1"} if is_ours else {}
        if has_code:
            tags[TAG_ENVIRONMENT] = "serving:2"
        deployment = Deployment(
            name=NEW, state=State.SUCCEEDED, tags=tags, model=self.of_model["model"]
        )
        return probe(
            make_rollout(), Probe(**wanted), make_endpoint(), deployment, self, lambda _: b""
        )


@pytest.mark.parametrize(
    ("mlmodel", "others", "is_ours", "passed", "detail"),
    [
        (EXAMPLE, GOOD, True, True, "answered its own input example after 0.1 s"),
        (EXAMPLE, REFUSED, True, False, '0.2 s to its own input example: {"message": "it raised'),
        # The form may be wrong for a server of another make: that is not the model's fault.
        (EXAMPLE, COMPLAINT, True, True, "is up, and was asked for no prediction (its own input"),
        (EXAMPLE, REFUSED, False, True, "is up, and was asked for no prediction (its own input"),
        (SIGNATURE, GOOD, True, True, "answered a row made up from its signature after 0.1 s"),
        (SIGNATURE, REFUSED, True, True, "was refused: 424 (the container answered 500)) after"),
        (SIGNATURE, SLOW, True, True, "was not answered: scoring: no answer (ReadTimeout))"),
        ("{}", REFUSED, True, True, "(nothing else could be asked: it has neither"),
    ],
)
def test_the_result_of_a_probe_says_what_was_asked(
    mlmodel: str, others: Score | Exception, is_ours: bool, passed: bool, detail: str
) -> None:
    found = Model(mlmodel, others).probe(is_ours=is_ours)
    assert found.passed is passed
    assert detail in found.detail


def test_an_example_that_gets_no_answer_in_time_does_not_pass() -> None:
    with pytest.raises(WorkspaceUnreachable):
        Model(EXAMPLE, SLOW).probe()


@pytest.mark.parametrize("empty", [REFUSED, Score(status=503), Score(status=404)])
def test_a_server_that_does_not_even_complain_is_not_up(empty: Score) -> None:
    found = Model(SIGNATURE, REFUSED, empty).probe()
    assert not found.passed
    assert "to an empty request" in found.detail


def test_a_container_of_somebody_else_s_is_up_if_it_answers_at_all() -> None:
    assert Model("{}", REFUSED, REFUSED).probe(is_ours=False).passed
    assert not Model("{}", REFUSED, Score(status=503)).probe(is_ours=False).passed


def test_a_slow_model_s_second_request_is_waited_for_no_longer_than_it_needs() -> None:
    model = Model(SIGNATURE, SLOW)
    assert model.probe(timeout=timedelta(minutes=1)).passed
    assert [seconds.total_seconds() for _, seconds in model.asked] == [60, 10]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": ""}, "no model of the workspace is known to be in it"),
        ({"model": "azureml://registries/r/models/m/versions/1"}, "no model of the workspace"),
        ({"model": "/subscriptions/s/workspaces/w/models/gone/versions/1"}, "no longer in"),
    ],
)
def test_a_model_that_is_not_there_to_be_read_is_no_failure(
    change: dict[str, str], why: str
) -> None:
    model = Model(EXAMPLE, REFUSED)
    model.of_model |= change
    assert why in model.probe().detail


def test_files_that_can_t_be_read_are_told_and_no_failure() -> None:
    model = Model(EXAMPLE, REFUSED)

    def denied(name: str) -> None:
        if name == "read_model_file":
            raise WorkspaceDenied("reading MLmodel: HTTP 403; password=abcdefghijklmnop")

    model.before = denied
    found = model.probe()
    assert found.passed
    assert "reading MLmodel: HTTP 403" in found.detail
    assert "abcdefghijklmnop" not in found.detail


def test_the_time_limit_holds_for_whichever_request_is_answered() -> None:
    found = Model(EXAMPLE, GOOD).probe(latency=timedelta(milliseconds=50))
    assert found == ProbeResult(passed=False, detail="the answer took 100 ms, more than 50 ms")


def test_a_script_of_ones_own_may_refuse_what_a_model_without_code_would_answer() -> None:
    model = Model(EXAMPLE, REFUSED, REFUSED)
    assert not model.probe().passed
    result = model.probe(has_code=True)
    assert result.passed
    assert "is up, and was asked for no prediction" in result.detail
