"""Probe a deployment: a request sent straight to it, and its answer judged."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from shared.base.errors import WorkspaceUnreachable
from shared.base.incoming import read_json
from shared.base.redact import redact
from shared.rollouts.engine.samples import EMPTY_REQUEST, Sample, SampleKind, find_sample
from shared.rollouts.state.rollout import ProbeResult, Rollout
from shared.rollouts.state.tags import TAG_ENVIRONMENT, TAG_ROLLOUT
from shared.rollouts.strategy.model import USUAL_WAIT, Probe
from shared.workspaces.model import Deployment, Endpoint, Score
from shared.workspaces.ports import Workspaces

#: An empty request is answered within this time. It may be the second request of a probe.
_SOON = timedelta(seconds=10)

type Send = Callable[[bytes], Score]


def probe(
    rollout: Rollout,
    wanted: Probe,
    endpoint: Endpoint,
    deployment: Deployment,
    workspaces: Workspaces,
    read_file: Callable[[str], bytes],
) -> ProbeResult:
    """Send a request to a deployment and judge the answer; `detail` says which request it was.

    Raises: WorkspaceError, and ParamsInvalid if the app does not have the files.
    """

    def send(body: bytes) -> Score:
        timeout = wanted.timeout or USUAL_WAIT
        if body == EMPTY_REQUEST:
            timeout = min(timeout, _SOON)
        return workspaces.score(rollout.workspace, endpoint, deployment.name, body, timeout=timeout)

    if wanted.request:
        return _ask_golden(wanted, send, read_file)
    sample = find_sample(rollout.workspace, deployment, workspaces)
    # Of a model that Signalbox deployed without code of its own it is known how its server answers.
    tags = deployment.tags
    is_known = TAG_ROLLOUT in tags and TAG_ENVIRONMENT not in tags
    return _ask(wanted, send, sample, is_known=is_known)


def _ask_golden(wanted: Probe, send: Send, read_file: Callable[[str], bytes]) -> ProbeResult:
    body = read_file(wanted.request)
    output = read_file(wanted.output) if wanted.output else b""
    score = send(body)
    is_right = score.status == wanted.status
    faults = ["" if is_right else _status_fault(score, wanted), _latency_fault(score, wanted)]
    if wanted.output:
        faults.append(_output_fault(score, output, wanted.tolerance))
    return _result(f"answered {wanted.request}", score, *faults)


def _ask(wanted: Probe, send: Send, sample: Sample, *, is_known: bool) -> ProbeResult:
    """Ask for a prediction if the model says what it takes, else only whether the server is up.

    Only the model's own example can fail the probe, on a server that Signalbox deployed, with no
    code of its own. A healthy model may refuse a row that was made up, so there only a prediction
    proves anything.
    """
    refused = f"nothing else could be asked: {sample.why}" if sample.why else ""
    if sample.kind is not SampleKind.EMPTY:
        is_proof = is_known and sample.kind is SampleKind.EXAMPLE
        try:
            score = send(sample.body)
        except WorkspaceUnreachable as error:
            if is_proof:
                raise
            refused = f"{sample.kind} was not answered: {redact(error.message, most=200)}"
        else:
            if _is_good(score):
                return _result(f"answered {sample.kind}", score, _latency_fault(score, wanted))
            if is_proof and not _is_complaint(score):
                return _result("", score, _status_fault(score, wanted, f" to {sample.kind}"))
            refused = f"{sample.kind} was refused: {_status(score)}"
    score = send(EMPTY_REQUEST)
    is_up = _is_good(score) or _is_complaint(score) or (not is_known and score.model_status > 0)
    fault = "" if is_up else _status_fault(score, wanted, f" to {SampleKind.EMPTY}")
    passed = "is up, and was asked for no prediction" + (f" ({refused})" if refused else "")
    return _result(passed, score, fault, _latency_fault(score, wanted))


def _result(answered: str, score: Score, *faults: str) -> ProbeResult:
    found = "; ".join(fault for fault in faults if fault)
    passed = f"{answered} after {score.seconds:.1f} s"
    return ProbeResult(passed=not found, detail=found or passed)


def _is_good(score: Score) -> bool:
    return 200 <= score.status < 300


def _is_complaint(score: Score) -> bool:
    """Return whether the server in the container refused the request, before the model saw it."""
    return score.status == 424 and 400 <= score.model_status < 500


def _status(score: Score) -> str:
    container = f" (the container answered {score.model_status})" if score.model_status else ""
    return f"{score.status}{container}"


def _status_fault(score: Score, wanted: Probe, to: str = "") -> str:
    answer = redact(score.body.decode(errors="replace"), most=200)
    after = f"after {score.seconds:.1f} s"
    return f"expected {wanted.status}, got {_status(score)} {after}{to}: {answer}"


def _latency_fault(score: Score, wanted: Probe) -> str:
    if wanted.latency is None or score.seconds <= wanted.latency.total_seconds():
        return ""
    most = wanted.latency.total_seconds() * 1000
    return f"the answer took {score.seconds * 1000:.0f} ms, more than {most:.0f} ms"


def _output_fault(score: Score, output: bytes, tolerance: float) -> str:
    try:
        expected = _read_json(output, "the expected output")
        answer = _read_json(score.body, "the answer")
    except ValueError as error:
        return str(error)
    where = _find_difference(answer, expected, tolerance, "$")
    return f"the answer differs from the expected one at {where}" if where else ""


def _read_json(text: bytes, what: str) -> Any:
    """Read JSON from anybody, with numbers of any length and any depth.

    Raises: ValueError.
    """
    try:
        return read_json(text)
    except ValueError:
        raise ValueError(f"{what} is no JSON") from None


def _find_difference(found: Any, wanted: Any, tolerance: float, path: str) -> str:
    """Return where two values differ, numbers by more than the tolerance; "" if they don't."""
    if _is_number(found) and _is_number(wanted):
        is_close = math.isclose(found, wanted, rel_tol=tolerance, abs_tol=tolerance)
        return "" if is_close else f"{path}: {found:g} for {wanted:g}"
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        keys: list[Any] = list(range(len(wanted)))
    elif isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        keys = list(wanted)
    else:
        return "" if found == wanted and type(found) is type(wanted) else path
    inner = (
        _find_difference(
            found[key], wanted[key], tolerance, f"{path}[{redact(repr(key), most=40)}]"
        )
        for key in keys
    )
    return next(filter(None, inner), "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
