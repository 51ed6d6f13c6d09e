"""Causes of events: the reaction of ours that made the run, model or deployment of an event.

All that a reaction makes carries two tags: the reaction's name, and its place in the chain of
reactions that led to it. Anybody can write such tags, so they are validated when they are read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.base.ids import GIVEN_NAME

TAG_REACTION = "signalbox_reaction"
TAG_DEPTH = "signalbox_depth"

_DEPTH = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCause:
    """The reaction that caused an event, "" if none did, and how many lie in a row behind it."""

    reaction: str = ""
    depth: int = 0


def cause_in(tags: Mapping[str, str]) -> EventCause:
    """Return the cause that the tags of a run, a model or a service name.

    >>> cause_in({"signalbox_reaction": "retrain-on-drift", "signalbox_depth": "1"})
    EventCause(reaction='retrain-on-drift', depth=1)
    """
    depth, reaction = tags.get(TAG_DEPTH, ""), tags.get(TAG_REACTION, "")
    if _DEPTH.fullmatch(depth) is None:
        return EventCause()
    is_name = GIVEN_NAME.fullmatch(reaction) is not None
    return EventCause(reaction=reaction if is_name else "", depth=int(depth))


def tags_of_cause(cause: EventCause, reaction: str) -> dict[str, str]:
    """Return the tags for all that a reaction makes because of an event with this cause."""
    return {TAG_REACTION: reaction, TAG_DEPTH: str(cause.depth + 1)}
