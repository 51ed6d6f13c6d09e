"""`notify`: send a message about an event to a channel.

Both functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.notify.action import Notify
    from shared.actions.notify.params import NotifyParams


def params_class() -> "type[NotifyParams]":
    """Return the class of the action's values."""
    from shared.actions.notify.params import NotifyParams

    return NotifyParams


def build(parts: "Parts") -> "Notify":
    """Return the action, made from the app's parts."""
    from shared.actions.notify.action import Notify

    return Notify(
        channels=parts.channels,
        admits=lambda channel, text, name: parts.folds.admits(channel, text, name),
        folds=lambda: parts.folds,
        workspaces=lambda: parts.workspaces,
        clock=parts.clock,
        studio=parts.settings.studio_endpoint,
    )
