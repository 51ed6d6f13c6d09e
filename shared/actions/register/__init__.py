"""`register`: make a model version of a run's output.

The functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.live import LiveStep, Question
    from shared.actions.register.action import Register
    from shared.actions.register.params import RegisterParams


def params_class() -> "type[RegisterParams]":
    """Return the class of the action's values."""
    from shared.actions.register.params import RegisterParams

    return RegisterParams


def build(parts: "Parts") -> "Register":
    """Return the action, made from the app's parts."""
    from shared.actions.register.action import Register

    return Register(
        workspaces=parts.workspaces,
        clock=parts.clock,
        retrainings=parts.retrainings,
    )


def live_questions(step: "LiveStep") -> "Iterator[Question]":
    """Yield what `signalbox check --live` asks a workspace about a step."""
    yield step.may_read_runs()
