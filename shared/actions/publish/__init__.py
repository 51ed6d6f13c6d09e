"""`publish`: send an event of one's own to an Event Grid topic.

Both functions import their modules when they are called, because a file may have the action and no
event need it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.actions.base import Parts
    from shared.actions.publish.action import Publish
    from shared.actions.publish.params import PublishParams


def params_class() -> "type[PublishParams]":
    """Return the class of the action's values."""
    from shared.actions.publish.params import PublishParams

    return PublishParams


def build(parts: "Parts") -> "Publish":
    """Return the action, made from the app's parts."""
    from shared.actions.publish.action import Publish

    return Publish(topics=parts.topics, has_topic=parts.has_topic, clock=parts.clock)
