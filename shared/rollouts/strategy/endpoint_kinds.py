"""Whether a strategy fits a kind of endpoint, and the strategy as it is settled there. Pure."""

from dataclasses import replace
from datetime import timedelta

from shared.rollouts.strategy.model import Probe, Strategy, wait_for
from shared.rollouts.strategy.steps.kinds import WRITTEN
from shared.workspaces.model import EndpointKind

#: The strategy where none is named: on a batch endpoint it leaves out its probe.
_DEFAULT = "all-at-once"


def find_misfit(strategy: Strategy, kind: EndpointKind) -> str:
    """Return the part of the strategy that this kind of endpoint can't do; "" if it can do all."""
    if kind is EndpointKind.BATCH:
        if strategy.name == _DEFAULT:
            return ""
        kinds = {step.kind for step in strategy.steps}
        online = [kind for kind, step in WRITTEN.items() if not step.is_for_batch]
        if other := [f"`{name}`" for name in online if name in kinds]:
            return f"has {', '.join(other)}, which batch endpoints can't do"
        if strategy.gates:
            return "has gates, for which batch endpoints have no metrics"
    misfits = (WRITTEN[step.kind].find_misfit(step, kind) for step in strategy.steps)
    return next(filter(None, misfits), "")


def settle(
    strategy: Strategy,
    kind: EndpointKind,
    probe: Probe,
    request_timeout: timedelta | None = None,
) -> Strategy:
    """Return the strategy for one rollout: with `probe` in each step that has none of its own.

    A probe without a timeout waits as long as the endpoint does.
    """
    wait = wait_for(request_timeout)
    steps = tuple(
        WRITTEN[step.kind].settle(step, probe, wait)
        for step in strategy.steps
        if kind is not EndpointKind.BATCH or WRITTEN[step.kind].is_for_batch
    )
    return replace(strategy, steps=steps)
