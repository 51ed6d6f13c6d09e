"""`deploy`: put a registered model on an endpoint, without code.

Both functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.deploy.action import Deploy
    from shared.actions.deploy.params import DeployParams


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
