"""The steps of a reaction: claim, act, complete, one after the other."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from shared.actions.base import Action, Work
from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.errors import (
    BudgetSpent,
    ClaimHeld,
    Disposition,
    DryRun,
    Failure,
    SignalboxError,
    failure_of,
)
from shared.base.lazy import Lazy
from shared.base.redact import redact
from shared.events.model import Event
from shared.flow.admission import NOT_ADMITTED, Admission
from shared.journal.ledger import AlreadyDone, Claimed, ClaimKey, ClaimLost, HeldElsewhere, Ledger
from shared.journal.outcomes import EventRef, Outcome, OutcomeStatus
from shared.journal.records import day_of
from shared.reactions.model import Reaction

log = logging.getLogger(__name__)

_NO_TIME = timedelta(0)


@dataclass(slots=True, kw_only=True)
class ReactionResult:
    """The result of one reaction: outcomes by step, and the failure that needs a letter.

    `hearsay` holds the outcomes of steps that another worker does or has done.
    """

    news: dict[str, Outcome] = field(default_factory=dict)
    hearsay: dict[str, Outcome] = field(default_factory=dict)
    failure: Failure | None = None


@dataclass(slots=True)
class _Hold:
    """A claim that may be renewed while the action is at work."""

    ledger: Ledger
    claim: Claimed

    def renew(self) -> None:
        self.claim = self.ledger.renew(self.claim)


class Steps:
    """Does the steps of reactions, each at most once for an event."""

    def __init__(
        self,
        *,
        action: Callable[[str], Action],
        ledger: Ledger,
        clock: Clock,
        admission: Admission,
    ) -> None:
        """Do steps by the actions that `action` returns by name."""
        self._action = action
        self._admission = admission
        self._ledger = ledger
        self._clock = clock

    def check_hold(self, reaction: Reaction, *, is_replay: bool) -> None:
        """Refuse to begin, or to go on, in a freeze. Raises: Frozen."""
        self._admission.check_hold(reaction, is_replay=is_replay)

    def run(
        self, reaction: Reaction, event: Event, ref: EventRef, deadline: datetime
    ) -> ReactionResult:
        """Do the steps in order, until a failure stops the rest.

        Raises: StorageUnavailable. A step's own failure is in the result.
        """
        run = ReactionResult()
        if reaction.dry_run:
            self._rehearse(run, reaction, event)
            return run
        find_cause = Lazy(partial(self._admission.chains.cause_of, reaction, event))
        for step in reaction.do:
            name = f"{reaction.name}/{step.id}"
            key = ClaimKey(
                day=day_of(event.time), event=event.key, reaction=reaction.name, step=step.id
            )
            if self._clock.now() >= deadline:
                self._fail(run, name, failure_of(BudgetSpent("no time was left for this step")))
                break
            held = self._ledger.claim(key)
            if isinstance(held, AlreadyDone):
                run.hearsay[name] = held.outcome
                if held.outcome.code in NOT_ADMITTED:
                    break
            elif isinstance(held, HeldElsewhere):
                self._note_held(run, name, held)
                break
            else:
                hold = _Hold(self._ledger, held)
                work = Work(
                    event=event,
                    ref=ref,
                    reaction=reaction,
                    step=step,
                    key=key,
                    renew=hold.renew,
                    find_cause=find_cause,
                )
                is_first = step is reaction.do[0] and not held.begun
                if is_first and not self._admit(run, name, hold, work):
                    break
                if not self._do(run, name, hold, work):
                    break
        return run

    def _admit(self, run: ReactionResult, name: str, hold: "_Hold", work: Work) -> bool:
        """Say whether the reaction may start; if not, that is the outcome of its first step.

        It is kept by the claim, so the event gets the same answer if it arrives again.
        """
        try:
            self._admission.admit(work)
        except Exception as error:  # noqa: BLE001 - its fate is decided as that of a step is
            failure = failure_of(error)
            if failure.disposition is Disposition.IGNORE:
                self._complete(run, name, hold, _skipped_by(failure))
            else:
                _log(failure, error, name, work.ref)
                self._settle(run, name, hold.claim, failure, begun=False)
            return False
        return True

    def _rehearse(self, run: ReactionResult, reaction: Reaction, event: Event) -> None:
        """Record what each step would have done. Nothing is claimed, because nothing is done."""
        for step in reaction.do:
            failure = failure_of(self._admission.rehearse(reaction, step, event))
            run.news[f"{reaction.name}/{step.id}"] = _skipped_by(failure)
            if failure.code != DryRun.code:
                break

    def _do(self, run: ReactionResult, name: str, hold: "_Hold", work: Work) -> bool:
        """Act under a claim and settle it; say whether to go on with the next step."""
        action = self._action(work.step.action)
        try:
            with telemetry.span(telemetry.SPAN_ACTION, reaction=name, action=work.step.action):
                outcome = action.act(work)
        except ClaimLost:
            self._note_held(run, name, HeldElsewhere(until=self._clock.now()))
            return False
        except Exception as error:  # noqa: BLE001 - here, and only here, a step's fate is decided
            failure = failure_of(error)
            _log(failure, error, name, work.ref)
            if failure.disposition is not Disposition.IGNORE:
                self._settle(run, name, hold.claim, failure)
                return action.may_fail
            outcome = _skipped_by(failure)
        return self._complete(run, name, hold, outcome)

    def _complete(self, run: ReactionResult, name: str, hold: "_Hold", outcome: Outcome) -> bool:
        """Keep a step's outcome for good; say whether the claim was still held."""
        outcome = replace(outcome, attempt=hold.claim.attempt)
        try:
            self._ledger.complete(hold.claim, outcome)
        except ClaimLost:
            # This took longer than the lease, and another worker does the step now. It finds the
            # work of this one by its name, which is made from the key. The letter checks that it
            # did.
            self._note_held(run, name, HeldElsewhere(until=self._clock.now()))
            return False
        run.news[name] = outcome
        return True

    def _settle(
        self,
        run: ReactionResult,
        name: str,
        claim: Claimed,
        failure: Failure,
        *,
        begun: bool = True,
    ) -> None:
        try:
            reason = redact(f"{failure.code}: {failure.reason}")
            self._ledger.release(claim, reason, begun=begun)
        except ClaimLost:
            self._note_held(run, name, HeldElsewhere(until=self._clock.now()))
        else:
            self._fail(run, name, failure, attempt=claim.attempt)

    def _note_held(self, run: ReactionResult, name: str, held: HeldElsewhere) -> None:
        wait = max(held.until - self._clock.now(), _NO_TIME)
        failure = failure_of(
            ClaimHeld(
                "another worker does it; it is checked again when that worker's claim ends",
                retry_after=wait,
            )
        )
        run.failure = _more_urgent(run.failure, failure)
        run.hearsay[name] = outcome_of_failure(failure)

    def _fail(self, run: ReactionResult, name: str, failure: Failure, *, attempt: int = 0) -> None:
        run.failure = _more_urgent(run.failure, failure)
        run.news[name] = replace(outcome_of_failure(failure), attempt=attempt)


def _more_urgent(first: Failure | None, second: Failure) -> Failure:
    """Return the failure that decides the letter: one that waiting can help, else the first.

    The other is not lost: the letter's replay meets it again.
    """
    if first is None:
        return second
    is_urgent = second.disposition is Disposition.RETRY is not first.disposition
    return second if is_urgent else first


def _log(failure: Failure, error: Exception, name: str, ref: EventRef) -> None:
    facts = {"step": name, "event": ref.key, "code": failure.code}
    if failure.code == SignalboxError.code:
        log.error("step failed unexpectedly", extra=facts, exc_info=error)
    else:
        log.warning("step failed: %s", failure.reason, extra=facts)


def _skipped_by(failure: Failure) -> Outcome:
    return Outcome(status=OutcomeStatus.SKIPPED, detail=failure.reason, code=failure.code)


def outcome_of_failure(failure: Failure) -> Outcome:
    """Return the outcome of a step that failed and has a letter."""
    waits = failure.disposition in (Disposition.RETRY, Disposition.ASK)
    return Outcome(
        status=OutcomeStatus.WAITING if waits else OutcomeStatus.FAILED,
        detail=failure.reason,
        code=failure.code,
    )
