"""What a reactions file holds once it is loaded, and what is found wrong with one."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

from shared.base import errors
from shared.events.model import EventType, Workspace
from shared.reactions.expressions import Expression
from shared.rollouts.strategy.ready_made import READY_MADE

if TYPE_CHECKING:
    from shared.rollouts.strategy.model import Strategy


class Severity(StrEnum):
    """Whether a finding keeps the file from being used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a reactions file, where it is, and what would be right.

    Lines and columns count from 1. `reaction` is None where the finding is of no single reaction.
    """

    line: int
    column: int | None
    reaction: str | None
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR

    def describe(self, source: str) -> str:
        """Return the finding on one line, after the name of the file."""
        place = f"{source}:{self.line}" + (f":{self.column}" if self.column else "")
        who = f" reaction '{self.reaction}':" if self.reaction else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{place}:{who} {self.message}.{hint}"


class ReactionsInvalid(errors.ReactionsInvalid):
    """The reactions file has errors; `findings` holds all of them, and the warnings."""

    def __init__(self, source: str, findings: tuple[Finding, ...]) -> None:
        faults = [item for item in findings if item.severity is Severity.ERROR]
        count = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
        lines = [f"{source} has {count}", *(item.describe(source) for item in faults)]
        super().__init__("\n".join(lines))
        self.source = source
        self.findings = findings


class Values(BaseModel):
    """Values that stand together in a reaction."""

    # Built when a file first uses the action: most files don't use most actions.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


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


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What values are held against while a file is loaded, through pydantic's context.

    `channels` are those that it declares, None where they can't be read; `named` collects those
    that values name, so that unused ones can be told. `has_file` says whether the app has a file of
    this path. `on` is the type of event that the reaction is for, None where that is not known.
    `find_job_faults` says what is wrong with the file of a job that gets inputs of these names;
    `inputs` are those of the step. `find_channel_fault` says what is wrong with a channel's app
    setting, and what would be right. `strategies` are those that it declares, None for one that
    can't be read; `named_strategies` is to them as `named` is to channels.
    """

    channels: frozenset[str] | None
    has_file: Callable[[str], bool] = lambda _: True
    named: set[str] = field(default_factory=set)
    on: EventType | None = None
    find_job_faults: Callable[[str, Collection[str]], tuple[str, ...]] = lambda *_: ()
    find_channel_fault: Callable[[str], tuple[str, str] | None] = lambda _: None
    inputs: tuple[str, ...] = ()
    strategies: "Mapping[str, Strategy | None]" = field(default_factory=dict)
    named_strategies: set[str] = field(default_factory=set)
    doubts: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)

    @property
    def known_strategies(self) -> tuple[str, ...]:
        """The names of the file's strategies and of those that are ready-made."""
        return (*self.strategies, *READY_MADE)


#: What a name in a file is made of; from anything else one would be invented.
_PLAIN_NAME = re.compile(r"[^\W_][\w .-]*")


def _check_no_address(name: str) -> str:
    """Let pass what may be a name; an address, or an id, would have one invented from it."""
    if "://" in name or name.startswith("/") or name.lower().startswith("azureml:"):
        raise ValueError("give its name, not an address or an id")
    return name


def _check_plain_name(name: str, info: ValidationInfo) -> str:
    is_written = isinstance(info.context, LoadContext) and name
    if is_written and _PLAIN_NAME.fullmatch(name) is None:
        raise ValueError(
            "a name begins with a letter or digit; it has spaces, `.`, `_` and `-` besides"
        )
    return name


#: A name that may have any characters, such as those of another service's.
AnyName = Annotated[str, AfterValidator(_check_no_address)]
#: A name of AML's, which becomes a part of addresses, or from which one is made.
PlainName = Annotated[AnyName, AfterValidator(_check_plain_name)]


def unfit(told: str, hint: str = "") -> PydanticCustomError:
    """Return the error of a value: what it should be, as "should be …", and what would be right."""
    return PydanticCustomError("unfit", "{told}", {"told": told, "hint": hint})


def _check_channel(name: str, info: ValidationInfo) -> str:
    if isinstance(info.context, LoadContext):
        info.context.named.add(name)
        declared = info.context.channels
        if "://" in name or (declared is not None and name not in declared):
            raise PydanticCustomError("channel_undeclared", "no such channel")
    return name


def check_file(path: str, info: ValidationInfo) -> str:
    """Look whether the app has the file, or "", where the context knows that.

    It goes after what checks the form of the path, which is to be told first.
    """
    if path and isinstance(info.context, LoadContext) and not info.context.has_file(path):
        raise PydanticCustomError("file_missing", "the app has no such file")
    return path


def check_job(path: str, info: ValidationInfo) -> str:
    """Hold the file of a job against what jobs are, where the context knows that."""
    context = info.context
    faults = (
        context.find_job_faults(path, context.inputs) if isinstance(context, LoadContext) else ()
    )
    if faults:
        raise PydanticCustomError("job_invalid", "no job", {"faults": faults})
    return path


def _check_strategy(name: str, info: ValidationInfo) -> str:
    if isinstance(info.context, LoadContext):
        info.context.named_strategies.add(name)
        known = info.context.known_strategies
        if name not in known:
            raise PydanticCustomError("strategy_undeclared", "no such strategy", {"known": known})
    return name


def _check_strategies(glob: str, info: ValidationInfo) -> str:
    if isinstance(info.context, LoadContext):
        known = info.context.known_strategies
        fitting = [name for name in known if fnmatchcase(name, glob.lower())]
        info.context.named_strategies.update(fitting)
        if not fitting:
            raise PydanticCustomError("strategy_undeclared", "no such strategy", {"known": known})
    return glob


#: The name of a channel. The loader checks, wherever it stands in a Params model, that the file
#: declares it.
ChannelName = Annotated[str, AfterValidator(_check_channel)]
#: The name of a rollout's strategy: the file declares it under `rollouts:`, or it is ready-made.
RolloutName = Annotated[str, AfterValidator(_check_strategy)]
#: A glob that some such name fits.
RolloutGlob = Annotated[str, AfterValidator(_check_strategies)]


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
class Orphans:
    """What to do about deployments that nothing is sent to: tell `notify`, and maybe delete them.

    `after` is how long a deployment has to have been without traffic.
    """

    after: timedelta = timedelta(days=1)
    notify: tuple[str, ...] = ()
    delete: bool = False


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
            told = step.params.get("notify", ())
            found += told if isinstance(told, list | tuple) else ()
            found.append(step.params.get("channel", ""))
        return tuple(dict.fromkeys(one for one in found if one and isinstance(one, str)))

    def find_strategy(self, name: str) -> "Strategy | None":
        """Return the strategy of this name, of the file or ready-made, or None."""
        from shared.rollouts.strategy.schema import find_strategy

        return find_strategy(name, self.rollouts)
