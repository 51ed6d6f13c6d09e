"""Which reactions an event sets off. Pure: nothing here reads or changes anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.events.model import Event, Workspace, as_data
from shared.events.monitors import tells_of_breach
from shared.reactions.expressions import Expression
from shared.reactions.model import Reaction, Reactions


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The event sets the reaction off."""

    reaction: Reaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """The reaction is for such events, but its condition does not hold: `why` says which part.

    `wants_tags` says that it could hold if the model had tags that the event does not have.
    """

    reaction: Reaction
    why: str
    wants_tags: bool = False


Match = Matched | Unmatched

_IS_BREACH = (
    "a monitor found a breach in this run; reactions `on: DriftDetected` are for that, and this "
    "one has no `breaches: true`"
)


def match(reactions: Reactions, event: Event) -> tuple[Match, ...]:
    """Say of each enabled reaction for this type of event whether the event sets it off."""
    concerned = [item for item in reactions.reactions if item.enabled and item.on is event.type]
    if not concerned:
        return ()
    data = as_data(event)
    return tuple(match_one(reaction, data) for reaction in concerned)


def match_one(reaction: Reaction, data: Mapping[str, Any]) -> Match:
    """Say of one reaction whether the event, as data, sets it off."""
    if not reaction.breaches and "run" in data and tells_of_breach(data["run"]["tags"]):
        return Unmatched(reaction=reaction, why=_IS_BREACH)
    if reaction.when is None or reaction.when.holds(data):
        return Matched(reaction=reaction)
    return Unmatched(
        reaction=reaction,
        why=reaction.when.explain(data),
        wants_tags="model" in data and _wants_tags(reaction.when, data),
    )


def _wants_tags(when: Expression, data: Mapping[str, Any]) -> bool:
    """Say whether each part of a condition that does not hold asks for a tag that is not there."""
    has = data["model"]["tags"].keys()
    failing = (part for part in when.conditions or (when,) if not part.holds(data))
    return all(part.tags is None or part.tags - has for part in failing)


def as_listed(reactions: Reactions, workspace: Workspace) -> Workspace | None:
    """Return the workspace in the casing in which the file lists it; None where it does not.

    Events differ in it, those of alerts are in lower case, and conditions compare names.
    """
    return next((it for it in reactions.workspaces if it.key == workspace.key), None)
