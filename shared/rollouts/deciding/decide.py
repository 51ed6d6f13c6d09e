"""Decide what a rollout does next, from what it is and what was observed. Pure and total."""

from collections.abc import Callable, Mapping
from datetime import datetime

from shared.rollouts.deciding import ending, opening, stepping
from shared.rollouts.deciding.decisions import Decision, Wait
from shared.rollouts.deciding.exits import abort, find_order, too_long
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import EXCLUSIVE, STEPS, TERMINAL, Phase
from shared.rollouts.state.rollout import Rollout
from shared.workspaces.model import OperationStatus


def decide(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Return what the rollout does next. Answers for every phase and every observation.

    Abort comes before all else, also while an operation is under way.

    >>> decide(rollout, seen, now).traffic  # its first step is `traffic: 10%`
    {'churn-v1-def456': 90, 'churn-v2-abc123': 10}
    """
    if order := find_order(rollout, OrderKind.ABORT):
        return abort(rollout, order)
    if seen.operation is not None and seen.operation.status is OperationStatus.RUNNING:
        if rollout.phase in _TIMED and (late := too_long(rollout, now)):
            return late
        return Wait(reason="the operation is under way", asked=seen.operation.retry_after)
    if rollout.phase in _SEEING and not seen.has_looked:
        return Wait(reason="another rollout has the endpoint", delay=opening.TURN_WAIT)
    return _DECIDERS[rollout.phase](rollout, seen, now)


_DECIDERS: Mapping[Phase, Callable[[Rollout, Observation, datetime], Decision]] = {
    Phase.QUEUED: opening.queued,
    Phase.CHECKING: opening.checking,
    Phase.ENDPOINT: opening.creating_endpoint,
    Phase.DEPLOYMENT: opening.creating_deployment,
    **dict.fromkeys(STEPS, stepping.in_step),
    Phase.HELD: stepping.held,
    Phase.LIVE: ending.live,
    Phase.RETIRING: ending.retiring,
    Phase.STEPPING_DOWN: ending.stepping_down,
    Phase.ROLLING_BACK: ending.rolling_back,
    Phase.KEEPING: ending.keeping,
    Phase.REMOVING: ending.removing,
    **dict.fromkeys(TERMINAL, ending.ended),
}

#: Decisions in these phases need the endpoint, which only the rollout that has it observes.
_SEEING = EXCLUSIVE - {Phase.QUEUED}

#: Phases that are given up when their operation takes longer than the plan allows.
_TIMED = frozenset({Phase.ENDPOINT, Phase.DEPLOYMENT, *STEPS})
