"""Decide what a rollout does next, from what it is and what was observed. Pure and total."""

from collections.abc import Callable, Mapping
from datetime import datetime

from shared.rollouts import returning, starting, stepping
from shared.rollouts.model import Rollout
from shared.rollouts.observation import Decision, Observation, Wait
from shared.rollouts.orders import OrderKind
from shared.rollouts.phases import EXCLUSIVE, STEPS, TERMINAL, Phase
from shared.rollouts.routes import abort, find_order, too_long
from shared.workspaces import OperationStatus


def decide(rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Return what the rollout does next. Answers for every phase and every observation.

    Abort comes before all else, also while an operation is under way.
    """
    if order := find_order(rollout, OrderKind.ABORT):
        return abort(rollout, order)
    if seen.operation is not None and seen.operation.status is OperationStatus.RUNNING:
        if rollout.phase in _TIMED and (late := too_long(rollout, now)):
            return late
        return Wait(reason="the operation is under way", asked=seen.operation.retry_after)
    if rollout.phase in _SEEING and not seen.has_looked:
        return Wait(reason="another rollout has the endpoint", delay=starting.TURN_WAIT)
    return _DECIDERS[rollout.phase](rollout, seen, now)


_DECIDERS: Mapping[Phase, Callable[[Rollout, Observation, datetime], Decision]] = {
    Phase.QUEUED: starting.queued,
    Phase.CHECKING: starting.checking,
    Phase.ENDPOINT: starting.endpoint,
    Phase.DEPLOYMENT: starting.deployment,
    **dict.fromkeys(STEPS, stepping.in_step),
    Phase.HELD: stepping.held,
    Phase.LIVE: returning.live,
    Phase.RETIRING: returning.retiring,
    Phase.STEPPING_DOWN: returning.stepping_down,
    Phase.ROLLING_BACK: returning.rolling_back,
    Phase.KEEPING: returning.keeping,
    Phase.REMOVING: returning.removing,
    **dict.fromkeys(TERMINAL, returning.ended),
}

#: Deciding in these is about the endpoint, which is looked at by the rollout that has it alone.
_SEEING = EXCLUSIVE - {Phase.QUEUED}

#: Phases that are given up when an operation of theirs takes longer than the plan lets it.
_TIMED = frozenset({Phase.ENDPOINT, Phase.DEPLOYMENT, *STEPS})
