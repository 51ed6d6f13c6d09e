"""Which reactions an event sets off. Pure: nothing here reads or changes anything."""

from dataclasses import dataclass

from shared.errors import ExpressionFailed
from shared.events import Event, Workspace, as_data
from shared.reactions.model import Reaction, Reactions


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The event sets the reaction off."""

    reaction: Reaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """The reaction is for such events, but its condition does not hold: `why` says which part."""

    reaction: Reaction
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The reaction's condition gave no answer for this event."""

    reaction: Reaction
    error: ExpressionFailed


Match = Matched | Unmatched | Failed


def match(reactions: Reactions, event: Event) -> tuple[Match, ...]:
    """Say of each enabled reaction for this type of event whether the event sets it off."""
    concerned = [item for item in reactions.reactions if item.enabled and item.on is event.type]
    if not concerned:
        return ()
    data = as_data(event)
    results: list[Match] = []
    for reaction in concerned:
        try:
            if reaction.when is None or reaction.when.holds(data):
                results.append(Matched(reaction=reaction))
            else:
                results.append(Unmatched(reaction=reaction, why=reaction.when.explain(data)))
        except ExpressionFailed as error:
            results.append(Failed(reaction=reaction, error=error))
    return tuple(results)


def accepts(reactions: Reactions, workspace: Workspace) -> bool:
    """Say whether the file lists the workspace, in whatever casing."""
    return any(known.key == workspace.key for known in reactions.workspaces)
