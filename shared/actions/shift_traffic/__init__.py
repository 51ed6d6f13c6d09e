"""`shift_traffic`: move an endpoint's traffic between existing deployments.

The functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.live import LiveStep, Question
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


def live_questions(step: "LiveStep") -> "Iterator[Question]":
    """Yield what `signalbox check --live` asks a workspace about a step."""
    from shared.actions.shift_traffic.live import shift_questions

    return shift_questions(step)
