"""`shift_traffic`: move an endpoint's traffic between existing deployments.

Both functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.shift_traffic.action import ShiftTraffic
    from shared.actions.shift_traffic.params import ShiftTrafficParams


def params_class() -> "type[ShiftTrafficParams]":
    """Return the class of the action's values."""
    from shared.actions.shift_traffic.params import ShiftTrafficParams

    return ShiftTrafficParams


def build(parts: "Parts") -> "ShiftTraffic":
    """Return the action, made from the app's parts."""
    from shared.actions.shift_traffic.action import ShiftTraffic

    return ShiftTraffic(
        workspaces=parts.workspaces,
        rollouts=parts.rollouts,
        outbox=parts.outbox,
        clock=parts.clock,
        find_strategy=parts.find_strategy,
        read_file=parts.read_file,
    )
