"""The base of all values that people write, and the context that they are checked against."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

from shared.events.model import EventType
from shared.schema.wording import TOPIC_ADDRESS_HINT, found, is_address, suggest


class Values(BaseModel):
    """The base of values that belong together in a file."""

    # Built when a file first uses the action, because most files use few actions.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True, slots=True)
class LoadContext:
    """The facts that values are checked against while a file is loaded, as pydantic's context.

    `channels` are those that the file declares, None if they can't be read. `named` collects the
    channels that values name, to find unused ones. `has_file` says whether the app has a file of
    this path. `on` are the event types of the reaction, None if they are not known.
    `find_job_faults` returns the faults in the file of a job that gets inputs of these names;
    `inputs` are those of the step. `find_channel_fault` returns the fault in a channel's app
    setting, and a hint.
    `strategies` are those that the file declares, None for one that can't be read;
    `named_strategies` collects those that values name. `topics`, `named_topics` and
    `find_topic_fault` are for topics as the same three are for channels. `find_target_fault` gives
    the fault in the app settings of a target of this kind with these values, and a hint. `files_in`
    lists the app's files below a folder. `doubts` collects warnings by the path of their value.
    """

    channels: frozenset[str] | None
    has_file: Callable[[str], bool] = lambda _: True
    named: set[str] = field(default_factory=set)
    on: tuple[EventType, ...] | None = None
    find_job_faults: Callable[[str, Collection[str]], tuple[str, ...]] = lambda *_: ()
    find_channel_fault: Callable[[str], tuple[str, str] | None] = lambda _: None
    inputs: tuple[str, ...] = ()
    strategies: Mapping[str, Any] = field(default_factory=dict)
    named_strategies: set[str] = field(default_factory=set)
    topics: frozenset[str] | None = None
    named_topics: set[str] = field(default_factory=set)
    find_topic_fault: Callable[[str], tuple[str, str] | None] = lambda _: None
    find_target_fault: Callable[[str, Any], tuple[str, str] | None] = lambda *_: None
    files_in: Callable[[str], Collection[str]] = lambda _: ()
    doubts: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)


#: The characters of a name; a name with others would be replaced by an invented one.
_PLAIN_NAME = re.compile(r"[^\W_][\w .-]*")


#: An AML id, or the host of an endpoint.
_ADDRESS = re.compile(r"^azureml:|\.inference\.ml\.azure\.", re.IGNORECASE)


def _check_no_address(name: str) -> str:
    """Return the name; an address or an id would be replaced by an invented name."""
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


#: A name that may have any characters, such as the names in other services.
AnyName = Annotated[str, AfterValidator(_check_no_address)]
#: A name in AML, which becomes a part of addresses or of other names.
PlainName = Annotated[AnyName, AfterValidator(_check_plain_name)]


def unfit(message: str, hint: str = "") -> PydanticCustomError:
    """Return the error of a value: a message such as "should be …", and a hint."""
    return PydanticCustomError("unfit", "{message}", {"message": message, "hint": hint})


def _check_channel(name: str, info: ValidationInfo) -> str:
    if isinstance(info.context, LoadContext):
        info.context.named.add(name)
        declared = info.context.channels
        if is_address(name) or (declared is not None and name not in declared):
            raise PydanticCustomError("channel_undeclared", "no such channel")
    return name


def check_file(path: str, info: ValidationInfo) -> str:
    """Check that the app has the file, if the context knows it; "" is accepted.

    Use it after the check of the path's form, whose fault is reported first.
    """
    if path and isinstance(info.context, LoadContext) and not info.context.has_file(path):
        known = tuple(info.context.files_in(path.partition("/")[0]))
        raise PydanticCustomError("file_missing", "the app has no such file", {"known": known})
    return path


def example_of(path: str, *suffixes: str) -> str:
    """Return the name of the file that a path leads to, or an example of one."""
    name = path.replace("\\", "/").rpartition("/")[2]
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,60}", name) and name.endswith(suffixes):
        return name
    return f"churn{suffixes[0]}"


def check_job(path: str, info: ValidationInfo) -> str:
    """Check the file of a job, if the context has a check for it."""
    context = info.context
    faults = (
        context.find_job_faults(path, context.inputs) if isinstance(context, LoadContext) else ()
    )
    if faults:
        raise PydanticCustomError("job_invalid", "no job", {"faults": faults})
    return path


#: The name of a channel. The loader checks that the file declares it.
ChannelName = Annotated[str, AfterValidator(_check_channel)]


def _check_topic(name: str, info: ValidationInfo) -> str:
    if isinstance(info.context, LoadContext):
        info.context.named_topics.add(name)
        declared = info.context.topics
        if "/" in name or ":" in name:
            raise unfit("should be the name of a topic, not its endpoint", TOPIC_ADDRESS_HINT)
        if declared is not None and name not in declared:
            hint = suggest(name, declared) or "Declare it under `topics:`."
            raise unfit(f"names {found(name)}, and there is no such topic", hint)
    return name


#: The name of a topic. The loader checks that the file declares it.
TopicName = Annotated[str, AfterValidator(_check_topic)]
