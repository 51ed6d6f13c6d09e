"""Follows launches: events of their runs, and looks at their targets, bring them to their end."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.base.clock import Clock
from shared.base.documents import Kept
from shared.base.errors import BudgetFull, SignalboxError, failure_of
from shared.base.ids import parse_reference
from shared.base.ports import RowChanged
from shared.base.redact import redact
from shared.events.model import Event, RunCompleted, RunStatusChanged
from shared.events.runs import has_ended
from shared.journal.records import Records
from shared.launches.model import Launch, LaunchStatus
from shared.launches.store import LaunchStore
from shared.messages.outbox import Outbox
from shared.retraining.budget import Budget, give_back, take
from shared.retraining.model import PolicyAnswer
from shared.retraining.store import LoopStore
from shared.retraining.targets import (
    LOOK_EVERY,
    REFERENCE,
    Submission,
    Submitted,
    Target,
    TargetParams,
    TargetRun,
    TargetStatus,
    is_own_run,
)

log = logging.getLogger(__name__)

#: How long the worker that saved the end has it to itself; after that the sweep settles it.
_SETTLING = timedelta(minutes=1)
#: The wait for a place among the runs that a reaction may have.
_PLACE_WAIT = timedelta(minutes=10)
_REASON_MAX = 1000
_ENDS = {
    TargetStatus.SUCCEEDED: LaunchStatus.COMPLETED,
    TargetStatus.FAILED: LaunchStatus.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchLimits:
    """The most runs that a reaction may have at once; one counts as ended after `timeout`."""

    at_once: int
    timeout: timedelta
    per_week: int = 1_000_000  #: No limit: the reaction's own `limit` counts starts.


@dataclass(frozen=True, slots=True, kw_only=True)
class Launches:
    """Begins launches, and follows them until they have ended.

    `places` keeps how many runs a reaction has, those of retrainings included.
    """

    store: LaunchStore
    places: LoopStore
    records: Records
    outbox: Outbox
    clock: Clock
    target: Callable[[str], Target[Any]]

    def begin(self, launch: Launch, known: Kept[Launch] | None, at_once: int) -> Kept[Launch]:
        """Save that a launch is to be started, with a place among the runs of its reaction.

        Raises: BudgetFull, and RowChanged where another worker begins it.
        """
        limits = LaunchLimits(at_once=at_once, timeout=launch.timeout)

        def take_place(budget: Budget) -> Budget:
            taken = take(budget, launch.id, self.clock.now(), limits)
            if isinstance(taken, PolicyAnswer):
                raise BudgetFull(
                    f"{at_once} of the reaction's runs have not ended, as many as `at_once` allows",
                    retry_after=_PLACE_WAIT,
                )
            return taken

        self.places.change_budget(launch.reaction, take_place)
        if known is not None and known.value.status is LaunchStatus.STARTING:
            return known
        again = launch if known is None else known.value.at(LaunchStatus.STARTING, launch.begun_at)
        return self.store.save(again, known.etag if known is not None else "")

    def refused(self, launch: Launch) -> None:
        """Note that the target refused a launch; its letter tells people."""

        def refuse(found: Launch | None) -> Launch | None:
            if found is None or not found.may_be_started:
                return None
            return found.at(LaunchStatus.REFUSED, self.clock.now())

        self.store.change(launch.partition, launch.id, refuse)
        self._leave(launch)

    def started(self, launch: Launch, submitted: Submitted, *, is_followed: bool) -> Launch:
        """Note that the target has taken a launch; return it as it is then."""
        status = LaunchStatus.RUNNING if is_followed else LaunchStatus.DELIVERED

        def start(found: Launch | None) -> Launch | None:
            if found is None:
                return None
            named = replace(
                found,
                run_id=submitted.run_id or found.run_id,
                link=submitted.link or found.link,
            )
            # Its run may have ended before this was noted.
            return named.at(status, self.clock.now()) if found.may_be_started else named

        kept = self.store.change(launch.partition, launch.id, start).after
        assert kept is not None  # `begin` wrote it
        self.settle(kept)
        return kept.value

    def settle(self, kept: Kept[Launch]) -> None:
        """Do what the end of a launch leaves to do: record it, free its place, tell people."""
        launch = kept.value
        if launch.is_over:
            self._leave(launch)
        if not (launch.is_unsettled or launch.notices):
            return
        self.records.add(launch.ref, {launch.step: launch.outcome}, delivery=False)
        unsent = self.outbox.send(launch.notices, given_up=launch.given_up)
        done = replace(launch, is_unsettled=False, notices=unsent.left, given_up=unsent.given_up)
        with suppress(RowChanged):
            self.store.save(done, kept.etag)

    def _leave(self, launch: Launch) -> None:
        self.places.change_budget(launch.reaction, partial(give_back, retraining_id=launch.id))

    def follow(self, event: Event) -> None:
        """Note the end of a launch's run; any other event costs no request.

        Raises: StorageUnavailable.
        """
        if not isinstance(event, RunCompleted | RunStatusChanged):
            return
        status = "Completed" if isinstance(event, RunCompleted) else event.run.status
        ids = parse_reference(event.run.tags.get(REFERENCE, ""))
        if ids is None or not has_ended(status):
            return
        is_good = status == "Completed"
        reason = "" if is_good else f"run {event.run.id} is {status}"

        def end(found: Launch | None) -> Launch | None:
            if found is None or not _is_its_own(found, event):
                return None
            known = replace(found, run_id=found.run_id or event.run.id)
            return self._end(known, is_good=is_good, reason=reason)

        self._change(ids[0][:16], ids[1], end)

    def _change(
        self, partition: str, launch_id: str, change: Callable[[Launch | None], Launch | None]
    ) -> None:
        changed = self.store.change(partition, launch_id, change)
        if changed.saved is not None:
            self.settle(changed.saved)

    def _end(self, launch: Launch, *, is_good: bool, reason: str) -> Launch | None:
        """Return the launch with its end; None if that is known."""
        is_back = is_good and launch.status is LaunchStatus.FAILED  # it had counted as lost
        if launch.is_over and not is_back:
            return None
        status = LaunchStatus.COMPLETED if is_good else LaunchStatus.FAILED
        return launch.ended(status, self.clock.now(), redact(reason, most=_REASON_MAX))

    def chores(self) -> Iterator[Callable[[], None]]:
        """Yield the chores of a sweep: launches to settle, to look at, or to give up."""
        for kept in self.store.open():
            yield partial(self._look_after, kept)

    def _look_after(self, kept: Kept[Launch]) -> None:
        launch, now = kept.value, self.clock.now()
        if launch.status is not LaunchStatus.RUNNING:
            if now - launch.changed_at >= _SETTLING:
                self.settle(kept)
            return
        is_late = now - launch.changed_at > launch.timeout
        if not is_late and now - (launch.looked_at or launch.changed_at) < LOOK_EVERY:
            return
        found = self._look(launch)
        if found.status not in _ENDS and is_late:
            hours = launch.timeout.total_seconds() / 3600
            late = f"it is not known to have ended within {hours:g} hours"
            found = TargetRun(status=TargetStatus.FAILED, reason=late)

        def look(known: Launch | None) -> Launch | None:
            if known is None or known.status is not LaunchStatus.RUNNING:
                return None
            seen = replace(known, looked_at=now)
            if found.status not in _ENDS:
                return seen
            is_good = found.status is TargetStatus.SUCCEEDED
            return self._end(seen, is_good=is_good, reason=found.reason)

        self._change(launch.partition, launch.id, look)

    def _look(self, launch: Launch) -> TargetRun:
        """Ask the target for the status of a run: an event may be lost, and some send none."""
        params = TargetParams.model_validate_json(launch.target)
        submission = Submission(
            id=launch.id,
            reference=launch.reference,
            workspace=launch.workspace,
            since=launch.begun_at,
            is_first=False,
        )
        try:
            return self.target(params.kind).look(params.value, submission, launch.run_id)
        except SignalboxError as error:
            reason = failure_of(error).reason
            log.warning("run can't be looked at: %s", reason, extra={"launch": launch.id})
            return TargetRun(status=TargetStatus.UNKNOWN)

    def old(self, before: datetime) -> Iterator[Callable[[], object]]:
        """Yield what deletes the launches of which nothing more has come since then."""
        for kept in self.store.old(before):
            yield partial(self.store.remove, kept)


def _is_its_own(launch: Launch, event: RunCompleted | RunStatusChanged) -> bool:
    """Say whether an event is of the run of a launch."""
    is_there = event.workspace.key == launch.workspace.key
    return is_there and is_own_run(
        event.run.id, kind=launch.kind, submission_id=launch.id, known=launch.run_id
    )
