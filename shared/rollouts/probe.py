"""Probe a new deployment: scoring requests sent straight to it, before any traffic."""

from collections.abc import Callable

from shared.redact import redact
from shared.rollouts.model import ProbeResult, Rollout
from shared.workspaces import Endpoint, Score, Workspaces

#: What is sent where the reaction names no golden request. A model can't know what to make of it,
#: so that an answer of 4xx from the container itself proves no more than that it is up.
EMPTY_REQUEST = b'{"input_data": []}'


def probe(
    rollout: Rollout,
    endpoint: Endpoint,
    workspaces: Workspaces,
    read_request: Callable[[str], bytes],
) -> ProbeResult:
    """Send the plan's request to the new deployment and judge the answer.

    Raises: what Workspaces.score raises.
    """
    plan = rollout.plan.probe
    body = read_request(plan.request) if plan.request else EMPTY_REQUEST
    score = workspaces.score(
        rollout.workspace, endpoint, rollout.deployment, body, timeout=plan.timeout
    )
    passed = score.status == plan.status or (not plan.request and _is_alive(score))
    return ProbeResult(passed=passed, detail=_detail(score, plan.status))


def _is_alive(score: Score) -> bool:
    """Say whether the model's own server answered, be it to complain of the empty request."""
    return 200 <= score.status < 300 or (score.status == 424 and 400 <= score.model_status < 500)


def _detail(score: Score, expected: int) -> str:
    status = f"{score.status}"
    if score.model_status:
        status += f" (the container answered {score.model_status})"
    answer = redact(score.body.decode(errors="replace"), most=200)
    return f"expected {expected}, got {status} after {score.seconds:.1f} s: {answer}"
