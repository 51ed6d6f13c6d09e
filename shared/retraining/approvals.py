"""Orders of people to a loop: approve or reject a retraining, resume after giving up."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from shared.base.clock import Clock
from shared.base.documents import Kept
from shared.base.errors import ApprovalMissing, LoopOrderImpossible
from shared.base.redact import redact
from shared.base.wakeups import GRACE
from shared.journal.dead_letters import DeadLetters
from shared.journal.letters import Letter, LetterStatus, letter_id_of
from shared.retraining.keeper import LoopKeeper
from shared.retraining.model import Loop, Retraining, Stage

_WORDS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """Carries out a person's orders to a loop; their name and reason are kept."""

    keeper: LoopKeeper
    dead_letters: DeadLetters
    clock: Clock

    def approve(self, loop: Loop, *, by: str, why: str) -> Loop:
        """Approve the retraining that waits: its letter is replayed at once, and starts it.

        Raises: LoopOrderImpossible if none waits any more, or it has no letter to replay.
        """

        def as_approved(asked: Retraining) -> Retraining:
            now = self.clock.now()
            timeout_at = asked.timeout_at
            if timeout_at is not None:
                timeout_at = now + (timeout_at - asked.decided_at)
            if self._letter_of(loop, asked) is None and now - asked.decided_at > GRACE:
                raise LoopOrderImpossible(
                    "no letter is there that could start it: reject it, or try again later"
                )
            return replace(asked, stage=Stage.STARTING, decided_at=now, timeout_at=timeout_at)

        saved = self._answer(loop, as_approved, by=by, why=why)
        approved = saved.last
        assert approved is not None  # it was answered just now
        self.dead_letters.replay_now(letter_id_of(approved.ref.key, saved.reaction))
        return saved

    def reject(self, loop: Loop, *, by: str, why: str) -> Loop:
        """Reject the retraining that waits: its letter is closed.

        Raises: LoopOrderImpossible if none waits any more.
        """

        def as_rejected(asked: Retraining) -> Retraining:
            return replace(asked, stage=Stage.REJECTED, ended_at=self.clock.now())

        # The letter first: after a crash in between, the question is still open. An approval that
        # comes meanwhile opens the letter again.
        asked = _asked(self._read(loop).value)
        letter = self._letter_of(loop, asked)
        if letter is not None and letter.status is LetterStatus.PARKED:
            self.dead_letters.close(letter, f"rejected by {_kept(by)}: {_kept(why)}")
        return self._answer(loop, as_rejected, by=by, why=why)

    def chores(self, running: Iterable[Kept[Loop]]) -> Iterator[Callable[[], None]]:
        """Yield the chores of a sweep: reopen letters that an approval did not reopen.

        The approval may have crashed in between, or the letter was written just after it. `running`
        are the loops with a retraining whose run may not have ended.
        """
        for kept in running:
            for retraining in kept.value.retrainings:
                if retraining.stage is Stage.STARTING and retraining.by:
                    yield partial(self._wake, kept.value, retraining)

    def _wake(self, loop: Loop, approved: Retraining) -> None:
        letter = self._letter_of(loop, approved)
        is_parked = letter is not None and letter.status is LetterStatus.PARKED
        if letter is not None and is_parked and letter.code == ApprovalMissing.code:
            self.dead_letters.reopen(letter)

    def resume(self, loop: Loop, *, by: str, why: str) -> Loop:
        """Resume a loop that has given up; earlier retrainings that did not help no longer count.

        Raises: LoopOrderImpossible if it has not given up.
        """
        signed = f"{_kept(by)}: {_kept(why)}"

        def go_on(found: Loop | None) -> Loop:
            if found is None or not found.has_given_up:
                raise LoopOrderImpossible(f"loop {loop.id} has not given up")
            # The clock of the person's machine may be behind that of the app.
            times = (self.clock.now(), found.gave_up_at)
            resumed_at = max(time for time in times if time is not None)
            return replace(found, resumed_at=resumed_at, resumed_by=signed)

        saved = self.keeper.store.change(loop.id, go_on).saved
        assert saved is not None  # it was just written
        return saved.value

    def _answer(
        self, loop: Loop, answer: Callable[[Retraining], Retraining], *, by: str, why: str
    ) -> Loop:
        def with_answer(found: Loop | None) -> Loop:
            now = self.clock.now()
            known = found or loop
            answered = replace(
                answer(_asked(known)),
                changed_at=now,
                answered_at=now,
                by=_kept(by),
                why=_kept(why),
            )
            return known.with_retraining(answered)

        saved = self.keeper.change(loop.id, with_answer).saved
        assert saved is not None  # it was just written
        self.keeper.settle(saved)
        return saved.value

    def _read(self, loop: Loop) -> Kept[Loop]:
        return self.keeper.store.get_for(loop.reaction, loop.workspace, loop.monitor)

    def _letter_of(self, loop: Loop, retraining: Retraining) -> Letter | None:
        return self.dead_letters.get(letter_id_of(retraining.ref.key, loop.reaction))


def _asked(loop: Loop) -> Retraining:
    if loop.last is None or loop.last.stage is not Stage.ASKED:
        raise LoopOrderImpossible(f"no retraining of loop {loop.id} waits for approval")
    return loop.last


def _kept(words: str) -> str:
    return redact(words, most=_WORDS_MAX)
