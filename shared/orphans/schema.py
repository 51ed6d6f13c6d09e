"""What a reactions file says of orphans, under `orphans:`."""

from datetime import timedelta
from typing import Annotated

from shared.base.durations import Duration, between
from shared.schema.values import ChannelName, Values

_LEAST = timedelta(hours=1)
_MOST = timedelta(days=90)


class Orphans(Values):
    """What to do about deployments that nothing is sent to: tell `notify`, and maybe delete them.

    `after` is how long a deployment has to have been without traffic.
    """

    after: Annotated[Duration, between(_LEAST, _MOST)] = timedelta(days=1)
    notify: tuple[ChannelName, ...] = ()
    delete: bool = False
