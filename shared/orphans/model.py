"""The watch over a workspace as it is kept, and the orphans that it finds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.events.model import Workspace
from shared.messages.notice import Notice
from shared.workspaces.model import EndpointKind, State

#: After a longer time without a look, a deployment may have had traffic in between.
_GAP_MAX = timedelta(days=3)


class CostClass(StrEnum):
    """How much a deployment costs, without a price."""

    SMALL = "small"  #: At most 4 cores.
    MEDIUM = "medium"  #: At most 16.
    LARGE = "large"  #: At most 64.
    HUGE = "huge"
    GPU = "gpu"  #: Of an N-series, however many cores.


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of a deployment each hour: the cores of all its instances."""

    size: CostClass
    cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A deployment without traffic, as the workspace has it now.

    `since` is when it was first seen so, None if that is now. `is_due` says whether that is long
    enough ago for it to be an orphan. `trouble` is why it could not be deleted, "" if nothing is
    known to prevent it. `cost` is None if nobody asked for it, or it is unknown.
    """

    workspace: Workspace
    endpoint: str
    kind: EndpointKind
    deployment: str
    state: State
    model: str
    instance_type: str
    instance_count: int
    is_ours: bool
    since: datetime | None = None
    is_due: bool = False
    trouble: str = ""
    cost: Cost | None = None

    @property
    def id(self) -> str:
        """Its name in the watch: one for every spelling."""
        return orphan_id(self.endpoint, self.deployment)

    @property
    def is_deletable(self) -> bool:
        """Whether it is Signalbox's to delete, and nothing is being done to it."""
        return self.is_ours and self.state in (State.SUCCEEDED, State.FAILED)


def orphan_id(endpoint: str, deployment: str) -> str:
    """Return the name of a deployment in the watch over its workspace."""
    return f"{endpoint}/{deployment}".lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The watch's memory of a deployment that had no traffic at each look since then.

    `deleting_at` is when its deletion was last tried, `tries` is how often, and `line` describes it
    in the message that it is gone.
    """

    id: str
    since: datetime
    deleting_at: datetime | None = None
    tries: int = 0
    line: str = ""
    trouble: str = ""

    @property
    def is_leaving(self) -> bool:
        """Whether its deletion was tried and has neither succeeded nor failed yet."""
        return self.deleting_at is not None and not self.trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The watch over one workspace, as it is kept. `told` are the ids of the last report."""

    due_at: datetime
    looked_at: datetime | None = None
    sightings: tuple[Sighting, ...] = ()
    told: tuple[str, ...] = ()
    told_at: datetime | None = None
    notices: tuple[Notice, ...] = ()

    def known(self, now: datetime) -> Mapping[str, Sighting]:
        """Return the sightings that still count, by the deployment's name."""
        if self.looked_at is None or now - self.looked_at > _GAP_MAX:
            return {}
        return {sighting.id: sighting for sighting in self.sightings}
