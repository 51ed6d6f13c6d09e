"""`rollout`: give the rollouts that are under way an order.

Both functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.rollout.action import OrderRollouts
    from shared.actions.rollout.params import OrderRolloutsParams


def params_class() -> "type[OrderRolloutsParams]":
    """Return the class of the action's values."""
    from shared.actions.rollout.params import OrderRolloutsParams

    return OrderRolloutsParams


def build(parts: "Parts") -> "OrderRollouts":
    """Return the action, made from the app's parts."""
    from shared.actions.rollout.action import OrderRollouts

    return OrderRollouts(workspaces=parts.workspaces, rollouts=parts.rollouts, clock=parts.clock)
