"""The base of all values that people write, and what they are held against."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

from shared.events.model import EventType


class Values(BaseModel):
    """Values that stand together in a reaction."""

    # Built when a file first uses the action: most files don't use most actions.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What values are held against while a file is loaded, through pydantic's context.

    `channels` are those that it declares, None where they can't be read; `named` collects those
    that values name, so that unused ones can be told. `has_file` says whether the app has a file of
    this path. `on` is the type of event that the reaction is for, None where that is not known.
    `find_job_faults` says what is wrong with the file of a job that gets inputs of these names;
    `inputs` are those of the step. `find_channel_fault` says what is wrong with a channel's app
    setting, and what would be right. `strategies` are those of rollouts that it declares, None for
    one that can't be read; `named_strategies` is to them as `named` is to channels.
    """

    channels: frozenset[str] | None
    has_file: Callable[[str], bool] = lambda _: True
    named: set[str] = field(default_factory=set)
    on: EventType | None = None
    find_job_faults: Callable[[str, Collection[str]], tuple[str, ...]] = lambda *_: ()
    find_channel_fault: Callable[[str], tuple[str, str] | None] = lambda _: None
    inputs: tuple[str, ...] = ()
    strategies: Mapping[str, Any] = field(default_factory=dict)
    named_strategies: set[str] = field(default_factory=set)
    doubts: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)


#: What a name in a file is made of; from anything else one would be invented.
_PLAIN_NAME = re.compile(r"[^\W_][\w .-]*")


#: An id of AML's, or the host of an endpoint.
_ADDRESS = re.compile(r"^azureml:|\.inference\.ml\.azure\.", re.IGNORECASE)


def _check_no_address(name: str) -> str:
    """Let pass what may be a name; an address, or an id, would have one invented from it."""
    if "://" in name or name.startswith("/") or _ADDRESS.search(name):
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


def unfit(message: str, hint: str = "") -> PydanticCustomError:
    """Return the error of a value: what it should be, as "should be …", and what would be right."""
    return PydanticCustomError("unfit", "{message}", {"message": message, "hint": hint})


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


#: The name of a channel. The loader checks, wherever it stands in a Params model, that the file
#: declares it.
ChannelName = Annotated[str, AfterValidator(_check_channel)]
