"""Orphans: deployments that nothing is sent to, and that no rollout works on or keeps.

The service does not say since when a deployment has had no traffic. The watch over a workspace
does: it looks once a day, and remembers when it first saw each one so.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.base.words import bullets, minute, shortened
from shared.events.model import Workspace
from shared.messages.notice import Notice, Text, notices_to
from shared.orphans.schema import Orphans
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import share
from shared.workspaces.model import Capacity, Deployment, Endpoint, EndpointKind, State

#: Between two looks at a workspace.
EVERY = timedelta(days=1)
#: After a look that failed, and to see what came of a deletion.
AGAIN = timedelta(hours=1)
#: What was not looked at for longer is not known to have had no traffic.
_GAP_MAX = timedelta(days=3)
_REMIND_AFTER = timedelta(days=7)

_LISTED_MAX = 20
_TEXT_MAX = 4000
_STILL_THERE = "it was to be deleted, and is still there"

#: Families of virtual machines with GPUs, or FPGAs: NC, ND, NV and others.
_N_SERIES = re.compile(r"(?:standard)?[\s_]*N[A-Z]", re.IGNORECASE)
_SMALL, _MEDIUM, _LARGE = 4, 16, 64


class CostClass(StrEnum):
    """How much a deployment costs, without a price."""

    SMALL = "small"  #: At most 4 cores.
    MEDIUM = "medium"  #: At most 16.
    LARGE = "large"  #: At most 64.
    HUGE = "huge"
    GPU = "gpu"  #: Of an N-series, however many cores.


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a deployment costs each hour: the cores of all its instances."""

    size: CostClass
    cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A deployment without traffic, as the workspace has it now.

    `since` is when it was first seen so, None where that is now. `is_due` says whether that is
    long enough ago for it to be an orphan. `trouble` is why it could not be deleted, "" if nothing
    is known to be in the way. `cost` is None where it was not asked for, or is not known.
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
        """What the watch calls it: one name for every spelling."""
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
    """What the watch remembers of a deployment that had no traffic at each look since then.

    `deleting_at` is when it was last to be deleted, `tries` how often it was, `line` what is told
    of it when it is gone.
    """

    id: str
    since: datetime
    deleting_at: datetime | None = None
    tries: int = 0
    line: str = ""
    trouble: str = ""

    @property
    def is_leaving(self) -> bool:
        """Whether it is still to be seen what came of its deletion."""
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


def kept_by(rollout: Rollout) -> frozenset[str]:
    """Return the deployments, in lower case, that a rollout works on, keeps or may go back to."""
    if rollout.phase.is_terminal:
        return frozenset()
    splits = (
        rollout.traffic.origin,
        rollout.traffic.goal,
        rollout.traffic.split,
        rollout.traffic.mirror,
    )
    names = {rollout.deployment, rollout.stable, *(name for split in splits for name in split)}
    return frozenset(name.lower() for name in names)


def idle_in(
    endpoint: Endpoint, deployments: Iterable[Deployment], kept: Collection[str]
) -> tuple[Deployment, ...]:
    """Return the deployments with neither live nor mirrored traffic, but for those in `kept`."""
    return tuple(
        found
        for found in deployments
        if found.name.lower() not in kept
        and not share(endpoint.traffic, found.name)
        and not share(endpoint.mirror, found.name)
    )


def looked(
    watch: Watch, idle: Iterable[Orphan], present: Collection[str], now: datetime
) -> tuple[Watch, tuple[Sighting, ...]]:
    """Return the watch after a look, and those that were to be deleted and are gone.

    `present` names every deployment of the workspace.
    """
    known = watch.known(now)
    sightings = []
    for orphan in idle:
        sighting = known.get(orphan.id) or Sighting(id=orphan.id, since=now)
        # Once it may be that the app was killed before it sent the request.
        if sighting.is_leaving and sighting.tries > 1 and orphan.state.is_settled:
            sighting = replace(sighting, trouble=_STILL_THERE)
        sightings.append(sighting)
    gone = tuple(item for item in watch.sightings if item.deleting_at and item.id not in present)
    return replace(watch, looked_at=now, sightings=tuple(sightings)), gone


def with_ages(
    idle: Iterable[Orphan], watch: Watch, after: timedelta, now: datetime
) -> tuple[Orphan, ...]:
    """Return the deployments with what the watch knows of each, the oldest first."""
    known = watch.known(now)
    aged = []
    for orphan in idle:
        sighting = known.get(orphan.id)
        if sighting is not None:
            is_due = now - sighting.since >= after
            orphan = replace(orphan, since=sighting.since, is_due=is_due, trouble=sighting.trouble)
        aged.append(orphan)
    return tuple(sorted(aged, key=lambda orphan: (orphan.since or now, orphan.id)))


def to_delete(orphans: Iterable[Orphan], watch: Watch, now: datetime) -> tuple[Orphan, ...]:
    """Return the orphans whose deletion is to be started: one of each endpoint, the oldest.

    The service does one thing at a time to an endpoint. One that could not be deleted is tried
    again a day later.
    """
    known = watch.known(now)
    chosen: dict[str, Orphan] = {}
    for orphan in orphans:
        sighting = known[orphan.id]
        tried_at = sighting.deleting_at
        may_try = tried_at is None or sighting.is_leaving or now - tried_at >= EVERY
        if orphan.is_due and orphan.is_deletable and may_try:
            chosen.setdefault(orphan.endpoint.lower(), orphan)
    return tuple(chosen.values())


def with_deletions(watch: Watch, chosen: Iterable[Orphan], now: datetime) -> Watch:
    """Return the watch that remembers that these are being deleted."""
    lines = {orphan.id: _described(orphan) for orphan in chosen}
    return replace(
        watch,
        sightings=tuple(
            replace(item, deleting_at=now, tries=item.tries + 1, line=lines[item.id])
            if item.id in lines
            else item
            for item in watch.sightings
        ),
    )


def to_tell(orphans: Iterable[Orphan], rules: Orphans) -> tuple[Orphan, ...]:
    """Return the orphans that people are told of: not those that are deleted instead."""
    return tuple(
        orphan
        for orphan in orphans
        if orphan.is_due
        and orphan.state is not State.DELETING
        and (orphan.trouble or not (rules.delete and orphan.is_deletable))
    )


def is_report_due(watch: Watch, orphans: Iterable[Orphan], now: datetime) -> bool:
    """Say whether the orphans are others than those told last, or that was long ago."""
    ids = _ids(orphans)
    if ids != watch.told:
        return True
    return bool(ids) and (watch.told_at is None or now - watch.told_at >= _REMIND_AFTER)


def with_report(
    watch: Watch,
    workspace: Workspace,
    orphans: tuple[Orphan, ...],
    channels: Iterable[str],
    now: datetime,
) -> Watch:
    """Return the watch with the message that tells of these orphans, to each channel."""
    ids = _ids(orphans)
    if orphans:
        still = " still" if ids == watch.told else ""
        title = f"{_counted(orphans)}{still} in {workspace.name}"
        lines = [
            f"Workspace: {workspace.name}",
            "To see all: signalbox endpoints orphans",
            "They get no traffic, and no rollout needs them:",
            *bullets([_line(orphan) for orphan in orphans], _LISTED_MAX),
        ]
    else:
        title = f"No orphan deployments need a look in {workspace.name}"
        lines = [f"Workspace: {workspace.name}"]
    notices = _notices(channels, title, lines, good=None if orphans else True)
    return replace(watch, told=ids, told_at=now, notices=watch.notices + notices)


def with_gone(
    watch: Watch, workspace: Workspace, gone: tuple[Sighting, ...], channels: Iterable[str]
) -> Watch:
    """Return the watch with the message that tells what was deleted, to each channel."""
    if not gone:
        return watch
    title = f"{_counted(gone)} deleted in {workspace.name}"
    lines = [f"Workspace: {workspace.name}", *bullets([item.line for item in gone], _LISTED_MAX)]
    notices = _notices(channels, title, lines, good=None)
    return replace(watch, notices=watch.notices + notices)


def cost_of(capacity: Capacity | None, instances: int) -> Cost | None:
    """Return what so many instances cost each hour; None where that is not known."""
    cores = capacity.cores * instances if capacity is not None else 0
    if capacity is None or cores <= 0:
        return None
    return Cost(size=_size_of(capacity.family, cores), cores=cores)


def _size_of(family: str, cores: int) -> CostClass:
    if _N_SERIES.match(family):
        return CostClass.GPU
    if cores <= _SMALL:
        return CostClass.SMALL
    if cores <= _MEDIUM:
        return CostClass.MEDIUM
    return CostClass.LARGE if cores <= _LARGE else CostClass.HUGE


def cost_words(orphan: Orphan) -> str:
    """Say what an orphan costs, in words that need no price."""
    if orphan.kind is EndpointKind.KUBERNETES:
        return "a share of its cluster"
    if orphan.cost is None:
        return "cost unknown"
    return f"{orphan.cost.size}, {orphan.cost.cores} core-hours each hour"


def instance_words(orphan: Orphan) -> str:
    """Say how many instances an orphan has, and of which type."""
    return f"{orphan.instance_type or 'type unknown'} x {orphan.instance_count}"


def _ids(orphans: Iterable[Orphan]) -> tuple[str, ...]:
    return tuple(sorted(orphan.id for orphan in orphans))


def _counted(found: Collection[object]) -> str:
    return "1 orphan deployment" if len(found) == 1 else f"{len(found)} orphan deployments"


def _described(orphan: Orphan) -> str:
    since = f", since {minute(orphan.since)}" if orphan.since else ""
    return (
        f"{orphan.endpoint}/{orphan.deployment}: {orphan.model or 'model unknown'}, "
        f"{instance_words(orphan)}{since}"
    )


def _line(orphan: Orphan) -> str:
    state = "" if orphan.state is State.SUCCEEDED else f", {orphan.state}"
    trouble = f"; not deleted: {orphan.trouble}" if orphan.trouble else ""
    return f"{_described(orphan)}{state}, {cost_words(orphan)}{trouble}"


def _notices(
    channels: Iterable[str], title: str, lines: list[str], *, good: bool | None
) -> tuple[Notice, ...]:
    body = shortened("\n".join(lines), _TEXT_MAX)
    return notices_to(channels, Text(title=title, body=body, good=good))
