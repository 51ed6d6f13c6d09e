"""The table of the kinds of step as they are written. A new kind has its line here."""

from collections.abc import Mapping

from shared.rollouts.strategy.model import RolloutStep, StepKind
from shared.rollouts.strategy.steps.approve import WrittenApprove
from shared.rollouts.strategy.steps.better import WrittenBetter
from shared.rollouts.strategy.steps.hold import WrittenHold
from shared.rollouts.strategy.steps.mirror import WrittenMirror
from shared.rollouts.strategy.steps.probe import WrittenProbe
from shared.rollouts.strategy.steps.scale import WrittenScale
from shared.rollouts.strategy.steps.traffic import WrittenTraffic
from shared.rollouts.strategy.steps.written_step import WrittenStep

#: In the order in which messages list them.
WRITTEN: Mapping[StepKind, WrittenStep] = {
    step.kind: step
    for step in (
        WrittenProbe(),
        WrittenMirror(),
        WrittenTraffic(),
        WrittenHold(),
        WrittenApprove(),
        WrittenScale(),
        WrittenBetter(),
    )
}


def step_words(step: RolloutStep) -> str:
    """Say a step as it is written in reactions.yaml."""
    return WRITTEN[step.kind].words(step)
