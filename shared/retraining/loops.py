"""Follows retrainings: their runs, models and rollouts change their loop."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.base.clock import Clock
from shared.base.documents import Kept
from shared.base.errors import Failure, SignalboxError, failure_of
from shared.base.ids import parse_reference
from shared.base.redact import redact
from shared.events.model import Event, ModelRegistered, RunCompleted, RunStatusChanged, Workspace
from shared.events.runs import has_ended
from shared.retraining.keeper import LoopKeeper
from shared.retraining.model import Loop, Retraining, Stage
from shared.retraining.notices import RetrainingNoticeKind, with_notice
from shared.retraining.stages import (
    is_before,
    may_follow,
    moved,
    retraining_ended,
)
from shared.retraining.store import LoopStore
from shared.retraining.targets import (
    AML_TARGETS,
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
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Cause, Rollout
from shared.workspaces.run_reports import run_link

log = logging.getLogger(__name__)

_REASON_MAX = 1000

_BEFORE_END = frozenset({Stage.STARTING, Stage.RUNNING})
#: No person has approved these, so a run or model that claims to be theirs is not.
_NOT_STARTED = frozenset({Stage.ASKED, Stage.REJECTED})
#: A rollout with nothing to retire goes from live to done in one tick.
_SERVES = frozenset({Phase.LIVE, Phase.RETIRING, Phase.DONE})
#: The stage of a retraining whose rollout ended without serving. A rollout that gave way to a newer
#: version says nothing against its model.
_UNDONE = {
    Phase.KEEPING: Stage.ROLLED_BACK,
    Phase.REMOVING: Stage.ROLLED_BACK,
    Phase.ROLLED_BACK: Stage.ROLLED_BACK,
    Phase.REFUSED: Stage.ROLLED_BACK,
    Phase.SUPERSEDED: Stage.REGISTERED,
}

type _Change = Callable[[Loop, Retraining], Loop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """Updates loops as their retrainings go on.

    A reference that leads nowhere is ignored, because anybody can write tags.
    """

    keeper: LoopKeeper
    clock: Clock
    studio: str
    target: Callable[[str], Target[Any]]

    @property
    def store(self) -> LoopStore:
        """The loops and budgets."""
        return self.keeper.store

    def follow(self, event: Event) -> None:
        """Note an event of a retraining; any other event costs no request.

        Raises: StorageUnavailable.
        """
        if isinstance(event, ModelRegistered):
            reference = event.model.tags.get(REFERENCE, "")
            self.registered(event.workspace, reference, f"{event.model.name}:{event.model.version}")
        elif isinstance(event, RunCompleted | RunStatusChanged):
            status = "Completed" if isinstance(event, RunCompleted) else event.run.status
            if has_ended(status):
                self._change(
                    event.workspace,
                    event.run.tags.get(REFERENCE, ""),
                    partial(self._end_by_event, event=event, status=status),
                )

    def start_again(self, workspace: Workspace, reference: str) -> Retraining | None:
        """Note that a retraining is to be started again; return it as it is then.

        It stays as it is if it has a run, or if another was decided since.
        """

        def start(loop: Loop, retraining: Retraining) -> Loop:
            is_failed = retraining.stage is Stage.FAILED and retraining.may_be_started
            if loop.last != retraining or not is_failed:
                return loop
            now = self.clock.now()
            again = replace(retraining, stage=Stage.STARTING, changed_at=now, ended_at=None)
            return loop.with_retraining(again)

        return self._change(workspace, reference, start)

    def started(
        self, submission: Submission, submitted: Submitted, *, target: str, timeout: timedelta
    ) -> Retraining | None:
        """Note that a target has taken a retraining; return it as it is then."""

        def start(loop: Loop, retraining: Retraining) -> Loop:
            run_id = submitted.run_id or retraining.run_id
            link = submitted.link or retraining.link
            known = replace(retraining, run_id=run_id, link=link, target=target)
            if not retraining.may_be_started:
                return loop.with_retraining(known)  # its run ended before this was noted
            now = self.clock.now()
            running = replace(
                known,
                stage=Stage.RUNNING,
                changed_at=now,
                ended_at=None,
                timeout_at=now + timeout,
                reason="",
            )
            run = f"Run: {run_id or 'unknown, because the target does not name it'}"
            loop = loop.with_retraining(running)
            return with_notice(loop, RetrainingNoticeKind.STARTED, facts=[run, link])

        return self._change(submission.workspace, submission.reference, start)

    def failed_to_start(self, submission: Submission, failure: Failure) -> None:
        """Note that a target refused a retraining, and that waiting can't help."""

        def fail(loop: Loop, retraining: Retraining) -> Loop:
            if retraining.stage is not Stage.STARTING:
                return loop
            reason = redact(f"{failure.code}: {failure.reason}", most=_REASON_MAX)
            now = self.clock.now()
            failed = retraining_ended(moved(retraining, Stage.FAILED, now, reason), now)
            text = f"it could not be started: {reason}"
            facts = [f"What to do: {failure.hint}"] if failure.hint else []
            loop = loop.with_retraining(failed)
            return with_notice(loop, RetrainingNoticeKind.FAILED, text, facts=facts)

        self._change(submission.workspace, submission.reference, fail)

    def registered(self, workspace: Workspace, reference: str, model: str) -> None:
        """Note that a retraining's model is registered."""
        self._move(workspace, reference, Stage.REGISTERED, model=model)

    def compared(
        self, workspace: Workspace, reference: str, model: str, verdict: str, is_enough: bool
    ) -> None:
        """Note the comparison of a retraining's model with the one that serves."""
        verdict = redact(verdict, most=_REASON_MAX)

        def compare(loop: Loop, retraining: Retraining) -> Loop:
            if retraining.stage in (Stage.DEPLOYING, Stage.LIVE) and model != retraining.model:
                return loop  # a further model of the same run
            compared = replace(retraining, verdict=verdict, model=model or retraining.model)
            if is_enough or not is_before(retraining.stage, Stage.DEPLOYING):
                return loop.with_retraining(compared)
            over = moved(compared, Stage.NOT_BETTER, self.clock.now())
            return with_notice(loop.with_retraining(over), RetrainingNoticeKind.NOT_BETTER, verdict)

        self._change(workspace, reference, compare)

    def deploying(self, workspace: Workspace, reference: str, model: str, rollout_id: str) -> None:
        """Note that a rollout of a retraining's model has begun."""

        def deploy(loop: Loop, retraining: Retraining) -> Loop:
            is_known = retraining.rollout == rollout_id  # it may end before its begin is noted
            if is_known or not may_follow(retraining.stage, Stage.DEPLOYING):
                return loop
            ahead = moved(retraining, Stage.DEPLOYING, self.clock.now())
            return loop.with_retraining(replace(ahead, model=model, rollout=rollout_id))

        self._change(workspace, reference, deploy)

    def rollout_changed(self, rollout: Rollout) -> None:
        """Note the state of a rollout of a retraining's model."""
        now = self.clock.now()
        model = f"{rollout.model.name}:{rollout.model.version}"
        if rollout.phase in _SERVES:
            facts = {"model": model, "rollout": rollout.id}
            self._move(rollout.workspace, rollout.retraining, Stage.LIVE, live_at=now, **facts)
        made_place = rollout.attempt.cause is Cause.SUPERSEDED
        stage = Stage.REGISTERED if made_place else _UNDONE.get(rollout.phase)
        if stage is None:
            return

        def undo(loop: Loop, retraining: Retraining) -> Loop:
            is_other = retraining.rollout not in ("", rollout.id)
            if retraining.stage is Stage.ROLLED_BACK:
                return loop
            if retraining.stage in (Stage.DEPLOYING, Stage.LIVE) and is_other:
                return loop
            back = moved(retraining, stage, now, redact(rollout.reason, most=_REASON_MAX))
            return loop.with_retraining(replace(back, model=model, rollout=rollout.id))

        self._change(rollout.workspace, rollout.retraining, undo)

    def chores(self, running: Iterable[Kept[Loop]]) -> Iterator[Callable[[], None]]:
        """Yield the chores of a sweep; each is to be done even if others fail.

        These are the work that saved loops owe, and looks at runs whose end no event reported:
        those of `running`, the loops with a retraining whose run may not have ended.
        """
        yield from self.keeper.chores()
        for kept in running:
            for retraining in kept.value.retrainings:
                if retraining.may_run:
                    yield partial(self._look_after, kept.value, retraining)

    def _look_after(self, loop: Loop, retraining: Retraining) -> None:
        now = self.clock.now()
        try:
            if retraining.stage is not Stage.STARTING and _is_due(retraining, now):
                self._look(loop, retraining)
        finally:  # even if the run can't be looked at
            if _is_over(retraining, now):
                self._change(loop.workspace, loop.reference(retraining.id), self._time_out)

    def _look(self, loop: Loop, retraining: Retraining) -> None:
        """Ask the target for its run's status: an event may be lost, and some targets send none."""
        params = params_of(retraining)
        reference = loop.reference(retraining.id)
        submission = Submission(
            id=retraining.id,
            reference=reference,
            workspace=loop.workspace,
            since=retraining.decided_at,
            is_first=False,
        )
        try:
            found = self.target(params.kind).look(params.value, submission, retraining.run_id)
        except SignalboxError as error:
            reason = failure_of(error).reason
            log.warning("run can't be looked at: %s", reason, extra={"loop": loop.id})
            found = TargetRun(status=TargetStatus.UNKNOWN)
        ends = {TargetStatus.SUCCEEDED: Stage.TRAINED, TargetStatus.FAILED: Stage.FAILED}

        def look(loop: Loop, retraining: Retraining) -> Loop:
            seen = replace(retraining, looked_at=self.clock.now())
            if found.status in ends:
                return self._end(loop, seen, ends[found.status], found.reason)
            return loop.with_retraining(seen)

        self._change(loop.workspace, reference, look)

    def _time_out(self, loop: Loop, retraining: Retraining) -> Loop:
        if not _is_over(retraining, self.clock.now()):
            return loop
        return self._end(loop, retraining, Stage.FAILED, f"still {retraining.stage}, for too long")

    def _end_by_event(
        self,
        loop: Loop,
        retraining: Retraining,
        *,
        event: RunCompleted | RunStatusChanged,
        status: str,
    ) -> Loop:
        run = event.run
        kind = target_of(retraining)
        if not is_own_run(run.id, kind=kind, submission_id=retraining.id, known=retraining.run_id):
            return loop
        known = replace(retraining, run_id=retraining.run_id or run.id)
        if status == "Completed":
            return self._end(loop, known, Stage.TRAINED, "")
        return self._end(loop, known, Stage.FAILED, f"run {run.id} is {status}")

    def _end(self, loop: Loop, retraining: Retraining, stage: Stage, reason: str) -> Loop:
        """Return the loop with a retraining whose run has ended, and with the messages about it."""
        now = self.clock.now()
        is_good = stage is Stage.TRAINED
        is_back = is_good and retraining.stage is Stage.FAILED  # it had counted as lost
        if retraining.stage not in _BEFORE_END and not is_back:
            # Its model may be registered, or live, before its run has ended.
            return (
                loop
                if retraining.ended_at
                else loop.with_retraining(retraining_ended(retraining, now))
            )
        reason = redact(reason, most=_REASON_MAX)
        run = f"Run: {retraining.run_id}" if retraining.run_id else ""
        kind = RetrainingNoticeKind.TRAINED if is_good else RetrainingNoticeKind.FAILED
        link = retraining.link
        if not link and target_of(retraining) in AML_TARGETS:
            link = run_link(retraining.run_id, loop.workspace, self.studio)
        over = retraining_ended(moved(retraining, stage, now, reason), now)
        return with_notice(loop.with_retraining(over), kind, reason, facts=[run, link])

    def _move(self, workspace: Workspace, reference: str, stage: Stage, **facts: Any) -> None:
        """Move a retraining forward to a stage, never back."""

        def move(loop: Loop, retraining: Retraining) -> Loop:
            if not may_follow(retraining.stage, stage):
                return loop
            ahead = moved(retraining, stage, self.clock.now())
            return loop.with_retraining(replace(ahead, **facts))

        self._change(workspace, reference, move)

    def _change(self, workspace: Workspace, reference: str, change: _Change) -> Retraining | None:
        """Change a loop's retraining, record its new stage with its event, and send what is due.

        News from a workspace other than the loop's change nothing.
        """
        ids = parse_reference(reference)
        if ids is None:
            return None

        def find(loop: Loop | None) -> Retraining | None:
            is_there = loop is not None and loop.workspace.key == workspace.key
            found = loop.find(ids[1]) if loop is not None and is_there else None
            return None if found is None or found.stage in _NOT_STARTED else found

        def apply(loop: Loop | None) -> Loop | None:
            before = find(loop)
            if loop is None or before is None:
                return None
            after = change(loop, before)
            return None if after == loop else after

        changed = self.keeper.change(ids[0], apply)
        kept = changed.after
        retraining = None if kept is None else find(kept.value)
        if kept is None or retraining is None:
            return None
        if changed.saved is not None:
            self.keeper.tell_all(kept)
        else:
            self.keeper.settle(kept)  # the worker that made it so has perhaps died since
        return retraining


def params_of(retraining: Retraining) -> TargetParams:
    """Return the target that a retraining was started with."""
    return TargetParams.model_validate_json(retraining.target)


def target_of(retraining: Retraining) -> str:
    """Return the key of the target that a retraining was started with."""
    return str(next(iter(json.loads(retraining.target)), ""))


def _is_over(retraining: Retraining, now: datetime) -> bool:
    at = retraining.timeout_at
    return retraining.may_run and at is not None and now > at


def _is_due(retraining: Retraining, now: datetime) -> bool:
    return now - (retraining.looked_at or retraining.changed_at) >= LOOK_EVERY
