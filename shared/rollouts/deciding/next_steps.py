"""The step that a rollout goes on with, or goes back to. Pure."""

from dataclasses import replace

from shared.rollouts.deciding.decisions import Go
from shared.rollouts.deciding.steps.kinds import DECIDERS
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import PHASES, Phase
from shared.rollouts.state.rollout import Rollout


def next_step(rollout: Rollout, start: int, reason: str = "") -> Go:
    """Go to the first step from `start` on that has work to do, or to `live`."""
    for index, step in enumerate(rollout.plan.strategy.steps[start:], start):
        if DECIDERS[step.kind].applies(rollout, step):
            return Go(phase=PHASES[step.kind], reason=reason, rollout=replace(rollout, step=index))
    return Go(
        phase=Phase.LIVE,
        reason=reason,
        rollout=replace(rollout, step=len(rollout.plan.strategy.steps)),
    )


def first_step_again(rollout: Rollout) -> int:
    """Return the step to begin with when the current step is repeated.

    The split in force at a step is that of the last step before it that sets one.
    """
    steps = rollout.plan.strategy.steps[: rollout.step + 1]
    sets = (index for index, step in enumerate(steps) if DECIDERS[step.kind].sets_split)
    return max(sets, default=max(rollout.step, 0))


def last_split(rollout: Rollout) -> int:
    """Return the last step that moves live traffic."""
    return max(
        index
        for index, step in enumerate(rollout.plan.strategy.steps)
        if DECIDERS[step.kind].live_split(rollout, step) is not None
    )


def promote(rollout: Rollout, order: Order) -> Go:
    """Skip the rest of this step, or all steps before the last split."""
    start = rollout.step + 1
    if order.to_end:
        start = max(start, last_split(rollout))
    # A promote that was given twice must not skip two steps.
    left = tuple(other for other in rollout.orders if other.kind is not OrderKind.PROMOTE)
    return next_step(replace(rollout, orders=left), start, order.words)
