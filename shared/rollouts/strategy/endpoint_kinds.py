"""Whether a strategy fits what an endpoint runs on, and what it comes to there. Pure."""

from dataclasses import replace
from datetime import timedelta

from shared.rollouts.strategy.model import Probe, RolloutStep, StepKind, Strategy, wait_for
from shared.workspaces.model import EndpointKind

#: What a batch endpoint can do: it has one default deployment, which is switched at once.
_OF_BATCH = frozenset({StepKind.APPROVE, StepKind.HOLD, StepKind.TRAFFIC})
#: Its probe is left out for a batch endpoint: it is what is done where nothing is said.
_DEFAULT = "all-at-once"


def find_misfit(strategy: Strategy, kind: EndpointKind) -> str:
    """Say what of the strategy endpoints of this kind can't do; "" if they can do all of it."""
    kinds = {step.kind for step in strategy.steps}
    if kind is EndpointKind.KUBERNETES and StepKind.MIRROR in kinds:
        return "mirrors traffic, which Kubernetes endpoints can't"
    if kind is not EndpointKind.BATCH or strategy.name == _DEFAULT:
        return ""
    if other := [f"`{name}`" for name in StepKind if name in kinds - _OF_BATCH]:
        return f"has {', '.join(other)}, which batch endpoints can't do"
    if strategy.gates:
        return "has gates, for which batch endpoints have no metrics"
    if any(step.kind is StepKind.TRAFFIC and step.percent < 100 for step in strategy.steps):
        return "splits traffic, which batch endpoints can't"
    return ""


def settle(
    strategy: Strategy,
    kind: EndpointKind,
    probe: Probe,
    request_timeout: timedelta | None = None,
) -> Strategy:
    """Return the strategy for one rollout: with `probe` wherever it says none of its own.

    A probe of its own that says no time waits as long as the endpoint does.
    """
    steps = (_settled(step, probe, wait_for(request_timeout)) for step in strategy.steps)
    if kind is EndpointKind.BATCH:
        steps = (step for step in steps if step.kind is not StepKind.PROBE)
    return replace(strategy, steps=tuple(steps))


def _settled(step: RolloutStep, probe: Probe, wait: timedelta) -> RolloutStep:
    if step.kind is not StepKind.PROBE:
        return step
    own = step.probe or probe
    return replace(step, probe=replace(own, timeout=own.timeout or wait))
