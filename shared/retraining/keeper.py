"""Saves loops, and does the work that a saved loop owes: records, places to free, messages.

The row keeps that work until it is done, so the sweep does it after a crash.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.documents import Changed, Kept
from shared.base.ports import RowChanged
from shared.journal.records import Records
from shared.messages.outbox import Outbox, Unsent
from shared.retraining.announcing import stage_changed
from shared.retraining.budget import give_back, release
from shared.retraining.model import Loop, Retraining
from shared.retraining.stages import outcome_of_retraining
from shared.retraining.store import LoopStore

if TYPE_CHECKING:
    from shared.journal.announcements import Announcer

#: How long one worker has the messages of a loop to itself: longer than sending them takes.
_TELLING = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopKeeper:
    """Saves loops, records the outcomes of their retrainings, frees places and sends messages."""

    store: LoopStore
    records: Records
    outbox: Outbox
    clock: Clock
    announcer: "Announcer | None" = None

    def save(self, kept: Kept[Loop], loop: Loop) -> Kept[Loop]:
        """Save a loop; the outcomes of its retrainings are then still to be settled.

        Raises: RowChanged.
        """
        saved = self.store.save(_with_news(kept.value, loop), kept.etag)
        _count(kept.value, saved.value)
        return saved

    def change(self, loop_id: str, change: Callable[[Loop | None], Loop | None]) -> Changed[Loop]:
        """Change a loop as it is by now, and save it as `save` does; None leaves it as it is."""

        def with_news(found: Loop | None) -> Loop | None:
            loop = change(found)
            return loop if loop is None or found is None else _with_news(found, loop)

        changed = self.store.change(loop_id, with_news)
        if changed.before is not None and changed.saved is not None:
            _count(changed.before.value, changed.saved.value)
        return changed

    def settle(self, kept: Kept[Loop]) -> None:
        """Record the outcomes of a saved loop's retrainings, and free the places of ended ones.

        Its row keeps this work until it is done, so the sweep does it after a crash.
        """
        if kept.value.unsettled or kept.value.leaving:
            settled = self._settle(kept.value)
            with suppress(RowChanged):
                self.store.save(settled, kept.etag)

    def _settle(self, loop: Loop) -> Loop:
        unsettled = [*filter(None, map(loop.find, loop.unsettled))]
        if self.announcer is not None:
            now = self.clock.now()
            self.announcer.announce([stage_changed(loop, one, now) for one in unsettled])
        for retraining in unsettled:
            outcome = outcome_of_retraining(retraining)
            if outcome is not None:
                self.records.add(retraining.ref, {retraining.step: outcome}, delivery=False)
        for retraining_id in loop.leaving:
            self.free(loop.reaction, retraining_id)
        return replace(loop, unsettled=(), leaving=())

    def free(self, reaction: str, retraining_id: str) -> None:
        """Note that a retraining's run has ended, so that another may be started."""
        self.store.change_budget(reaction, partial(release, retraining_id=retraining_id))

    def give_back(self, reaction: str, retraining_id: str) -> None:
        """Note that nothing is started in a place; it may have been taken too early."""
        self.store.change_budget(reaction, partial(give_back, retraining_id=retraining_id))

    def tell_all(self, kept: Kept[Loop]) -> None:
        """Settle the loop, and send its messages; the sweep tries those that failed again.

        One worker at a time sends those of a loop, and also those that others add meanwhile. After
        a crash the sweep sends them when that worker's time is over.
        """
        mine = self._take_messages(kept)
        while mine is not None:
            unsent = self.outbox.send(mine.value.notices, given_up=mine.value.given_up)
            mine = self._put_back(mine, unsent)

    def _take_messages(self, kept: Kept[Loop]) -> Kept[Loop] | None:
        """Claim a loop's messages; None if there are none, or another worker has them."""

        def take(loop: Loop | None) -> Loop | None:
            now = self.clock.now()
            if loop is None or not loop.notices:
                return None
            if loop.telling_until is not None and now < loop.telling_until:
                return None
            return replace(self._settle(loop), telling_until=now + _TELLING)

        changed = self.store.change(kept.value.id, take, known=kept)
        if changed.saved is None and changed.after is not None:
            self.settle(changed.after)
        return changed.saved

    def _put_back(self, kept: Kept[Loop], unsent: Unsent) -> Kept[Loop] | None:
        """Save the messages that are left; return the loop if others were added meanwhile."""
        mine, taken = kept.value.telling_until, kept.value.notices

        def put_back(loop: Loop | None) -> Loop | None:
            if loop is None or loop.telling_until != mine or loop.notices[: len(taken)] != taken:
                return None
            added = loop.notices[len(taken) :]
            goes_on = bool(added) and not unsent.left  # else the sweep sends them, in order
            return replace(
                loop,
                notices=unsent.left + added,
                telling_until=self.clock.now() + _TELLING if goes_on else None,
                given_up=unsent.given_up,
            )

        saved = self.store.change(kept.value.id, put_back, known=kept).saved
        return None if saved is None or saved.value.telling_until is None else saved

    def chores(self) -> Iterator[Callable[[], None]]:
        """Yield the chores that settle each loop with work left, and send its messages."""
        for kept in self.store.untold():
            yield partial(self.tell_all, kept)


def _with_news(before: Loop, after: Loop) -> Loop:
    """Return a loop with the work to settle: the outcomes of its retrainings since `before`."""
    news = _news(before, after)
    for _, retraining in news:
        after = after.with_retraining(retraining)
    changed = (retraining.id for _, retraining in news)
    left = (now.id for known, now in news if known.may_run and not now.may_run)
    return replace(
        after,
        unsettled=tuple(dict.fromkeys((*after.unsettled, *changed))),
        leaving=tuple(dict.fromkeys((*after.leaving, *left))),
    )


def _count(before: Loop, after: Loop) -> None:
    for retraining in after.retrainings:
        known = before.find(retraining.id)
        if known is not None and known.stage is not retraining.stage:
            telemetry.count(telemetry.METRIC_RETRAININGS, stage=retraining.stage)


def _news(before: Loop, after: Loop) -> list[tuple[Retraining, Retraining]]:
    """Return the retrainings with a new stage to record: as they were, and a revision further."""
    pairs = ((before.find(retraining.id), retraining) for retraining in after.retrainings)
    return [
        (known, replace(now, revision=known.revision + 1))
        for known, now in pairs
        if known is not None and (known.stage, known.may_run) != (now.stage, now.may_run)
    ]
