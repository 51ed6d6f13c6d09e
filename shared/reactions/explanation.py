"""Explains for each reaction of the file whether an event sets it off, and if not, why. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.base.ids import folded
from shared.base.words import listed
from shared.events.model import Event, EventType, Workspace, as_data
from shared.reactions.match import IS_BREACH, Unmatched, as_listed, match_one
from shared.reactions.model import Reaction, Reactions
from shared.reactions.near_misses import failing_parts, near_misses, values_seen
from shared.schema.wording import cut, nearest

_VALUES_MAX = 4


class Obstacle(StrEnum):
    """The question that decides that an event does not set a reaction off."""

    NONE = ""
    CONDITION = "condition"  #: A part of `when` does not hold.
    BREACH = "breach"  #: A monitor found a breach in the run, and `breaches` is not set.
    OTHER_EVENT = "other event"  #: It is on events of another type.
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an event sets a reaction off or does not, by the rules as they are now.

    `part` is the first part of the condition that does not hold, and `seen` the values that it
    read. `near` is what would nearly have been right, "" if nothing is near. `further` is how many
    more parts do not hold. `would_match` says of a disabled reaction whether it would be set off,
    and `wants_tags` whether tags that come later could set it off.
    """

    reaction: Reaction
    obstacle: Obstacle
    why: str
    part: str = ""
    seen: tuple[str, ...] = ()
    near: str = ""
    further: int = 0
    would_match: bool = False
    wants_tags: bool = False

    @property
    def matches(self) -> bool:
        """Whether the event sets the reaction off."""
        return self.obstacle is Obstacle.NONE


def explain(reactions: Reactions, event: Event) -> tuple[Explanation, ...]:
    """Return for each reaction of the file whether the event sets it off, in the file's order.

    Whether the event's workspace is listed is another question: see `explain_workspace`.

    >>> (found,) = explain(reactions, event)  # one has `when: is_true(model.tags.deploy)`
    >>> found.why
    '`is_true(model.tags.deploy)` is false'
    """
    data = as_data(event)
    return tuple(explain_one(reaction, event.type, data) for reaction in reactions.reactions)


def explain_one(reaction: Reaction, type: EventType, data: Mapping[str, Any]) -> Explanation:
    """Return whether an event of this type, as data, sets a reaction off."""
    if type not in reaction.on:
        why = f"it is on {' or '.join(reaction.on)}, and this is {type}"
        return Explanation(
            reaction=reaction,
            obstacle=Obstacle.OTHER_EVENT,
            why=why,
            near=_near_type(reaction, type),
        )
    planned_for = data["schedule"]["reaction"] if "schedule" in data else reaction.name
    if planned_for != reaction.name:
        why = f"the time was planned by the schedule of `{planned_for}`"
        return Explanation(reaction=reaction, obstacle=Obstacle.OTHER_EVENT, why=why)
    found = _explain_match(reaction, data)
    if reaction.enabled:
        return found
    would = "it would be set off" if found.matches else f"besides, {found.why}"
    return Explanation(
        reaction=reaction,
        obstacle=Obstacle.DISABLED,
        why="it has `enabled: false`",
        near=would,
        would_match=found.matches,
    )


def _explain_match(reaction: Reaction, data: Mapping[str, Any]) -> Explanation:
    result = match_one(reaction, data)
    if not isinstance(result, Unmatched):
        why = f"`{cut(reaction.when.text)}` holds" if reaction.when else "it has no `when`"
        return Explanation(reaction=reaction, obstacle=Obstacle.NONE, why=why)
    if result.why == IS_BREACH or reaction.when is None:
        return Explanation(reaction=reaction, obstacle=Obstacle.BREACH, why=result.why)
    (part, why), *rest = failing_parts(reaction.when, data)
    return Explanation(
        reaction=reaction,
        obstacle=Obstacle.CONDITION,
        why=why,
        part=part.text,
        seen=values_seen(part, data)[:_VALUES_MAX],
        near=next(iter(near_misses(part, data)), ""),
        further=len(rest),
        wants_tags=result.wants_tags,
    )


_OF_RUNS = frozenset({EventType.RUN_COMPLETED, EventType.RUN_STATUS_CHANGED})
_OF_MODELS = frozenset({EventType.MODEL_REGISTERED, EventType.MODEL_DEPLOYED})


def _near_type(reaction: Reaction, type: EventType) -> str:
    """Return how the types of event differ, if one is easily taken for the other."""
    on = set(reaction.on)
    if type in _OF_RUNS and on & _OF_RUNS:
        return (
            "RunCompleted is only for runs that completed; a RunStatusChanged says in `run.status`"
            " whether the run failed"
        )
    if type in _OF_MODELS and on & _OF_MODELS:
        return "a model is registered first, and deployed to a service later"
    return ""


def explain_workspace(reactions: Reactions, workspace: Workspace) -> str:
    """Return why no reaction is for a workspace, "" if the file lists it."""
    if as_listed(reactions, workspace) is not None:
        return ""
    known = {folded(item.name): item for item in reactions.workspaces}
    same = known.get(folded(workspace.name))
    said = f"workspace `{cut(workspace.name)}` is not listed in `workspaces:`"
    if same is not None:
        group, subscription = cut(workspace.resource_group), cut(workspace.subscription)
        differs = f"resource group `{group}`"
        if folded(same.subscription) != folded(workspace.subscription):
            differs = f"subscription `{subscription}`"
        return f"{said}: the event's is of {differs}, and one of that name in another is listed"
    near = nearest(workspace.name, [item.name for item in reactions.workspaces])
    names = [f"`{cut(item.name)}`" for item in reactions.workspaces]
    return f"{said}: did you mean `{cut(near)}`?" if near else f"{said}; listed: {listed(names, 6)}"
