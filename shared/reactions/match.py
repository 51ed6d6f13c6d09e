"""Finds the reactions that an event sets off. Pure: it does no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.base.redact import MARK
from shared.events.model import Event, ScheduleDue, Workspace, as_data
from shared.events.monitors import has_breach_tag
from shared.reactions.expressions import Expression
from shared.reactions.model import Reaction, Reactions


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The event sets the reaction off."""

    reaction: Reaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """The reaction is for such events, but its condition does not hold; `why` names the part.

    `wants_tags` says that it could hold with other tags: those that the model does not have yet, or
    those of a model or run that a letter lost. A letter keeps no text that looks like a secret.
    """

    reaction: Reaction
    why: str
    wants_tags: bool = False


Match = Matched | Unmatched

IS_BREACH = (
    "a monitor found a breach in this run; reactions `on: DriftDetected` are for that, and this "
    "one has no `breaches: true`"
)


def match(reactions: Reactions, event: Event) -> tuple[Match, ...]:
    """Return for each enabled reaction to this type of event whether the event sets it off.

    >>> (result,) = match(reactions, event)  # one has `when: is_true(model.tags.deploy)`
    >>> result.why
    '`is_true(model.tags.deploy)` is false'
    """
    concerned = [item for item in reactions.of_type(event.type) if is_concerned(item, event)]
    if not concerned:
        return ()
    data = as_data(event)
    is_breach = _is_breach(data)
    return tuple(_match(reaction, data, is_breach) for reaction in concerned)


def sets_off(reaction: Reaction, data: Mapping[str, Any]) -> bool:
    """Say whether the event, as data, sets this reaction off; `match_one` also says why not."""
    if "schedule" in data and data["schedule"]["reaction"] != reaction.name:
        return False
    if not reaction.breaches and _is_breach(data):
        return False
    return reaction.when is None or reaction.when.holds(data)


def is_concerned(reaction: Reaction, event: Event) -> bool:
    """Say whether a reaction is for such an event: a schedule is of one reaction only."""
    if isinstance(event, ScheduleDue) and event.schedule.reaction != reaction.name:
        return False
    return event.type in reaction.on


def match_one(reaction: Reaction, data: Mapping[str, Any]) -> Match:
    """Return whether the event, as data, sets this reaction off."""
    return _match(reaction, data, _is_breach(data))


def _is_breach(data: Mapping[str, Any]) -> bool:
    """Say whether a monitor found a breach in the event's run."""
    return "run" in data and has_breach_tag(data["run"]["tags"])


def _match(reaction: Reaction, data: Mapping[str, Any], is_breach: bool) -> Match:
    if is_breach and not reaction.breaches:
        return Unmatched(reaction=reaction, why=IS_BREACH)
    if reaction.when is None or reaction.when.holds(data):
        return Matched(reaction=reaction)
    return Unmatched(
        reaction=reaction,
        why=reaction.when.explain(data),
        wants_tags=_wants_tags(reaction.when, data),
    )


def _wants_tags(when: Expression, data: Mapping[str, Any]) -> bool:
    """Say whether each part of a condition that does not hold reads a tag that is missing."""
    thing = data.get("model") or data.get("run")
    if thing is None:
        return False
    tags, spoilt = thing["tags"], _lost_names(thing["tags"])
    has_lost_properties = bool(_lost_names(thing["properties"]))
    # All tags of a run are in its event.
    has = tags.keys() - spoilt if "model" in data else None
    # A part that reads no missing tag is the only kind whose value matters.
    return not any(
        not part.holds(data)
        for part in when.conditions or (when,)
        if not (
            (has is not None and (part.tags is None or part.tags - has))
            or (spoilt if part.tags is None else part.tags & spoilt)
            or (has_lost_properties and part.names("properties"))
        )
    )


def _lost_names(texts: Mapping[str, str]) -> set[str]:
    """Return the names of texts that lost a secret when they were kept in a letter."""
    return {name for name, text in texts.items() if MARK in text}


def as_listed(reactions: Reactions, workspace: Workspace) -> Workspace | None:
    """Return the workspace in the casing of the file; None if the file does not list it.

    Events differ in casing, alerts are in lower case, and conditions compare names.
    """
    return next((it for it in reactions.workspaces if it.key == workspace.key), None)
