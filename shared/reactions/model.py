"""What a reactions file holds once it is loaded, and what is found wrong with one."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

from shared import errors
from shared.events import EventType, Workspace
from shared.reactions.expressions import Expression


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
    that `when` should leave alone: the action has to hear of every value.
    """

    events: ClassVar[frozenset[EventType]] = frozenset()
    is_single: ClassVar[bool] = False
    hears_all: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What values are held against while a file is loaded, through pydantic's context.

    `channels` are those that it declares; `named` collects those that values name, so that unused
    ones can be told. `has_file` says whether the app has a file of this path. `on` is the type of
    event that the reaction is for, None where that is not known. `find_job_faults` says what is
    wrong with the file of a job that gets inputs of these names; `inputs` are those of the step.
    """

    channels: frozenset[str]
    has_file: Callable[[str], bool] = lambda _: True
    named: set[str] = field(default_factory=set)
    on: EventType | None = None
    find_job_faults: Callable[[str, Collection[str]], tuple[str, ...]] = lambda *_: ()
    inputs: tuple[str, ...] = ()


def _check_channel(name: str, info: ValidationInfo) -> str:
    if isinstance(info.context, LoadContext):
        info.context.named.add(name)
        if name not in info.context.channels:
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


#: The name of a channel. The loader checks, wherever it stands in a Params model, that the file
#: declares it.
ChannelName = Annotated[str, AfterValidator(_check_channel)]


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
    """A whole reactions file, free of errors."""

    workspaces: tuple[Workspace, ...]
    channels: tuple[str, ...]
    reactions: tuple[Reaction, ...]
    warnings: tuple[Finding, ...] = ()

    def get(self, name: str) -> Reaction | None:
        """Return the reaction of this name, enabled or not, or None."""
        return next((item for item in self.reactions if item.name == name), None)
