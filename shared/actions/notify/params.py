"""The values of `notify` in a reaction."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ValidationInfo

from shared.base.durations import Duration, between
from shared.events.model import EventType
from shared.reactions.model import Params
from shared.schema.values import ChannelName, LoadContext, Values

_WITHIN_MIN = timedelta(minutes=1)
_WITHIN_MAX = timedelta(days=7)
_OF_RUNS = (EventType.RUN_COMPLETED, EventType.RUN_STATUS_CHANGED)
NO_RUN = f"only {' and '.join(_OF_RUNS)} events are of a run"


def _check_has_run(wanted: bool, info: ValidationInfo) -> bool:
    on = info.context.on if isinstance(info.context, LoadContext) else None
    if wanted and on is not None and not set(on) <= set(_OF_RUNS):
        raise ValueError(NO_RUN)
    return wanted


class FoldParams(Values):
    """The key of messages that are repeats of one another, and how long they are only counted."""

    key: str
    within: Annotated[Duration, between(_WITHIN_MIN, _WITHIN_MAX)] = timedelta(hours=1)


class NotifyParams(Params):
    """The values that `notify` takes."""

    makes: ClassVar[bool] = False
    per_item = "channel"
    channel: ChannelName
    title: str
    text: str = ""
    run_details: Annotated[bool, AfterValidator(_check_has_run)] = False
    fold: FoldParams | None = None
