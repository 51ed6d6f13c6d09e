"""The watch over orphans: a look at each workspace once a day, and a row that remembers it.

A deletion is written into the row first, and told when the workspace no longer has the deployment.
So a crash in between loses neither the deletion nor the message.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from shared.base.clock import Clock
from shared.base.documents import Documents, JsonForm, Kept
from shared.base.errors import (
    SignalboxError,
    WorkspaceBusy,
    WorkspaceThrottled,
    WorkspaceUnreachable,
    failure_of,
)
from shared.base.ids import digest
from shared.base.ports import RowChanged, Tables
from shared.base.redact import redact
from shared.base.words import flat
from shared.events.model import Workspace
from shared.messages.outbox import Outbox
from shared.orphans.model import Orphan, Sighting, Watch, orphan_id
from shared.orphans.rules import (
    AGAIN,
    EVERY,
    cost_of,
    idle_in,
    is_report_due,
    kept_by,
    looked,
    to_delete,
    to_tell,
    with_ages,
    with_deletions,
    with_gone,
    with_report,
)
from shared.orphans.schema import Orphans
from shared.rollouts.engine.apply import model_of
from shared.rollouts.engine.store import RolloutStore
from shared.rollouts.state.phases import EXCLUSIVE
from shared.rollouts.state.rollout import endpoint_key
from shared.rollouts.state.tags import TAG_ROLLOUT
from shared.workspaces.model import Capacity, Deployment, Endpoint, EndpointKind
from shared.workspaces.ports import Workspaces

log = logging.getLogger(__name__)

TABLE = "SignalboxOrphans"

_FORM = JsonForm(Watch, lambda watch: {"due_at": watch.due_at, "untold": bool(watch.notices)})
_NAME_MAX = 100
_TROUBLE_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanWatch:
    """Finds the orphans of the workspaces, reports them and, if the rules say so, deletes them."""

    tables: Tables
    workspaces: Workspaces
    rollouts: RolloutStore
    outbox: Outbox
    clock: Clock
    watched: tuple[Workspace, ...]
    rules: Orphans

    @property
    def _watches(self) -> Documents[Watch]:
        return Documents(self.tables, TABLE, _FORM)

    def chores(self) -> Iterator[Callable[[], None]]:
        """Yield the chores of one sweep; each is done even if another fails."""
        for workspace in self.watched:
            yield partial(self._look_if_due, workspace)
        yield self._tell_untold

    def find(self, workspace: Workspace) -> tuple[Orphan, ...]:
        """Return the deployments without traffic now, due or not, with the cost of each.

        This takes one request, one more for each endpoint, and two for each type of instance.

        Raises: StorageUnavailable, and WorkspaceError.
        """
        idle, _ = self._read(workspace)
        aged = with_ages(idle, self._get(workspace).value, self.rules.after, self.clock.now())
        return self._with_costs(workspace, aged)

    def forget(self, before: datetime) -> None:
        """Delete the rows of workspaces whose next look was due before then and never came.

        Raises: StorageUnavailable.
        """
        for kept in self._watches.find(before=("due_at", before)):
            self._watches.remove(kept)

    def _look_if_due(self, workspace: Workspace) -> None:
        found = self._get(workspace)
        now = self.clock.now()
        if found.value.due_at > now:
            return
        with suppress(RowChanged):  # another sweep looks at it
            claimed = self._save(found, replace(found.value, due_at=now + AGAIN))
            self._look(workspace, claimed, now)

    def _look(self, workspace: Workspace, kept: Kept[Watch], now: datetime) -> None:
        idle, present = self._read(workspace)
        watch, gone = looked(kept.value, idle, present, now)
        watch = with_gone(watch, workspace, gone, self.rules.notify)
        aged = with_ages(idle, watch, self.rules.after, now)
        if self.rules.delete and (chosen := to_delete(aged, watch, now)):
            watch = with_deletions(watch, chosen, now)
            kept = self._save(kept, watch)
            watch = self._with_deleted(workspace, watch, chosen)
            aged = with_ages(idle, watch, self.rules.after, now)
        orphans = to_tell(aged, self.rules)
        if is_report_due(watch, orphans, now):
            orphans = self._with_costs(workspace, orphans)
            # The message about the deleted ones says already that the last one is gone.
            channels = self.rules.notify if orphans or not gone else ()
            watch = with_report(watch, workspace, orphans, channels, now)
        is_open = any(item.is_leaving or item.deleting_at == now for item in watch.sightings)
        watch = replace(watch, due_at=now + (AGAIN if is_open else EVERY))
        self._save(kept, watch)

    def _tell_untold(self) -> None:
        """Send the messages; the next sweep tries those again that channels did not take."""
        for kept in self._watches.find(equals={"untold": True}):
            left = self.outbox.send(kept.value.notices).left
            with suppress(RowChanged):
                self._save(kept, replace(kept.value, notices=left))

    def _read(self, workspace: Workspace) -> tuple[tuple[Orphan, ...], frozenset[str]]:
        """Return the deployments without traffic, and the names of all: 1 request + endpoints."""
        kept: dict[str, frozenset[str]] = {}
        for item in self.rollouts.open():
            place = item.value.partition
            kept[place] = kept.get(place, frozenset()) | kept_by(item.value)
        idle: list[Orphan] = []
        present: set[str] = set()
        for endpoint in self.workspaces.list_endpoints(workspace):
            found = self.workspaces.list_deployments(workspace, endpoint.name, kind=endpoint.kind)
            present |= {orphan_id(endpoint.name, item.name) for item in found}
            names = kept.get(endpoint_key(workspace, endpoint.name), frozenset())
            idle += [_orphan(workspace, endpoint, item) for item in idle_in(endpoint, found, names)]
        return tuple(idle), frozenset(present)

    def _with_deleted(self, workspace: Workspace, watch: Watch, chosen: Iterable[Orphan]) -> Watch:
        """Start the deletions; return the watch with their results."""
        sightings = {item.id: item for item in watch.sightings}
        for orphan in chosen:
            sightings[orphan.id] = self._delete(workspace, orphan, sightings[orphan.id])
        return replace(watch, sightings=tuple(sightings.values()))

    def _delete(self, workspace: Workspace, orphan: Orphan, sighting: Sighting) -> Sighting:
        let_be = replace(sighting, deleting_at=None, tries=sighting.tries - 1)
        try:
            if not self._is_still_idle(workspace, orphan):
                return let_be
        except SignalboxError as error:
            log.warning("orphan %s can't be read: %s", orphan.id, failure_of(error).reason)
            return let_be
        try:
            self.workspaces.delete_deployment(
                workspace, orphan.endpoint, orphan.deployment, kind=orphan.kind
            )
        except (WorkspaceBusy, WorkspaceThrottled):
            return let_be
        except WorkspaceUnreachable:
            return sighting  # the deletion may have begun; the next look shows it
        except SignalboxError as error:
            failure = failure_of(error)
            trouble = redact(f"{failure.code}: {failure.reason}", most=_TROUBLE_MAX)
            log.warning("orphan %s is not deleted: %s", orphan.id, trouble)
            return replace(sighting, trouble=trouble)
        log.info("orphan %s is being deleted", orphan.id)
        return sighting

    def _is_still_idle(self, workspace: Workspace, orphan: Orphan) -> bool:
        """Read the endpoint once more, and last of all whether a rollout has it.

        Deleting is not conditional, so after this only the service can refuse it.
        """
        endpoint = self.workspaces.get_endpoint(workspace, orphan.endpoint, kind=orphan.kind)
        if endpoint is None or not endpoint.state.is_settled:
            return False
        found = self.workspaces.list_deployments(workspace, orphan.endpoint, kind=orphan.kind)
        kept: set[str] = set()
        for item in self.rollouts.open(endpoint_key(workspace, orphan.endpoint)):
            if item.value.phase in EXCLUSIVE:
                return False
            kept |= kept_by(item.value)
        idle = (_orphan(workspace, endpoint, item) for item in idle_in(endpoint, found, kept))
        return any(item.id == orphan.id and item.is_deletable for item in idle)

    def _with_costs(self, workspace: Workspace, orphans: tuple[Orphan, ...]) -> tuple[Orphan, ...]:
        types = {
            orphan.instance_type.lower(): orphan.instance_type
            for orphan in orphans
            if orphan.kind is EndpointKind.MANAGED and orphan.instance_type
        }
        sizes = {key: self._find_capacity(workspace, name) for key, name in types.items()}
        return tuple(
            replace(
                orphan,
                cost=cost_of(sizes.get(orphan.instance_type.lower()), orphan.instance_count)
                if orphan.kind is EndpointKind.MANAGED
                else None,
            )
            for orphan in orphans
        )

    def _find_capacity(self, workspace: Workspace, instance_type: str) -> Capacity | None:
        """Return the size of an instance type, or None: an unreadable size must stop no report."""
        try:
            return self.workspaces.find_capacity(workspace, instance_type)
        except SignalboxError as error:
            log.warning("size %s can't be read: %s", instance_type, failure_of(error).reason)
            return None

    def _get(self, workspace: Workspace) -> Kept[Watch]:
        """Return the watch over a workspace: a new one, due now, where there is no row."""
        key = digest(workspace.key)[:32]
        at = (key, key)
        return self._watches.get(at) or Kept(at=at, value=Watch(due_at=self.clock.now()))

    def _save(self, kept: Kept[Watch], watch: Watch) -> Kept[Watch]:
        return self._watches.save(kept.at, watch, kept.etag)


def _orphan(workspace: Workspace, endpoint: Endpoint, found: Deployment) -> Orphan:
    model = flat(" ".join(model_of(found)))
    return Orphan(
        workspace=workspace,
        endpoint=endpoint.name,
        kind=endpoint.kind,
        deployment=found.name,
        state=found.state,
        model=redact(model, most=_NAME_MAX),
        instance_type=found.instance_type,
        instance_count=found.instance_count,
        is_ours=bool(found.tags.get(TAG_ROLLOUT)),
    )
