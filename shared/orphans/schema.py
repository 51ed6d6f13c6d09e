"""The values under `orphans:` of a reactions file."""

from datetime import timedelta
from typing import Annotated

from shared.base.durations import Duration, between
from shared.schema.values import ChannelName, Values

_LEAST = timedelta(hours=1)
_MOST = timedelta(days=90)


class Orphans(Values):
    """How to treat deployments that nothing is sent to: tell `notify`, and maybe delete them.

    `after` is how long a deployment has to have been without traffic.
    """

    after: Annotated[Duration, between(_LEAST, _MOST)] = timedelta(days=1)
    notify: tuple[ChannelName, ...] = ()
    delete: bool = False
