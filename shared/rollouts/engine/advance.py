"""Advance a rollout by one tick: load, work, save, tell, send the next tick.

A waiting rollout is a row and a delayed message; nothing runs for it. The row is written before
anything is done, so that of two ticks one works, and once more after it. A lost message is sent
again by the sweep; a doubled or late one names another tick than the row waits for.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.documents import Kept
from shared.base.errors import NotBetter, OrderImpossible, StorageContended
from shared.base.ports import Queues, RowChanged
from shared.base.retry import backoff
from shared.base.wakeups import GRACE, handed_out_to, read_wakeup, write_wakeup
from shared.events.model import Workspace
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.journal.records import Records
from shared.messages.outbox import Outbox
from shared.rollouts.engine.announcing import phases_changed
from shared.rollouts.engine.row_lease import RowLease
from shared.rollouts.engine.store import RolloutStore
from shared.rollouts.people.notices import call_for_help, studio_link
from shared.rollouts.state.orders import POSSIBLE, Order, OrderKind
from shared.rollouts.state.phases import EXCLUSIVE, UNDECIDED, Phase
from shared.rollouts.state.rollout import TOO_LATE, Cause, Rollout
from shared.rollouts.state.splits import share

if TYPE_CHECKING:
    from shared.journal.announcements import Announcer
    from shared.rollouts.engine.tick import Tick

log = logging.getLogger(__name__)

QUEUE = "rollouts"
#: The names in a message.
_IN_MESSAGE = (("endpoint", "rollout"), "tick")
#: Ticks in a row that were cut off, after which the next one waits for _PUT_OFF. The Functions host
#: gives up when its worker dies three times with no half hour in between.
_CUT_OFF_MAX = 2
_PUT_OFF = timedelta(minutes=31)

#: The most claims of orders that a rollout remembers.
_HEARD_MAX = 20

_NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """Starts rollouts, advances them, and takes the orders of people and reactions.

    `tick` is called for what only ticks need: an event that starts a rollout does not pay for it.
    `follow` is called when the rollout of a retraining's model has come to another phase;
    it may be called again after a crash.
    """

    store: RolloutStore
    queues: Queues
    tick: "Callable[[], Tick]"
    outbox: Outbox
    records: Records
    clock: Clock
    lease: timedelta
    retry_base: timedelta
    studio: str
    follow: Callable[[Rollout], None]
    announcer: "Announcer | None" = None

    def start(self, rollout: Rollout) -> Rollout:
        """Add the rollout and send its first tick; after a crash, return the one that is there."""
        self._announce(None, rollout)
        kept = self.store.add(replace(rollout, link=studio_link(rollout, self.studio)))
        if kept.value.schedule.tick == 0:
            self.wake(kept.value)
        return kept.value

    def has_begun(self, rollout: Rollout) -> bool:
        """Return whether this rollout was started before."""
        return self.store.get(rollout.partition, rollout.id) is not None

    def find_undecided(self, rollout: Rollout) -> Rollout | None:
        """Return another rollout on its endpoint that may yet change what serves, or None."""
        others = (kept.value for kept in self.store.open(rollout.partition))
        return next(
            (other for other in others if other.id != rollout.id and other.phase in UNDECIDED),
            None,
        )

    def find_of_model(self, workspace: Workspace, model: str) -> str:
        """Name a rollout of a model that may yet change what serves; "" where there is none."""
        for kept in self.store.open():
            rollout = kept.value
            is_there = rollout.workspace.key == workspace.key
            if is_there and rollout.model.name == model and rollout.phase in UNDECIDED:
                return f"{rollout.id[:8]} of {model} {rollout.model.version}"
        return ""

    def wake(self, rollout: Rollout, *, delay: timedelta | None = None) -> None:
        """Send the message for the tick that the rollout waits for."""
        wait = max(rollout.schedule.due_at - self.clock.now() if delay is None else delay, _NO_TIME)
        ids = {"endpoint": rollout.partition, "rollout": rollout.id}
        message = write_wakeup(ids, ("tick", rollout.schedule.tick), self.clock.now() + wait)
        self.queues.send(QUEUE, message, delay=wait)

    def overdue(self) -> Iterator[Kept[Rollout]]:
        """Yield the rollouts whose message must have been lost. A message in the queue is not."""
        handed_out = handed_out_to(self.queues, QUEUE, *_IN_MESSAGE, self.clock.now())
        return self.store.overdue(handed_out - GRACE)

    def resend(self, kept: Kept[Rollout]) -> None:
        """Send the message of a tick again, and save when, unless the row has changed."""
        due = kept.value.due(self.clock.now())
        with suppress(RowChanged):
            self.store.save(due, etag=kept.etag)
            self.wake(due)

    def order(self, rollout: Rollout, order: Order, *, key: str = "") -> Rollout:
        """Give a rollout an order, and have it looked at now; return the rollout with it.

        A tick carries it out. A tick that is under way begins no further write before it has seen
        the order. An order with a `key` is given once: a reaction's step may be done again after a
        crash, when the rollout has carried the order out and gone on.

        Raises: OrderImpossible, and StorageUnavailable.
        """

        def add(found: Rollout | None) -> Rollout | None:
            if found is None:
                raise OrderImpossible(f"there is no rollout {rollout.id[:8]} any more")
            if key and key in found.heard:
                return None
            _require_possible(found, order)
            self._require_free(found, order)
            heard = (*found.heard, key)[-_HEARD_MAX:] if key else found.heard
            ordered = replace(found, orders=(*found.orders, order), heard=heard)
            return ordered.due(self.clock.now())

        kept = self.store.change(rollout, add).after
        assert kept is not None  # else `add` has raised
        if kept.value.orders:
            self.wake(kept.value, delay=_NO_TIME)
        return kept.value

    def _require_free(self, rollout: Rollout, order: Order) -> None:
        """Raises: OrderImpossible if another rollout has the endpoint that it would go back on."""
        if order.kind is not OrderKind.ABORT or rollout.phase is not Phase.LIVE:
            return
        holder = self.store.find_holder(rollout)
        if holder is not None and holder.id != rollout.id and holder.phase in UNDECIDED:
            raise OrderImpossible(
                f"rollout {holder.id[:8]} of {holder.model.words} has the endpoint now",
                hint="Abort that one: it goes back to this one, or to what is healthy.",
            )

    def overrule(self, holder: Rollout, newer: Rollout) -> None:
        """Abort an older rollout for a newer one, if that is still possible."""
        order = Order(
            kind=OrderKind.ABORT,
            by=f"rollout {newer.id[:8]}",
            why=f"{newer.model.words} takes its place",
            at=self.clock.now(),
            supersedes=True,
        )
        try:
            self.order(holder, order)
        except (OrderImpossible, StorageContended) as error:
            log.info("not overruled: %s", error.message, extra={"rollout": holder.id})

    def advance(self, message: str, *, redelivered: bool = False) -> None:
        """Do the tick that a message of the queue names, unless it is stale or being done.

        `redelivered` says that the queue handed it out before: its worker may have died
        between saving the row and sending the next message, so that one is sent again.

        A message of another kind is dropped.

        Raises: StorageUnavailable; the tick is then done again.
        """
        wakeup = read_wakeup(message, *_IN_MESSAGE)
        kept = self.store.get(*wakeup.ids.values()) if wakeup is not None else None
        if wakeup is None or kept is None:
            return
        if kept.value.schedule.tick != wakeup.number:
            if redelivered and kept.value.schedule.tick == wakeup.number + 1:
                self._wake_next(kept.value, at_once=bool(kept.value.orders or kept.value.notices))
            return
        now = self.clock.now()
        schedule = kept.value.schedule
        busy_until = schedule.busy_until
        if busy_until is not None and busy_until > now:
            self.wake(kept.value, delay=busy_until - now)
            return
        cut_off = schedule.cut_off + (busy_until is not None)
        mine = replace(schedule, busy_until=now + self.lease, cut_off=cut_off)
        try:
            begun = self.store.save(replace(kept.value, schedule=mine), etag=kept.etag)
        except RowChanged:
            # Another worker has the tick, or an order came in, and its message begins a tick.
            return
        before, lease = begun.value, self._hold(begun)
        with telemetry.span(
            telemetry.SPAN_TICK, parent=before.traceparent, rollout=before.id, phase=before.phase
        ):
            try:
                if before.schedule.is_unsettled:  # the last worker died just after saving
                    self._settle(before)
                if cut_off >= _CUT_OFF_MAX:
                    self._finish(before, _put_off(before, now), lease)
                else:
                    after = self.tick().work(before, lease)
                    whole = replace(after.schedule, cut_off=0)
                    self._finish(before, replace(after, schedule=whole), lease)
            except RowChanged:
                log.warning("tick lost to another worker", extra={"rollout": before.id})
            except Exception:  # else it would count as cut off
                with suppress(Exception):
                    lease.release()
                raise

    def _finish(self, before: Rollout, after: Rollout, lease: RowLease) -> None:
        """Save, settle, tell, and send the next tick: each safe to be done again.

        Nothing is sent before it is saved, and the row stays unsettled until all was sent.
        """
        following = replace(
            after.schedule,
            tick=before.schedule.tick + 1,
            busy_until=None,
            is_unsettled=_is_to_be_settled(before, after),
        )
        after = replace(after, schedule=following)
        saved = lease.save_all(after)
        _count(before, after)
        if saved.schedule.is_unsettled:
            self._settle(saved)
        if saved.schedule.is_unsettled or saved.notices:
            sent = self._tell(saved)
            sent = replace(sent, schedule=replace(sent.schedule, is_unsettled=False))
            if sent != saved:
                saved = lease.save_all(sent)
        # An order that the tick saw may have to wait, as a pause does until the deployment is made.
        is_news = len(saved.orders) > len(after.orders)
        self._wake_next(saved, at_once=is_news or self._waits_in_vain(saved))

    def _hold(self, begun: Kept[Rollout]) -> RowLease:
        return RowLease(self.store, begun, self.clock, self.lease, self._announce)

    def _announce(self, before: Rollout | None, after: Rollout) -> None:
        """Announce the phases that are about to be saved, so that a crash loses none."""
        if self.announcer is not None:
            self.announcer.announce(phases_changed(before, after, self.clock.now()))

    def _tell(self, rollout: Rollout) -> Rollout:
        """Send the rollout's messages; return it with what is left, due in time to try again."""
        unsent = self.outbox.send(rollout.notices, given_up=rollout.given_up)
        due_at = rollout.schedule.due_at
        if unsent.left:
            attempt = max(max(notice.attempts.values()) for notice in unsent.left)
            again = self.clock.now() + backoff(max(attempt, 1), base=self.retry_base)
            due_at = again if rollout.phase.is_terminal else min(again, due_at)
        return replace(rollout, notices=unsent.left, given_up=unsent.given_up).due(due_at)

    def _waits_in_vain(self, rollout: Rollout) -> bool:
        """Return whether the endpoint that a rollout is going to wait for is free.

        The rollout that had it may have let go, and woken this one in vain, during this tick.
        """
        waits = _waits_for_endpoint(rollout) and rollout.schedule.due_at > self.clock.now()
        return waits and self.store.is_free(rollout)

    def _settle(self, rollout: Rollout) -> None:
        """Record the outcome of a saved tick, report it to the retraining, free the endpoint."""
        outcome = _outcome(rollout)
        if outcome is not None:
            self.records.add(rollout.ref, {rollout.reaction_step: outcome}, delivery=False)
        if rollout.retraining:
            self.follow(rollout)
        if rollout.phase not in EXCLUSIVE:
            self._let_go(rollout)

    def _let_go(self, rollout: Rollout) -> None:
        """Free the endpoint, and wake what waits for it: of the queued rollouts, the oldest.

        They may take it as soon as the row of its holder says that the holder has ended. The lock
        goes last, so that they are woken again after a crash before that.
        """
        lock = self.store.find_lock(rollout)
        if lock is None:
            return
        waiting = [
            kept.value
            for kept in self.store.open(rollout.partition)
            if kept.value.id != rollout.id and _waits_for_endpoint(kept.value)
        ]
        queued = [other for other in waiting if other.phase is Phase.QUEUED]
        first = min(queued, key=lambda other: other.created_at, default=None)
        for other in waiting:
            if other is first or other.phase is not Phase.QUEUED:
                self.wake(other, delay=_NO_TIME)
        self.store.unlock(lock)

    def _wake_next(self, rollout: Rollout, *, at_once: bool) -> None:
        """Send the next tick; at once if an order came in that the last tick did not see."""
        if rollout.is_open:
            self.wake(rollout, delay=_NO_TIME if at_once else None)


def _waits_for_endpoint(rollout: Rollout) -> bool:
    return rollout.phase in EXCLUSIVE and not rollout.has_endpoint


def _put_off(rollout: Rollout, now: datetime) -> Rollout:
    """Return a rollout whose ticks were cut off too often, with one more try much later."""
    text = "its last ticks were cut off; the log says what ended the worker"
    after = rollout if rollout.work.alarm == text else call_for_help(rollout, text)
    work = replace(after.work, trouble=text, alarm=text)
    later = replace(after.schedule, due_at=now + _PUT_OFF, cut_off=_CUT_OFF_MAX - 1)
    return replace(after, schedule=later, work=work)


def _is_to_be_settled(before: Rollout, after: Rollout) -> bool:
    """Return whether the outcome of a tick is news for others."""
    outcome = _outcome(after)
    is_news = outcome is not None and outcome != _outcome(before)
    is_of_loop = bool(after.retraining) and after.phase is not before.phase
    lets_go = before.phase in EXCLUSIVE and after.phase not in EXCLUSIVE
    return is_news or is_of_loop or lets_go


def _count(before: Rollout, after: Rollout) -> None:
    """Count the phases and gates of a tick once it is saved, so that a lost tick counts nothing."""
    for moment in after.history[len(before.history) :]:
        if not moment.text.startswith(TOO_LATE):
            telemetry.count(telemetry.METRIC_ROLLOUTS, phase=moment.phase)
    if after.gating.looked_at != before.gating.looked_at:
        for item in after.gating.measured:
            telemetry.count(telemetry.METRIC_GATES, gate=item.measure, outcome=item.outcome)


def _require_possible(rollout: Rollout, order: Order) -> None:
    """Raises: OrderImpossible, with what can be ordered instead."""
    phases = POSSIBLE[order.kind]
    is_stuck = order.kind is OrderKind.ABORT and rollout.phase is Phase.LIVE and not rollout.stable
    if rollout.phase in phases and not is_stuck:
        return
    possible = [str(kind) for kind, where in POSSIBLE.items() if rollout.phase in where]
    raise OrderImpossible(
        f"{order.kind}: the rollout is {rollout.phase}"
        + (", and nothing served before it" if is_stuck else ""),
        hint=f"Now it takes {', '.join(possible)}." if possible else "It takes no orders now.",
    )


_OUTCOMES: Mapping[Phase, tuple[OutcomeStatus, str]] = {
    Phase.LIVE: (OutcomeStatus.DONE, ""),
    Phase.DONE: (OutcomeStatus.DONE, ""),
    Phase.REFUSED: (OutcomeStatus.FAILED, "rollout.refused"),
    Phase.SUPERSEDED: (OutcomeStatus.SKIPPED, "superseded"),
}

_REFUSED: Mapping[Cause | None, tuple[OutcomeStatus, str]] = {
    Cause.ABORTED: (OutcomeStatus.FAILED, "rollout.aborted"),
    Cause.NOT_BETTER: (OutcomeStatus.SKIPPED, NotBetter.code),
}

_BACK: Mapping[Cause | None, tuple[OutcomeStatus, str]] = {
    None: (OutcomeStatus.FAILED, "rollout.rolled_back"),
    Cause.FAILED: (OutcomeStatus.FAILED, "rollout.rolled_back"),
    Cause.ABORTED: (OutcomeStatus.FAILED, "rollout.aborted"),
    Cause.SUPERSEDED: (OutcomeStatus.SKIPPED, "superseded"),
    Cause.NOT_BETTER: (OutcomeStatus.SKIPPED, "rollout.not_better"),
}
#: There was nothing healthy to go back to, and nobody repaired that in time.
_STAYED = (OutcomeStatus.FAILED, "rollout.not_rolled_back")


def _outcome(rollout: Rollout) -> Outcome | None:
    if rollout.phase in (Phase.KEEPING, Phase.REMOVING, Phase.ROLLED_BACK):
        has_stayed = rollout.plan.creates and share(rollout.traffic.split, rollout.deployment)
        status, code = _STAYED if has_stayed else _BACK[rollout.attempt.cause]
    elif rollout.phase is Phase.QUEUED:
        status, code = OutcomeStatus.WAITING, ""
    elif rollout.phase in _OUTCOMES:
        status, code = _OUTCOMES[rollout.phase]
        if rollout.phase is Phase.REFUSED:
            status, code = _REFUSED.get(rollout.attempt.cause, (status, code))
    else:
        return None
    is_live = status is OutcomeStatus.DONE
    detail = f"live on {rollout.endpoint} as {rollout.deployment}" if is_live else rollout.reason
    return Outcome(
        status=status, detail=detail, code=code, rollout=rollout.id, revision=rollout.schedule.tick
    )
