"""How a new deployment serves, as it is written in `deploy`: the values of `workspaces.Serving`."""

from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import Field

from shared.base.durations import Duration, between
from shared.schema.values import Values
from shared.workspaces.model import HealthProbe

#: The time after which an endpoint cuts a request off (408), unless its deployment says otherwise.
USUAL_CUT: Final = timedelta(seconds=5)

_SECOND = timedelta(seconds=1)
#: The longest that the service allows, by kind of endpoint (how-to-manage-quotas).
LONGEST_CUT: Final = MappingProxyType(
    {"managed": timedelta(minutes=3), "kubernetes": timedelta(minutes=5)}
)
RequestTimeout = Annotated[Duration, between(_SECOND, max(LONGEST_CUT.values()))]
#: The longest that a request may wait for its turn in a container; the service's own is 0.5 s.
QueueWait = Annotated[Duration, between(timedelta(milliseconds=1), max(LONGEST_CUT.values()))]
_HealthTime = Annotated[Duration, between(_SECOND, timedelta(hours=1))]


class HealthParams(Values):
    """How the service finds out whether a container is well; what is left out is the service's."""

    initial_delay: _HealthTime | None = None
    period: _HealthTime | None = None
    timeout: _HealthTime | None = None
    failure_threshold: int | None = Field(default=None, ge=1, le=1000)

    @property
    def probe(self) -> HealthProbe | None:
        """The same for the workspace, None where nothing is said."""
        values = self.model_dump(exclude_none=True)
        return HealthProbe(**values) if values else None


class ReadinessParams(HealthParams):
    """The same for readiness. A container that does not live is started again after one success."""

    success_threshold: int | None = Field(default=None, ge=1, le=1000)
