"""The ways out of a phase that several phases share. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from shared.rollouts.deciding.decisions import Go
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.state.orders import POSSIBLE, Order, OrderKind
from shared.rollouts.state.phases import STEPS, Phase
from shared.rollouts.state.rollout import Cause, Rollout
from shared.rollouts.state.splits import Split
from shared.rollouts.strategy.model import OnFailure

#: The most attempts at a write that failed, or succeeded without taking effect.
WRITE_TRIES = 3


def find_order(rollout: Rollout, *kinds: OrderKind) -> Order | None:
    """Return the first order of these kinds that is possible in the phase, or None."""
    possible = [kind for kind in kinds if rollout.phase in POSSIBLE[kind]]
    return next((order for order in rollout.orders if order.kind in possible), None)


def without_order(rollout: Rollout, order: Order) -> Rollout:
    """Return the rollout without the order."""
    return replace(rollout, orders=tuple(other for other in rollout.orders if other is not order))


def mirror_beside(
    mirror: Split, split: Split, rollout: Rollout, seen: Observation
) -> Mapping[str, int]:
    """Return the part of somebody's mirror that can stay beside a split.

    A deployment can get a copy if it is healthy and gets no live traffic.
    """
    ours = {rollout.deployment.lower(), *map(str.lower, split)}
    return {
        name: part
        for name, part in mirror.items()
        if name.lower() not in ours and seen.is_healthy(name)
    }


def go_held(rollout: Rollout, reason: str) -> Go:
    """Stay on this split until a person decides."""
    return Go(phase=Phase.HELD, reason=reason, rollout=rollout)


def _because(rollout: Rollout, cause: Cause) -> Rollout:
    return replace(rollout, attempt=replace(rollout.attempt, cause=cause))


def go_back(rollout: Rollout, reason: str, cause: Cause = Cause.FAILED) -> Go:
    """Roll back, whatever `on_failure` says."""
    return Go(phase=Phase.ROLLING_BACK, reason=reason, rollout=_because(rollout, cause))


def refuse_rollout(rollout: Rollout, reason: str, cause: Cause = Cause.FAILED) -> Go:
    """End before anything was touched. The deployment of an earlier attempt is still kept."""
    phase = Phase.KEEPING if rollout.attempt.has_kept else Phase.REFUSED
    return Go(phase=phase, reason=reason, rollout=_because(rollout, cause))


def abort(rollout: Rollout, order: Order) -> Go:
    """Go back, because of an order by a person or by a newer rollout."""
    cause = Cause.SUPERSEDED if order.supersedes else Cause.ABORTED
    rest = without_order(rollout, order)
    if not _is_unmade(rollout):
        return go_back(rest, order.words, cause)
    if order.supersedes and not rollout.attempt.has_kept:
        return Go(phase=Phase.SUPERSEDED, reason=order.words, rollout=_because(rest, cause))
    return refuse_rollout(rest, order.words, cause)


def _is_unmade(rollout: Rollout) -> bool:
    """Return whether the rollout has made nothing yet. It may be held before its first step."""
    is_held = rollout.phase is Phase.HELD and rollout.step < 0
    return is_held or rollout.phase in (Phase.QUEUED, Phase.CHECKING)


def fail(rollout: Rollout, seen: Observation, reason: str) -> Go:
    """Do as `on_failure` says. Before the first step there is nothing to hold, so it goes back."""
    policy = rollout.plan.strategy.on_failure
    if policy is OnFailure.HOLD and rollout.phase in STEPS:
        return go_held(rollout, reason)
    return go_back_or_step_down(rollout, seen, reason)


def go_back_or_step_down(rollout: Rollout, seen: Observation, reason: str) -> Go:
    """Go back at once, or down by steps if `on_failure` says so. It waits for nobody."""
    if _is_unmade(rollout):
        return refuse_rollout(rollout, reason)
    by_steps = rollout.plan.strategy.on_failure is OnFailure.STEP_DOWN
    if by_steps and seen.live(rollout.deployment) and seen.is_healthy(rollout.deployment):
        return Go(
            phase=Phase.STEPPING_DOWN,
            reason=reason,
            rollout=_because(rollout, Cause.FAILED),
        )
    return go_back(rollout, reason)


def too_long(rollout: Rollout, now: datetime) -> Go | None:
    """Roll back if the phase has taken longer than the plan allows."""
    if now - rollout.since <= rollout.plan.timeout:
        return None
    minutes = rollout.plan.timeout.total_seconds() / 60
    reason = f"phase {rollout.phase} took longer than {minutes:g} minutes"
    return go_back(
        rollout, f"{reason}; last: {rollout.work.trouble}" if rollout.work.trouble else reason
    )
