"""The `retrain` action: ask the policy whether drift is a reason to retrain, and start it.

The decision is written before anything is started, so only one of two workers starts it. The job is
named from the claim, so it is found after a crash.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from shared.actions.base import Work
from shared.actions.retrain.params import RetrainParams
from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.documents import Kept, again_if_changed
from shared.base.errors import (
    ApprovalMissing,
    BudgetFull,
    Disposition,
    SignalboxError,
    Superseded,
    failure_of,
)
from shared.base.lazy import Lazy
from shared.base.redact import redact
from shared.events.breaches import features_of
from shared.events.model import DriftDetected, DriftState, Workspace
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.retraining.budget import Budget, count_retrainings, take
from shared.retraining.inbox import Inbox
from shared.retraining.keeper import LoopKeeper
from shared.retraining.loops import Loops
from shared.retraining.model import Decision, Loop, PolicyAnswer, Retraining, Stage, Window
from shared.retraining.notices import with_news, with_notices
from shared.retraining.policy import PolicyFacts, decide_window, learn
from shared.retraining.stages import outcome_of_retraining
from shared.retraining.targets import Submission

_REASON_MAX = 1000
#: The wait for a place among the runs that a reaction may have.
_PLACE_WAIT = timedelta(minutes=10)
#: Events have no order: a window is late only if another was reported so much later.
_LATE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One drift to decide about, by one step of a reaction."""

    work: Work
    event: DriftDetected
    params: RetrainParams

    @property
    def id(self) -> str:
        """The id of the retraining, if the decision is to start one."""
        return self.work.key.digest[:32]


class Retrain:
    """Starts retrainings, if the policy says so."""

    may_fail = False

    def __init__(
        self,
        *,
        loops: Loops,
        keeper: LoopKeeper,
        inbox: Inbox,
        find_rollout: Callable[[Workspace, str], str],
        clock: Clock,
    ) -> None:
        """`find_rollout` returns the name of a model's unfinished rollout, "" if there is none."""
        self._loops = loops
        self._keeper = keeper
        self._inbox = inbox
        self._find_rollout = find_rollout
        self._clock = clock

    def act(self, work: Work) -> Outcome:
        """Decide about the event's window; start the retraining, or find it started.

        Raises: ExpressionFailed, ParamsInvalid, WindowOpen, ApprovalMissing, BudgetFull,
        Superseded, TargetError and WorkspaceError.
        """
        event = work.event
        assert isinstance(event, DriftDetected)  # the loader accepts no other type
        # Another signal of the window, another monitor, or the end of a run may change the rows.
        read_window = Lazy(partial(self._inbox.read, event))
        return again_if_changed(partial(self._try, work, event, read_window))

    def _try(self, work: Work, event: DriftDetected, read_window: Callable[[], Window]) -> Outcome:
        """Decide about the event's window, or go on with the retraining that it led to.

        Raises: RowChanged, and what `act` raises.
        """
        kept = self._keeper.store.get_for(work.reaction.name, event.workspace, event.drift.monitor)
        mine = kept.value.find(work.key.digest[:32])
        if mine is not None:
            return self._go_on(_case(work, kept.value.seen(mine.window)), kept, is_first=False)
        window = read_window()
        before = kept.value.decided(window.id)
        if before is not None and before.answer.is_act:
            self._keeper.give_back(work.reaction.name, work.key.digest[:32])
            self._keeper.tell_all(kept)
            detail = f"window {window.id} is decided: {before.answer}, {before.reason}"
            return _skipped(detail, "decided")
        return self._decide(_case(work, window), kept, window)

    def _decide(self, case: _Case, kept: Kept[Loop], window: Window) -> Outcome:
        """Ask the policy, write its answer, and then act on it.

        Raises: RowChanged if the loop, or the reaction's budget, has changed meanwhile.
        """
        store, params, reaction = self._keeper.store, case.params, case.work.reaction.name
        kept_budget = store.budget(reaction)
        budget = kept_budget.value
        now = self._clock.now()
        known = replace(kept.value, model=params.model, channels=params.notify)
        loop = with_news(learn(params.policy, known, window, now), known, window)
        newer = _find_newer(loop, window)
        if newer is not None:
            saved = self._keeper.save(kept, loop)
            self._keeper.give_back(reaction, case.id)
            self._keeper.tell_all(saved)
            raise Superseded(f"window {newer.id} was reported later, and shows the present state")
        decision = decide_window(params.policy, loop, window, self._facts(case, budget, now))
        decided = with_notices(loop.with_decision(decision), known, window, decision)
        if decision.answer in (PolicyAnswer.RETRAIN, PolicyAnswer.ASK):
            decided = decided.with_retraining(_new_retraining(case, window, decision))
        if decision.answer is PolicyAnswer.RETRAIN:
            self._take_place(case, kept_budget, decision)
        elif any(slot.id == case.id for slot in budget.slots):
            # A worker that was killed took it, or this one did before it found the loop changed.
            self._keeper.give_back(reaction, case.id)
        saved = self._keeper.save(kept, decided)
        telemetry.count(telemetry.METRIC_DECISIONS, reaction=reaction, answer=decision.answer)
        if decision.answer in (PolicyAnswer.RETRAIN, PolicyAnswer.ASK):
            return self._go_on(case, saved, is_first=True)
        self._keeper.tell_all(saved)
        if decision.answer is PolicyAnswer.TELL:
            return Outcome(status=OutcomeStatus.DONE, detail=f"told: {decision.reason}")
        return _skipped(decision.reason, decision.answer)

    def _facts(self, case: _Case, budget: Budget, now: datetime) -> PolicyFacts:
        params = case.params
        running, started = count_retrainings(budget, now, params.policy.timeout, but=case.id)
        asks = params.policy.quiet and params.model
        return PolicyFacts(
            now=now,
            mode=params.mode,
            running=running,
            started=started,
            rollout=self._find_rollout(case.event.workspace, params.model) if asks else "",
        )

    def _take_place(self, case: _Case, kept: Kept[Budget], decision: Decision) -> None:
        """Take the place that the decision found free.

        Raises: RowChanged if another worker took one meanwhile.
        """
        taken = take(kept.value, case.id, decision.at, case.params.policy)
        assert not isinstance(taken, PolicyAnswer)  # the decision was made from the same budget
        if taken != kept.value:
            self._keeper.store.save_budget(case.work.reaction.name, taken, kept.etag)

    def _go_on(self, case: _Case, kept: Kept[Loop], *, is_first: bool) -> Outcome:
        """Do the next part of a retraining that was decided."""
        loop = kept.value
        retraining = loop.find(case.id)
        assert retraining is not None  # it was just written or found
        if retraining.stage is Stage.ASKED:
            self._keeper.tell_all(kept)
            raise ApprovalMissing(
                f"retraining {case.id[:8]} of {loop.model or loop.monitor} waits for approval"
            )
        if retraining.stage is Stage.REJECTED:
            return _skipped(f"rejected by {retraining.by}: {retraining.why}", "rejected")
        if not retraining.may_be_started:
            if not retraining.may_run:
                # A second place may have been taken for it before its run was known.
                self._keeper.free(loop.reaction, case.id)
            self._keeper.tell_all(kept)
            return self._started(retraining)
        if not is_first:
            self._start_again(case, loop)
        return self._start(case, loop, retraining, is_first=is_first)

    def _start_again(self, case: _Case, loop: Loop) -> None:
        """Prepare to start a retraining that was approved, failed to start, or may have started.

        Raises: BudgetFull, and Superseded if another was decided since.
        """
        is_last = loop.last is not None and loop.last.id == case.id
        if is_last:
            self._require_place(case)
            again = self._loops.start_again(loop.workspace, loop.reference(case.id))
            is_last = again is not None and again.stage is Stage.STARTING
        if not is_last:
            self._keeper.free(case.work.reaction.name, case.id)
            raise Superseded("another retraining of this monitor was decided since")

    def _require_place(self, case: _Case) -> None:
        """Take a place for a retraining that is to start, unless it has one.

        Raises: BudgetFull.
        """

        def take_place(budget: Budget) -> Budget:
            taken = take(budget, case.id, self._clock.now(), case.params.policy)
            if isinstance(taken, PolicyAnswer):
                raise BudgetFull(
                    "the reaction has as many runs as its policy allows", retry_after=_PLACE_WAIT
                )
            return taken

        self._keeper.store.change_budget(case.work.reaction.name, take_place)

    def _start(self, case: _Case, loop: Loop, retraining: Retraining, *, is_first: bool) -> Outcome:
        target = case.params.target
        submission = self._submission(case, loop, retraining, is_first=is_first)
        try:
            submitted = self._loops.target(target.kind).submit(target.value, submission)
        except SignalboxError as error:
            if error.disposition is not Disposition.RETRY:
                self._loops.failed_to_start(submission, failure_of(error))
            raise
        started = self._loops.started(
            submission,
            submitted,
            target=target.as_kept(),
            timeout=case.params.policy.timeout,
        )
        return self._started(started or retraining)

    def _started(self, retraining: Retraining) -> Outcome:
        run = retraining.run_id or "one that its target does not name"
        begun = Outcome(
            status=OutcomeStatus.WAITING,
            detail=f"retraining started: run {run}",
            retraining=retraining.id,
            revision=retraining.revision,
        )
        return outcome_of_retraining(retraining) or begun

    def _submission(
        self, case: _Case, loop: Loop, retraining: Retraining, *, is_first: bool
    ) -> Submission:
        reference = loop.reference(retraining.id)
        return Submission(
            id=retraining.id,
            reference=reference,
            workspace=loop.workspace,
            since=retraining.decided_at,
            is_first=is_first,
            inputs=case.params.inputs,
            hosts=case.params.allow.hosts,
            tags={
                "signalbox_event": case.event.id[:250],
                **case.work.tags,
                "signalbox_monitor": redact(loop.monitor, most=250),
            },
            drift=_facts_of(case.event, loop, retraining),
        )


def _case(work: Work, window: Window | None) -> _Case:
    """Return the case, with the step's values made from the event and its window.

    Raises: ExpressionFailed, ParamsInvalid.
    """
    event = work.event
    assert isinstance(event, DriftDetected)
    if window is not None:
        breached = (seen for seen in window.signals.values() if seen.state is DriftState.BREACH)
        features = features_of(tuple(metric for seen in breached for metric in seen.metrics))
        drift = replace(
            event.drift,
            window=window.id,
            window_start=window.start,
            window_end=window.end,
            features=features or event.drift.features,
        )
        event = replace(event, drift=drift)
    return _Case(work=work, event=event, params=work.params(RetrainParams, event))


def _new_retraining(case: _Case, window: Window, decision: Decision) -> Retraining:
    is_asked = decision.answer is PolicyAnswer.ASK
    return Retraining(
        id=case.id,
        window=window.id,
        ref=case.work.ref,
        step=f"{case.work.reaction.name}/{case.work.key.step}",
        target=case.params.target.as_kept(),
        stage=Stage.ASKED if is_asked else Stage.STARTING,
        decided_at=decision.at,
        changed_at=decision.at,
        timeout_at=decision.at + case.params.policy.timeout,
    )


def _find_newer(loop: Loop, window: Window) -> Window | None:
    """Return a window that was reported so much later that this one is out of date."""
    at = (loop.seen(window.id) or window).at
    return next((item for item in reversed(loop.windows) if item.at - at >= _LATE), None)


def _facts_of(event: DriftDetected, loop: Loop, retraining: Retraining) -> Mapping[str, object]:
    """Return the drift as plain data, for targets that take a payload."""
    start, end = event.drift.window_start, event.drift.window_end
    return {
        "workspace": event.workspace.id,
        "monitor": loop.monitor,
        "model": loop.model,
        "signal": event.drift.signal,
        "window": retraining.window,
        "window_start": start.isoformat() if start else "",
        "window_end": end.isoformat() if end else "",
        "features": list(event.drift.features[:100]),
        "event": event.id,
    }


def _skipped(detail: str, answer: str) -> Outcome:
    return Outcome(
        status=OutcomeStatus.SKIPPED,
        detail=redact(detail, most=_REASON_MAX),
        code=f"retrain.{answer}",
    )
