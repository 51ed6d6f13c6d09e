"""Probe a deployment: a golden request sent straight to it, and its answer judged."""

import json
import math
from collections.abc import Callable
from typing import Any

from shared.redact import redact
from shared.rollouts.model import ProbeResult, Rollout
from shared.rollouts.strategy import Probe
from shared.workspaces import Endpoint, Score, Workspaces

#: What is sent where the reaction names no golden request. The server in the container complains of
#: it (400) before the model hears of it, so that the complaint proves that the model is loaded: the
#: server listens only then. With `{"input_data": []}` the model itself would raise.
EMPTY_REQUEST = b"{}"


def probe(
    rollout: Rollout,
    wanted: Probe,
    endpoint: Endpoint,
    deployment: str,
    workspaces: Workspaces,
    read_file: Callable[[str], bytes],
) -> ProbeResult:
    """Send the request to a deployment and judge the answer.

    Raises: what Workspaces.score raises, and ParamsInvalid where the app has not the files.
    """
    body = read_file(wanted.request) if wanted.request else EMPTY_REQUEST
    output = read_file(wanted.output) if wanted.output else b""
    score = workspaces.score(rollout.workspace, endpoint, deployment, body, timeout=wanted.timeout)
    faults = [_status_fault(score, wanted), _latency_fault(score, wanted)]
    if wanted.output:
        faults.append(_output_fault(score, output, wanted.tolerance))
    told = "; ".join(fault for fault in faults if fault)
    return ProbeResult(passed=not told, detail=told or f"answered after {score.seconds:.1f} s")


def _status_fault(score: Score, wanted: Probe) -> str:
    if score.status == wanted.status or (not wanted.request and _is_alive(score)):
        return ""
    status = f"{score.status}"
    if score.model_status:
        status += f" (the container answered {score.model_status})"
    answer = redact(score.body.decode(errors="replace"), most=200)
    return f"expected {wanted.status}, got {status} after {score.seconds:.1f} s: {answer}"


def _is_alive(score: Score) -> bool:
    """Say whether the model's own server answered, be it to complain of the empty request."""
    return 200 <= score.status < 300 or (score.status == 424 and 400 <= score.model_status < 500)


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
    """Read JSON that may be anybody's: numbers as long as it likes, nested as deep.

    Raises: ValueError.
    """
    try:
        return json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        raise ValueError(f"{what} is no JSON") from None


def _find_difference(found: Any, wanted: Any, tolerance: float, path: str) -> str:
    """Return where two values differ, "" where they don't; numbers may by the tolerance."""
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
