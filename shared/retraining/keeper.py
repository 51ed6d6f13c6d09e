"""Save loops, and do what a saved loop still owes: records, places to free, messages.

The row remembers all of that until it is done, so that the sweep does it after a crash.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.ports import RowChanged
from shared.journal.records import Records
from shared.messages.notice import Notice
from shared.messages.outbox import Outbox, Unsent
from shared.retraining.budget import Budget, give_back, release
from shared.retraining.model import Loop, Retraining
from shared.retraining.stages import outcome_of_retraining
from shared.retraining.store import KeptLoop, LoopStore

#: For how long a worker has the messages of a loop to itself: longer than it takes to send them.
_TELLING = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopKeeper:
    """Saves loops, records what their retrainings came to, frees places and sends messages."""

    store: LoopStore
    records: Records
    outbox: Outbox
    clock: Clock

    def save(self, kept: KeptLoop, loop: Loop) -> KeptLoop:
        """Save a loop; what its retrainings came to is then still to be settled.

        Raises: RowChanged.
        """
        news = _news(kept.loop, loop)
        for _, retraining in news:
            loop = loop.with_retraining(retraining)
        told = (retraining.id for _, retraining in news)
        left = (now.id for known, now in news if known.may_run and not now.may_run)
        loop = replace(
            loop,
            unsettled=tuple(dict.fromkeys((*loop.unsettled, *told))),
            leaving=tuple(dict.fromkeys((*loop.leaving, *left))),
        )
        saved = self.store.save(loop, kept.etag)
        for known, retraining in news:
            if known.stage is not retraining.stage:
                telemetry.count(telemetry.METRIC_RETRAININGS, stage=retraining.stage)
        return saved

    def settle(self, loop: Loop, etag: str) -> None:
        """Record what the retrainings of a saved loop came to, and free the places of those ended.

        Its row remembers that until it is done: whoever dies meanwhile leaves it to the sweep.
        """
        if loop.unsettled or loop.leaving:
            settled = self._settle(loop)
            with suppress(RowChanged):
                self.store.save(settled, etag)

    def _settle(self, loop: Loop) -> Loop:
        for retraining in filter(None, map(loop.find, loop.unsettled)):
            outcome = outcome_of_retraining(retraining)
            if outcome is not None:
                self.records.add(retraining.ref, {retraining.step: outcome}, delivery=False)
        for retraining_id in loop.leaving:
            self.free(loop.reaction, retraining_id)
        return replace(loop, unsettled=(), leaving=())

    def free(self, reaction: str, retraining_id: str) -> None:
        """Note that a retraining's run has ended, so that another may be started."""
        self._change_budget(reaction, partial(release, retraining_id=retraining_id))

    def give_back(self, reaction: str, retraining_id: str) -> None:
        """Note that nothing is started in a place: it may have been taken before that was known."""
        self._change_budget(reaction, partial(give_back, retraining_id=retraining_id))

    def _change_budget(self, reaction: str, change: Callable[[Budget], Budget]) -> None:
        while True:
            budget, etag = self.store.budget(reaction)
            changed = change(budget)
            if changed == budget:
                return
            try:
                self.store.save_budget(reaction, changed, etag)
            except RowChanged:
                continue
            return

    def tell_all(self, loop: Loop, etag: str) -> None:
        """Settle the loop, and send its messages; what a channel does not take the sweep sends.

        One worker at a time sends those of a loop. It also sends what others add meanwhile; where
        it dies, the sweep does when its time is over.
        """
        kept = self._take_messages(KeptLoop(loop=loop, etag=etag))
        while kept is not None:
            unsent = self.outbox.send(kept.loop.notices, untold=kept.loop.untold)
            kept = self._put_back(kept, kept.loop.notices, unsent)

    def _take_messages(self, kept: KeptLoop) -> KeptLoop | None:
        """Have a loop's messages to oneself; None where there are none, or another has them."""
        while True:
            loop, now = kept.loop, self.clock.now()
            if not loop.notices or (loop.telling_until is not None and now < loop.telling_until):
                self.settle(loop, kept.etag)
                return None
            taken = replace(self._settle(loop), telling_until=now + _TELLING)
            try:
                return self.store.save(taken, kept.etag)
            except RowChanged:
                again = self.store.get(loop.id)
                if again is None:
                    return None
                kept = again

    def _put_back(
        self, kept: KeptLoop, taken: tuple[Notice, ...], unsent: Unsent
    ) -> KeptLoop | None:
        """Save what is left of the messages; return the loop if others were added meanwhile."""
        mine = kept.loop.telling_until
        while kept.loop.telling_until == mine and kept.loop.notices[: len(taken)] == taken:
            added = kept.loop.notices[len(taken) :]
            goes_on = bool(added) and not unsent.left  # else in their order, by the sweep
            left = replace(
                kept.loop,
                notices=unsent.left + added,
                telling_until=self.clock.now() + _TELLING if goes_on else None,
                untold=unsent.untold,
            )
            try:
                saved = self.store.save(left, kept.etag)
            except RowChanged:
                again = self.store.get(kept.loop.id)
                if again is None:
                    return None
                kept = again
            else:
                return saved if goes_on else None
        return None

    def chores(self) -> Iterator[Callable[[], None]]:
        """Yield what settles each loop that owes something, and sends its messages."""
        for kept in self.store.untold():
            yield partial(self.tell_all, kept.loop, kept.etag)


def _news(before: Loop, after: Loop) -> list[tuple[Retraining, Retraining]]:
    """Return the retrainings of which others are to know, as they were, and a revision further."""
    pairs = ((before.find(retraining.id), retraining) for retraining in after.retrainings)
    return [
        (known, replace(now, revision=known.revision + 1))
        for known, now in pairs
        if known is not None and (known.stage, known.may_run) != (now.stage, now.may_run)
    ]
