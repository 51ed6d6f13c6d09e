"""What a reactions file holds once it is loaded, and what is found wrong with one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from shared.events.model import EventType, Workspace
from shared.orphans.schema import Orphans
from shared.reactions.expressions import Expression
from shared.schema.findings import Finding
from shared.schema.values import Values

if TYPE_CHECKING:
    from shared.rollouts.strategy.model import Strategy


class Params(Values):
    """The base of every action's values, as they stand under the action in a reaction.

    `events` are the types of event that the action can be done for; empty means every type.
    `is_single` says whether a reaction may do it once only. `hears_all` are fields of the event
    that `when` should leave alone: the action has to hear of every value. `guarded` are fields,
    dotted where they are nested, that a tag may only choose as far as a field under `allow` lists
    it: by name, that one's name.
    """

    events: ClassVar[frozenset[EventType]] = frozenset()
    is_single: ClassVar[bool] = False
    hears_all: ClassVar[tuple[str, ...]] = ()
    guarded: ClassVar[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action of a reaction. `params` holds the values as written, with Templates compiled.

    `id` is the action, with -2, -3 for further ones of the same action: claims are made of it.
    """

    id: str
    action: str
    params: Mapping[str, Any]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """One rule: on this event, when this holds, do these steps in order."""

    name: str
    on: EventType
    do: tuple[Step, ...]
    line: int
    description: str = ""
    enabled: bool = True
    when: Expression | None = None
    #: Whether it is also set off by runs in which a monitor found a breach.
    breaches: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reactions:
    """A whole reactions file, free of errors. `rollouts` are its own strategies, by name."""

    workspaces: tuple[Workspace, ...]
    channels: tuple[str, ...]
    reactions: tuple[Reaction, ...]
    warnings: tuple[Finding, ...] = ()
    rollouts: "Mapping[str, Strategy]" = field(default_factory=dict)
    orphans: Orphans | None = None

    def get(self, name: str) -> Reaction | None:
        """Return the reaction of this name, enabled or not, or None."""
        return next((item for item in self.reactions if item.name == name), None)

    def channels_of(self, name: str) -> tuple[str, ...]:
        """Return the channels that the steps of a reaction tell, each once; () if it is gone."""
        reaction = self.get(name)
        found: list[str] = []
        for step in reaction.do if reaction is not None else ():
            channels = step.params.get("notify", ())
            found += channels if isinstance(channels, list | tuple) else ()
            found.append(step.params.get("channel", ""))
        return tuple(dict.fromkeys(one for one in found if one and isinstance(one, str)))
