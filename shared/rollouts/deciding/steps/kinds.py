"""The table of the kinds of step as they are done. A new kind has its line here."""

from collections.abc import Mapping

from shared.rollouts.deciding.steps.approve import ApproveStep
from shared.rollouts.deciding.steps.better import BetterStep
from shared.rollouts.deciding.steps.hold import HoldStep
from shared.rollouts.deciding.steps.mirror import MirrorStep
from shared.rollouts.deciding.steps.probe import ProbeStep
from shared.rollouts.deciding.steps.scale import ScaleStep
from shared.rollouts.deciding.steps.step_decider import StepDecider
from shared.rollouts.deciding.steps.traffic import TrafficStep
from shared.rollouts.state.phases import PHASES, STEPS
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.strategy.model import StepKind

DECIDERS: Mapping[StepKind, StepDecider] = {
    step.kind: step
    for step in (
        ProbeStep(),
        MirrorStep(),
        TrafficStep(),
        HoldStep(),
        ApproveStep(),
        ScaleStep(),
        BetterStep(),
    )
}

#: The phases of steps that set a split or a mirror.
SETTING = frozenset(PHASES[kind] for kind, step in DECIDERS.items() if step.sets_split)
#: The phases of steps that say themselves how long they may take.
PATIENT = frozenset(PHASES[kind] for kind, step in DECIDERS.items() if step.is_patient)


def decider_of(rollout: Rollout) -> StepDecider | None:
    """Return the decider of the step that the rollout is doing, None where it does none."""
    step = rollout.current
    return DECIDERS[step.kind] if step is not None and rollout.phase in STEPS else None
