"""A loaded reactions file: reactions, their steps, and the base of an action's values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from shared.events.model import EventType, Workspace
from shared.journal.starts import StartLimit
from shared.messages.notice import PER_HOUR
from shared.orphans.schema import Orphans
from shared.reactions.expressions import Expression
from shared.schema.findings import Finding
from shared.schema.values import Values

if TYPE_CHECKING:
    from shared.reactions.freezes import Freeze
    from shared.reactions.schedule import ReactionSchedule
    from shared.reactions.templates import Template
    from shared.rollouts.strategy.model import Strategy


#: From drift to a deployment it takes three: retrain, register, deploy.
CHAIN_LIMIT = 5


class Params(Values):
    """The base of every action's values, as they are written below the action in a reaction.

    `events` are the types of event that the action accepts; empty means every type. `per_item` is
    the field that may be a list, each item of which makes a step of its own, "" for none. `makes`
    says whether it makes or changes anything in a workspace, of which events may come;
    `makes_runs` whether it starts runs. `is_single` says whether a reaction may have it only once.
    `hears_all` are fields of the event that `when` should not compare, because the action needs
    every value. `guarded` are the fields, dotted if nested, for which a tag may only choose values
    that `allow` lists, each with the name of its list under `allow`.
    """

    per_item: ClassVar[str] = ""
    events: ClassVar[frozenset[EventType]] = frozenset()
    makes: ClassVar[bool] = True
    makes_runs: ClassVar[bool] = False
    is_single: ClassVar[bool] = False
    hears_all: ClassVar[tuple[str, ...]] = ()
    guarded: ClassVar[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action of a reaction. `params` holds the values as written, with Templates compiled.

    `id` is the action, with -2, -3 for further ones of the same action, and for an item of a list
    with @ and that item: notify@team. Claims are made from it. `path` leads to its values in the
    file.
    """

    id: str
    action: str
    params: Mapping[str, Any]
    line: int
    path: tuple[str | int, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedLimits:
    """The limits that count together, by the value of `key`; "" counts all events of a reaction."""

    key: "Template | str"
    limits: tuple[StartLimit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """One rule: on these events, when this holds, do these steps in order."""

    name: str
    on: tuple[EventType, ...]
    do: tuple[Step, ...]
    line: int
    description: str = ""
    enabled: bool = True
    when: Expression | None = None
    #: Whether it is also set off by runs in which a monitor found a breach.
    breaches: bool = False
    limits: tuple[KeyedLimits, ...] = ()
    schedule: "ReactionSchedule | None" = None
    #: Whether it makes or changes anything in a workspace, and whether it starts runs.
    makes: bool = True
    makes_runs: bool = False
    #: The windows of time in which it does nothing.
    freezes: "tuple[Freeze, ...]" = ()
    #: Whether its steps are only rehearsed: values are made and checked, and nothing is done.
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reactions:
    """A whole reactions file, free of errors. `rollouts` are its own strategies, by name."""

    workspaces: tuple[Workspace, ...]
    channels: tuple[str, ...]
    reactions: tuple[Reaction, ...]
    topics: tuple[str, ...] = ()
    warnings: tuple[Finding, ...] = ()
    rollouts: "Mapping[str, Strategy]" = field(default_factory=dict)
    orphans: Orphans | None = None
    #: How many reactions may follow one another, each set off by what the one before it made.
    chain_limit: int = CHAIN_LIMIT
    #: Whether the sweep looks for models that Event Grid never reported.
    find_models: bool = False
    #: How many messages a channel gets within an hour.
    messages_per_hour: int = PER_HOUR
    #: The channels of `defaults.notify`, which are told what nobody else would be.
    default_channels: tuple[str, ...] = ()
    _by_type: Mapping[EventType, tuple[Reaction, ...]] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Sort the reactions by the types of their events, once."""
        found: dict[EventType, list[Reaction]] = {}
        for reaction in self.reactions:
            for kind in reaction.on if reaction.enabled else ():
                found.setdefault(kind, []).append(reaction)
        by_type = {kind: tuple(reactions) for kind, reactions in found.items()}
        object.__setattr__(self, "_by_type", by_type)

    def of_type(self, type: EventType) -> tuple[Reaction, ...]:
        """Return the enabled reactions to events of this type, in the file's order."""
        return self._by_type.get(type, ())

    def get(self, name: str) -> Reaction | None:
        """Return the reaction of this name, enabled or not, or None."""
        return next((item for item in self.reactions if item.name == name), None)

    def channels_of(self, name: str) -> tuple[str, ...]:
        """Return the channels to tell of a reaction's letter: those of its steps and the defaults.

        A letter of no reaction, or of one that is gone, is for the channels of the defaults.
        """
        reaction = self.get(name)
        own = channels_in(reaction) if reaction is not None else ()
        return tuple(dict.fromkeys([*own, *self.default_channels]))


def channels_in(reaction: Reaction) -> tuple[str, ...]:
    """Return the channels that the steps of a reaction name, one after the other."""
    found: list[object] = []
    for step in reaction.do:
        channels = step.params.get("notify", ())
        found += channels if isinstance(channels, list | tuple) else ()
        found.append(step.params.get("channel", ""))
    return tuple(name for name in found if name and isinstance(name, str))
