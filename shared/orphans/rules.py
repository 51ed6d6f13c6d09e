"""Orphans are deployments without traffic that no rollout works on or keeps. Pure.

The service does not say since when a deployment has had no traffic. The watch over a workspace
does: it looks once a day, and remembers when it first saw each one so.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from shared.events.model import Workspace
from shared.messages.notice import notices_to
from shared.orphans.model import Cost, CostClass, Orphan, Sighting, Watch
from shared.orphans.notices import describe_orphan, text_of_deleted, text_of_report
from shared.orphans.schema import Orphans
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import share
from shared.workspaces.model import Capacity, Deployment, Endpoint, State

#: Between two looks at a workspace.
EVERY = timedelta(days=1)
#: After a look that failed, and to see whether a deletion succeeded.
AGAIN = timedelta(hours=1)
_REMIND_AFTER = timedelta(days=7)

_STILL_THERE = "it was to be deleted, and is still there"

#: Families of virtual machines with GPUs, or FPGAs: NC, ND, NV and others.
_N_SERIES = re.compile(r"(?:standard)?[\s_]*N[A-Z]", re.IGNORECASE)
_SMALL, _MEDIUM, _LARGE = 4, 16, 64


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
    """Return the watch after a look, and the sightings whose deployments were deleted and are gone.

    `present` names every deployment of the workspace.
    """
    known = watch.known(now)
    sightings = []
    for orphan in idle:
        sighting = known.get(orphan.id) or Sighting(id=orphan.id, since=now)
        # One try is not enough: the app may have been killed before it sent the request.
        if sighting.is_leaving and sighting.tries > 1 and orphan.state.is_settled:
            sighting = replace(sighting, trouble=_STILL_THERE)
        sightings.append(sighting)
    gone = tuple(item for item in watch.sightings if item.deleting_at and item.id not in present)
    return replace(watch, looked_at=now, sightings=tuple(sightings)), gone


def with_ages(
    idle: Iterable[Orphan], watch: Watch, after: timedelta, now: datetime
) -> tuple[Orphan, ...]:
    """Return the deployments with the age and trouble that the watch knows, the oldest first."""
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
    """Return the orphans to start deleting now: the oldest of each endpoint.

    The service does one thing at a time to an endpoint. An orphan that could not be deleted is
    tried again a day later.
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
    lines = {orphan.id: describe_orphan(orphan) for orphan in chosen}
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
    """Return the orphans to tell people about, without those that are deleted instead."""
    return tuple(
        orphan
        for orphan in orphans
        if orphan.is_due
        and orphan.state is not State.DELETING
        and (orphan.trouble or not (rules.delete and orphan.is_deletable))
    )


def is_report_due(watch: Watch, orphans: Iterable[Orphan], now: datetime) -> bool:
    """Return whether the orphans differ from the last report, or that report is a week old."""
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
    """Return the watch with the message that reports these orphans."""
    ids = _ids(orphans)
    text = text_of_report(workspace, orphans, is_reminder=ids == watch.told)
    return replace(watch, told=ids, told_at=now, notices=watch.notices + notices_to(channels, text))


def with_gone(
    watch: Watch, workspace: Workspace, gone: tuple[Sighting, ...], channels: Iterable[str]
) -> Watch:
    """Return the watch with the message about the deleted orphans, if there are any."""
    if not gone:
        return watch
    notices = notices_to(channels, text_of_deleted(workspace, gone))
    return replace(watch, notices=watch.notices + notices)


def cost_of(capacity: Capacity | None, instances: int) -> Cost | None:
    """Return the cost of `instances` each hour, or None if it is unknown."""
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


def _ids(orphans: Iterable[Orphan]) -> tuple[str, ...]:
    return tuple(sorted(orphan.id for orphan in orphans))
