"""The values of `notify`, as a reaction has them."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from shared.base.durations import Duration, format_duration
from shared.events.model import EventType
from shared.reactions.model import Params
from shared.schema.values import ChannelName, LoadContext, Values

_WITHIN_MIN = timedelta(minutes=1)
_WITHIN_MAX = timedelta(days=7)
_OF_RUNS = (EventType.RUN_COMPLETED, EventType.RUN_STATUS_CHANGED)
NO_RUN = f"only {' and '.join(_OF_RUNS)} events are of a run"


def _check_has_run(wanted: bool, info: ValidationInfo) -> bool:
    on = info.context.on if isinstance(info.context, LoadContext) else None
    if wanted and on is not None and on not in _OF_RUNS:
        raise ValueError(NO_RUN)
    return wanted


def _check_within(span: timedelta) -> timedelta:
    if not _WITHIN_MIN <= span <= _WITHIN_MAX:
        least, most = format_duration(_WITHIN_MIN), format_duration(_WITHIN_MAX)
        raise ValueError(f"from {least} to {most}, found {format_duration(span)}")
    return span


class FoldParams(Values):
    """Which messages are repeats of one another, and for how long they are only counted."""

    key: str
    within: Annotated[Duration, AfterValidator(_check_within)] = timedelta(hours=1)


class NotifyParams(Params):
    """What `notify` takes."""

    channel: ChannelName
    title: str
    text: str = ""
    run_details: Annotated[bool, AfterValidator(_check_has_run)] = False
    fold: FoldParams | None = None
