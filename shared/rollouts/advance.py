"""Advance a rollout by one tick: load, observe, decide, apply, save, tell, send the next tick.

A waiting rollout is a row and a delayed message; nothing runs for it. The row is written before
anything is done, so that of two ticks one works, and once more after it. A lost message is sent
again by the sweep; a doubled or late one names another tick than the row waits for.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared import telemetry
from shared.clock import Clock
from shared.errors import Disposition, SignalboxError, WorkspaceRefused, failure_of
from shared.events import Workspace
from shared.lineage import NO_LOOPS, Loops
from shared.outcomes import Outcome, OutcomeStatus
from shared.ports import Queues, RowChanged
from shared.records import Records
from shared.redact import redact
from shared.retry import backoff
from shared.rollouts.apply import apply
from shared.rollouts.decide import Go, Observation, SendProbe, Wait, decide, leave
from shared.rollouts.model import EXCLUSIVE, UNDECIDED, Moment, Notice, NoticeKind, Phase, Rollout
from shared.rollouts.notices import notices_of
from shared.rollouts.probe import probe
from shared.rollouts.store import RolloutStore
from shared.rollouts.tell import TellRollout
from shared.workspaces import (
    Deployment,
    Operation,
    OperationResult,
    OperationStatus,
    State,
    Workspaces,
)

log = logging.getLogger(__name__)

QUEUE = "rollouts"

#: Between looks at an operation: a fifth of the time that it has taken so far, so that the number
#: of looks grows with its logarithm, and not less than the service asks.
_PACE = 5
_PACE_MIN = timedelta(seconds=5)
_PACE_MAX = timedelta(seconds=60)
#: More decisions than a tick can need; one that takes more has gone in a circle.
_DECISIONS_MAX = 8
#: After so many writes that did not set traffic back, people are told, once.
_WRITES_TOLD = 3
#: After so many ticks in a row that could do nothing, people are told, once.
_TROUBLES_TOLD = 10
_REASON_MAX = 1000

#: A write that is refused here means that the rollout has failed; elsewhere it is tried again.
_FORWARD = frozenset({Phase.ENDPOINT, Phase.DEPLOYMENT, Phase.PROBING, Phase.SHIFTING})
#: What is only to be deleted here harms nobody: it never keeps the next rollout out for good.
_CLEANING = frozenset({Phase.RETIRING, Phase.REMOVING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """Starts rollouts and advances them."""

    store: RolloutStore
    queues: Queues
    workspaces: Workspaces
    tell: TellRollout
    records: Records
    clock: Clock
    lease: timedelta
    budget: timedelta
    retry_base: timedelta
    read_request: Callable[[str], bytes]
    loops: Loops = NO_LOOPS

    def start(self, rollout: Rollout) -> Rollout:
        """Add the rollout and send its first tick; find the one that is there after a crash."""
        kept = self.store.add(rollout)
        if kept.rollout.tick == 0:
            self.wake(kept.rollout)
        return kept.rollout

    def has_begun(self, rollout: Rollout) -> bool:
        """Say whether this rollout was started before."""
        return self.store.get(rollout.partition, rollout.id) is not None

    def find_undecided(self, rollout: Rollout) -> Rollout | None:
        """Return another rollout on its endpoint that may yet change what serves, or None."""
        others = (kept.rollout for kept in self.store.open(rollout.partition))
        return next(
            (other for other in others if other.id != rollout.id and other.phase in UNDECIDED),
            None,
        )

    def find_of_model(self, workspace: Workspace, model: str) -> str:
        """Name a rollout of a model that may yet change what serves; "" where there is none."""
        for kept in self.store.open():
            rollout = kept.rollout
            is_there = rollout.workspace.key == workspace.key
            if is_there and rollout.model.name == model and rollout.phase in UNDECIDED:
                return f"{rollout.id[:8]} of {model} {rollout.model.version}"
        return ""

    def wake(self, rollout: Rollout, *, delay: timedelta | None = None) -> None:
        """Send the message for the tick that the rollout waits for."""
        message = {
            "v": 1,
            "endpoint": rollout.partition,
            "rollout": rollout.id,
            "tick": rollout.tick,
        }
        wait = rollout.due_at - self.clock.now() if delay is None else delay
        self.queues.send(QUEUE, json.dumps(message), delay=max(wait, timedelta(0)))

    def advance(self, message: str, *, redelivered: bool = False) -> None:
        """Do the tick that a message of the queue names, unless it is stale or being done.

        `redelivered` says that the queue handed it out before: whoever had it may have died
        between saving the row and sending the next message, so that one is sent again.

        Raises: whatever the storage raises; the tick is then done again.
        """
        content = json.loads(message)
        kept = self.store.get(str(content["endpoint"]), str(content["rollout"]))
        if kept is None:
            return
        if kept.rollout.tick != content["tick"]:
            if redelivered and kept.rollout.tick == content["tick"] + 1:
                self._wake_next(kept.rollout)
            return
        now = self.clock.now()
        busy_until = kept.rollout.busy_until
        if busy_until is not None and busy_until > now:
            self.wake(kept.rollout, delay=busy_until - now)
            return
        try:
            mine = self.store.save(
                replace(kept.rollout, busy_until=now + self.lease), etag=kept.etag
            )
        except RowChanged:
            return  # another worker has the tick
        before = mine.rollout
        with telemetry.span(
            telemetry.SPAN_TICK, parent=before.traceparent, rollout=before.id, phase=before.phase
        ):
            try:
                self._finish(before, self._step(before), mine.etag)
            except RowChanged:
                log.warning("tick lost to another worker", extra={"rollout": before.id})

    def _finish(self, before: Rollout, after: Rollout, etag: str) -> None:
        """Record, save, let go, tell, and send the next tick: each safe to be done again."""
        after = replace(after, tick=before.tick + 1, busy_until=None)
        outcome = _outcome(after) if after.phase is not before.phase else None
        if outcome is not None:
            self.records.add(after.ref, {after.step: outcome}, delivery=False)
        if after.retraining and after.phase is not before.phase:
            self.loops.rollout_changed(after)
        kept = self.store.save(after, etag=etag)
        if before.phase in EXCLUSIVE and after.phase not in EXCLUSIVE:
            self.store.unlock(after)
        if after.notices:
            told = self.tell.all(after)
            if told != after:
                kept = self.store.save(told, etag=kept.etag)
        self._wake_next(kept.rollout)

    def _wake_next(self, rollout: Rollout) -> None:
        if not rollout.phase.is_terminal or rollout.notices:
            self.wake(rollout)

    def _step(self, rollout: Rollout) -> Rollout:
        """Observe, decide and apply until there is something to wait for."""
        deadline = self.clock.now() + self.budget
        seen: Observation | None = None
        for _ in range(_DECISIONS_MAX):
            now = self.clock.now()
            if rollout.phase.is_terminal or now >= deadline:
                break
            is_write = False
            try:
                seen = seen or self._observe(rollout)
                decision = decide(rollout, seen, now)
                if isinstance(decision, Wait):
                    return _waiting(rollout, decision, now)
                if isinstance(decision, Go):
                    rollout = enter(rollout, decision, now)
                    seen = _still_seen(seen)
                    if rollout.phase is Phase.RETIRING:
                        # The row has to say so before the lock is taken: a holder whose row
                        # says `live` has no right to it.
                        break
                elif isinstance(decision, SendProbe):
                    rollout, seen = self._probe(rollout, seen)
                else:
                    is_write = True
                    return _submitted(apply(decision, rollout, seen, self.workspaces), now)
            except Exception as error:  # noqa: BLE001 - here, and only here, a tick's fate is decided
                return self._in_trouble(rollout, error, now, is_write=is_write)
        return replace(rollout, due_at=self.clock.now())

    def _observe(self, rollout: Rollout) -> Observation:
        """Read what deciding needs in this phase, and no more."""
        if rollout.phase is Phase.LIVE:
            return Observation()
        if rollout.phase in (Phase.QUEUED, Phase.RETIRING):
            has_lock = self.store.lock(rollout)
            if rollout.phase is Phase.QUEUED or not has_lock:
                return Observation(has_lock=has_lock)
        operation = None
        if rollout.operation is not None and rollout.operation.url:
            operation = self._ask(rollout.operation)
            if operation.status is OperationStatus.RUNNING:
                return Observation(has_lock=True, operation=operation)
        endpoint = self.workspaces.get_endpoint(rollout.workspace, rollout.endpoint)
        found = (
            self.workspaces.list_deployments(rollout.workspace, rollout.endpoint)
            if endpoint is not None
            else ()
        )
        deployments = {deployment.name: deployment for deployment in found}
        ours = deployments.get(rollout.deployment)
        if operation is None and rollout.phase is Phase.DEPLOYMENT and ours is not None:
            operation = self._find_reason(ours)
        return Observation(
            has_lock=True,
            has_looked=True,
            endpoint=endpoint,
            deployments=deployments,
            operation=operation,
        )

    def _find_reason(self, ours: Deployment) -> OperationResult | None:
        """Return why our deployment failed, although the operation's address was lost in a crash.

        Only the operation's document has the reason, and the resource remembers where that is.
        """
        if ours.state is not State.FAILED or not ours.operation:
            return None
        return self._ask(Operation(url=ours.operation))

    def _ask(self, operation: Operation) -> OperationResult:
        try:
            return self.workspaces.get_operation(operation)
        except WorkspaceRefused:  # an address that is none of ARM's: the resource tells the rest
            return OperationResult(status=OperationStatus.UNKNOWN)

    def _probe(self, rollout: Rollout, seen: Observation) -> tuple[Rollout, Observation]:
        assert seen.endpoint is not None  # decided from it
        result = probe(rollout, seen.endpoint, self.workspaces, self.read_request)
        return replace(rollout, tries=rollout.tries + 1), replace(seen, probe=result)

    def _in_trouble(
        self, rollout: Rollout, error: Exception, now: datetime, *, is_write: bool
    ) -> Rollout:
        """Wait longer each time; give up what goes forward when waiting can't help, or no more."""
        failure = failure_of(error)
        reason = redact(f"{failure.code}: {failure.reason}", most=_REASON_MAX)
        # What was foreseen says all in its reason; what caused it may hold a signed address.
        unforeseen = error if failure.code == SignalboxError.code else None
        log.warning(
            "tick in trouble: %s", reason, extra={"rollout": rollout.id}, exc_info=unforeseen
        )
        is_hopeless = is_write and failure.disposition is not Disposition.RETRY
        is_too_late = now - rollout.since > rollout.plan.timeout
        if rollout.phase in _FORWARD and (is_hopeless or is_too_late):
            back = Go(phase=Phase.ROLLING_BACK, reason=reason)
            return replace(enter(rollout, back, now), due_at=now)
        troubles = rollout.troubles + 1
        if is_write and rollout.phase in _CLEANING and troubles >= _TROUBLES_TOLD:
            return replace(enter(rollout, leave(rollout, reason), now), due_at=now)
        wait = backoff(troubles, retry_after=failure.retry_after, base=self.retry_base)
        troubled = replace(rollout, trouble=reason, troubles=troubles, due_at=now + wait)
        if troubles != _TROUBLES_TOLD:
            return troubled
        text = f"stuck in phase {rollout.phase}, and trying on: {reason}"
        return _call_for_help(troubled, text)


def enter(rollout: Rollout, go: Go, now: datetime) -> Rollout:
    """Return the rollout in its next phase, with what is to be told of it."""
    reason = redact(go.reason, most=_REASON_MAX)
    telemetry.count(telemetry.METRIC_ROLLOUTS, phase=go.phase)
    return replace(
        rollout,
        phase=go.phase,
        since=now,
        stable=rollout.stable if go.stable is None else go.stable,
        reason=reason or rollout.reason,
        submitted=False,
        operation=None,
        tries=0,
        trouble="",
        troubles=0,
        history=(*rollout.history, Moment(at=now, phase=go.phase, text=reason)),
        notices=rollout.notices + notices_of(rollout, go.phase, reason),
    )


def _waiting(rollout: Rollout, wait: Wait, now: datetime) -> Rollout:
    delay = wait.delay or _pace(rollout, now, wait.asked)
    return replace(rollout, due_at=now + delay, trouble="", troubles=0)


def _submitted(rollout: Rollout, now: datetime) -> Rollout:
    asked = rollout.operation.retry_after if rollout.operation else None
    waiting = replace(rollout, due_at=now + _pace(rollout, now, asked), trouble="", troubles=0)
    if rollout.phase is Phase.ROLLING_BACK and rollout.tries == _WRITES_TOLD:
        return _call_for_help(
            waiting, f"the endpoint did not take {_WRITES_TOLD} writes that set its traffic back"
        )
    return waiting


def _call_for_help(rollout: Rollout, reason: str) -> Rollout:
    notices = tuple(
        Notice(kind=NoticeKind.ATTENTION, channel=channel, reason=reason)
        for channel in rollout.plan.channels
    )
    return replace(rollout, notices=rollout.notices + notices)


def _pace(rollout: Rollout, now: datetime, asked: timedelta | None) -> timedelta:
    least = _PACE_MIN if asked is None else asked
    return max(least, min((now - rollout.since) / _PACE, _PACE_MAX))


def _still_seen(seen: Observation) -> Observation | None:
    """Return what may be decided from in the next phase: what was read just now, or nothing."""
    if not seen.has_looked or seen.probe is not None:
        return None
    return replace(seen, operation=None)


_OUTCOMES: Mapping[Phase, tuple[OutcomeStatus, str]] = {
    Phase.LIVE: (OutcomeStatus.DONE, ""),
    Phase.DONE: (OutcomeStatus.DONE, ""),
    Phase.ROLLED_BACK: (OutcomeStatus.FAILED, "rollout.rolled_back"),
    Phase.REFUSED: (OutcomeStatus.FAILED, "rollout.refused"),
    Phase.SUPERSEDED: (OutcomeStatus.SKIPPED, "superseded"),
}


def _outcome(rollout: Rollout) -> Outcome | None:
    if rollout.phase not in _OUTCOMES:
        return None
    status, code = _OUTCOMES[rollout.phase]
    is_live = status is OutcomeStatus.DONE
    detail = f"live on {rollout.endpoint} as {rollout.deployment}" if is_live else rollout.reason
    return Outcome(status=status, detail=detail, code=code, rollout=rollout.id)
