"""`retrain`: start a training, if a policy says that drift is a reason to.

The functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.live import LiveStep, Question
    from shared.actions.retrain.action import Retrain
    from shared.actions.retrain.params import RetrainParams


def params_class() -> "type[RetrainParams]":
    """Return the class of the action's values."""
    from shared.actions.retrain.params import RetrainParams

    return RetrainParams


def build(parts: "Parts") -> "Retrain":
    """Return the action, made from the app's parts."""
    from shared.actions.retrain.action import Retrain
    from shared.retraining.inbox import Inbox

    return Retrain(
        loops=parts.loops,
        keeper=parts.loop_keeper,
        inbox=Inbox(
            workspaces=parts.workspaces,
            clock=parts.clock,
            wait_min=3 * parts.settings.retry_base,
        ),
        find_rollout=parts.rollouts.find_of_model,
        clock=parts.clock,
    )


def live_questions(step: "LiveStep") -> "Iterator[Question]":
    """Yield what `signalbox check --live` asks a workspace about a step."""
    from shared.actions.target_questions import target_questions

    return target_questions(step)
