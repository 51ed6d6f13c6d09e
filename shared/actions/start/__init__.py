"""`start`: start a job, a pipeline or a workflow, and follow it until it has ended.

The functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.live import LiveStep, Question
    from shared.actions.start.action import Start
    from shared.actions.start.params import StartParams


def params_class() -> "type[StartParams]":
    """Return the class of the action's values."""
    from shared.actions.start.params import StartParams

    return StartParams


def build(parts: "Parts") -> "Start":
    """Return the action, made from the app's parts."""
    from shared.actions.start.action import Start

    return Start(workspaces=parts.workspaces, launches=parts.launches, clock=parts.clock)


def live_questions(step: "LiveStep") -> "Iterator[Question]":
    """Yield what `signalbox check --live` asks a workspace about a step."""
    from shared.actions.target_questions import target_questions

    return target_questions(step)
