"""`deploy`: put a registered model on an endpoint, without code.

The functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.deploy.action import Deploy
    from shared.actions.deploy.params import DeployParams
    from shared.actions.live import LiveStep, Question


def params_class() -> "type[DeployParams]":
    """Return the class of the action's values."""
    from shared.actions.deploy.params import DeployParams

    return DeployParams


def build(parts: "Parts") -> "Deploy":
    """Return the action, made from the app's parts."""
    from shared.actions.deploy.action import Deploy

    return Deploy(
        workspaces=parts.workspaces,
        rollouts=parts.rollouts,
        clock=parts.clock,
        outbox=parts.outbox,
        find_strategy=parts.find_strategy,
        read_file=parts.read_file,
        retrainings=parts.retrainings,
    )


def live_questions(step: "LiveStep") -> "Iterator[Question]":
    """Yield what `signalbox check --live` asks a workspace about a step."""
    from shared.actions.deploy.live import deploy_questions

    return deploy_questions(step)
