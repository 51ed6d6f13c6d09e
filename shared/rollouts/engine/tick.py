"""One tick's work: observe, decide and apply until there is something to wait for."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.base.clock import Clock
from shared.base.errors import (
    Disposition,
    MetricMissing,
    SignalboxError,
    Superseded,
    WorkspaceUnreachable,
    failure_of,
)
from shared.base.ports import RowChanged
from shared.base.redact import redact
from shared.base.retry import CAP, backoff
from shared.rollouts.deciding.decide import decide
from shared.rollouts.deciding.decisions import (
    AskGates,
    Go,
    Inspect,
    Overrule,
    Question,
    ReadLogs,
    Scale,
    SendProbe,
    SetTraffic,
    Wait,
    Write,
)
from shared.rollouts.deciding.ending import end_undeleted
from shared.rollouts.deciding.exits import fail, go_back
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.kinds import PATIENT, SETTING, decider_of
from shared.rollouts.engine.apply import apply, read_logs
from shared.rollouts.engine.observe import Observer
from shared.rollouts.engine.preflight import find_obstacles
from shared.rollouts.engine.probe import probe
from shared.rollouts.engine.row_lease import RowLease
from shared.rollouts.engine.store import RolloutStore
from shared.rollouts.gates.reader import GateReader
from shared.rollouts.people.notices import call_for_help, with_notices_of
from shared.rollouts.state.orders import POSSIBLE, Order
from shared.rollouts.state.phases import EXCLUSIVE, STEPS, Phase
from shared.rollouts.state.rollout import (
    TOO_LATE,
    Cause,
    Moment,
    PhaseWork,
    ProbeResult,
    Rollout,
)
from shared.workspaces.ports import Workspaces

log = logging.getLogger(__name__)

#: Between looks at an operation: a fifth of the time that it has taken so far, so that the number
#: of looks grows with its logarithm, and not less than the service asks.
_PACE = 5
_PACE_MIN = timedelta(seconds=5)
_PACE_MAX = timedelta(seconds=60)
#: A tick needs fewer decisions; one that takes more goes in a circle.
_DECISIONS_MAX = 12
#: The number of writes that did not set traffic back after which people get a message, once.
_WRITES_TOLD = 3
#: The number of ticks in a row without progress after which people get a message, once.
_TROUBLES_TOLD = 10
_REASON_MAX = 1000

#: A write that is refused here means that the rollout has failed; elsewhere it is tried again.
_FORWARD = frozenset({Phase.ENDPOINT, Phase.DEPLOYMENT, *STEPS})
#: A deployment that can't be deleted here harms nobody, and must not block the next rollout.
_CLEANING = frozenset({Phase.RETIRING, Phase.REMOVING})
#: In these phases the operation sets a split.
_SETTING = SETTING | {Phase.STEPPING_DOWN}
#: In these phases the rollout itself changes the split.
_SETS_SPLIT = _SETTING | {Phase.ROLLING_BACK}
_UNTOUCHED = frozenset({Phase.QUEUED, Phase.CHECKING})
#: The longest wait after trouble, where a bad version may have traffic.
_CAPS = {
    Phase.ROLLING_BACK: _PACE_MAX,
    Phase.STEPPING_DOWN: _PACE_MAX,
}
#: Keep the reason in these phases; clear it in all others.
_KEEPS_REASON = frozenset(
    {Phase.STEPPING_DOWN, Phase.ROLLING_BACK, Phase.KEEPING, Phase.REMOVING, Phase.ROLLED_BACK}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Does the work of one tick after another."""

    store: RolloutStore
    workspaces: Workspaces
    gates: GateReader
    overrule: Callable[[Rollout, Rollout], None]
    clock: Clock
    budget: timedelta
    retry_base: timedelta
    read_file: Callable[[str], bytes]

    def work(self, rollout: Rollout, lease: RowLease) -> Rollout:
        """Decide and act until there is something to wait for, or the budget is spent.

        After an answer it goes on even without budget, until the answer was used. No row keeps an
        answer, so that the next tick would spend its budget on the same question.

        Raises: RowChanged where another worker has the tick, and StorageUnavailable.
        """
        deadline = self.clock.now() + self.budget
        rollout = drop_stale(rollout, self.clock.now())
        seen: Observation | None = None
        is_answered = False
        observer = Observer(
            store=self.store, workspaces=self.workspaces, grain=self.gates.metrics.grain
        )
        for _ in range(_DECISIONS_MAX):
            now = self.clock.now()
            is_over = rollout.phase.is_terminal and not rollout.orders
            if is_over or (now >= deadline and not is_answered):
                break
            write: Write | None = None
            try:
                rollout, seen = observer.observe(rollout, seen)
                decision = decide(rollout, seen, now)
                is_answered = isinstance(decision, Question)
                match decision:
                    case Wait():
                        return _waiting(rollout, decision, now)
                    case Overrule():
                        self.overrule(decision.holder, rollout)
                        return _waiting(rollout, Wait(reason="", delay=_PACE_MAX), now)
                    case Go():
                        rollout = enter(rollout, decision, now)
                        seen = _still_seen(seen)
                        if _is_to_be_saved(rollout):
                            break
                    case Inspect() | AskGates() | SendProbe() | ReadLogs():
                        rollout, seen = self._ask(decision, rollout, seen)
                    case _:
                        write = decision
                        return self._apply(write, rollout, seen, lease, now)
            except _OrdersCame as came:
                rollout = came.rollout
            except RowChanged:
                raise
            except Exception as error:  # noqa: BLE001 - here, and only here, a tick's fate is decided
                return self._in_trouble(rollout, seen, error, now, write)
        return rollout.due(self.clock.now())

    def _apply(
        self, write: Write, rollout: Rollout, seen: Observation, lease: RowLease, now: datetime
    ) -> Rollout:
        """Save the row, then begin the write. An order that came in before that comes first.

        Raises: _OrdersCame, RowChanged, and WorkspaceError.
        """
        if isinstance(write, SetTraffic):
            rollout = replace(rollout, attempt=replace(rollout.attempt, is_moved=True))
        try:
            lease.begin(rollout)
        except RowChanged:
            raise _OrdersCame(lease.hear(rollout)) from None
        return _submitted(apply(write, rollout, seen, self.workspaces), now)

    def _ask(
        self, question: Question, rollout: Rollout, seen: Observation
    ) -> tuple[Rollout, Observation]:
        """Answer a question of `decide`."""
        match question:
            case Inspect():
                faults = find_obstacles(rollout, seen, self.workspaces)
                worse = "" if faults else self._find_worse(rollout)
                return rollout, replace(seen, faults=faults, worse=worse)
            case ReadLogs():
                logs = read_logs(rollout, self.workspaces)
                return replace(rollout, attempt=replace(rollout.attempt, logs=logs)), seen
            case SendProbe():
                found = self._probe(question.deployment, rollout, seen)
                work = replace(rollout.work, probes=rollout.work.probes + 1)
                rollout = replace(rollout, work=work)
                if found.passed and rollout.phase in STEPS:
                    rollout = replace(rollout, proof=found.detail)
                return rollout, replace(seen, probe=found)
            case AskGates():
                return self._measure(question.stable, rollout, seen)

    def _find_worse(self, rollout: Rollout) -> str:
        """Return why the model is not better than the one that serves now; "" where it may go on.

        It was compared before the rollout began. The model that served then may have been replaced
        while the rollout waited for the endpoint.
        """
        from shared.workspaces.champions import challenge, side_of

        wanted, model = rollout.plan.better, rollout.model
        if wanted is None:
            return ""
        found = self.workspaces.get_model(rollout.workspace, model.name, model.version)
        if found is None:
            return f"model {model.words} is no longer in the workspace"
        where = (rollout.workspace, side_of(found), rollout.endpoint, rollout.plan.kind)
        try:
            verdict = challenge(self.workspaces, *where, wanted)
        except (MetricMissing, Superseded) as error:
            return error.message
        return "" if verdict.is_enough else verdict.reason

    def _probe(self, deployment: str, rollout: Rollout, seen: Observation) -> ProbeResult:
        found = seen.find(deployment)
        assert seen.endpoint is not None  # decided from it
        assert found is not None  # and from this
        step, wanted = rollout.current, rollout.plan.probe
        is_return = rollout.phase is Phase.ROLLING_BACK
        if is_return:  # what served before need not answer as the new one was to
            wanted = replace(wanted, output="", latency=None)
        elif step is not None and step.probe is not None:
            wanted = step.probe
        try:
            return probe(rollout, wanted, seen.endpoint, found, self.workspaces, self.read_file)
        except SignalboxError as error:
            if not is_return and not isinstance(error, WorkspaceUnreachable):
                raise
            # No answer means that the probe did not pass. After a rollback traffic is where it
            # should be: people hear that it can't be proved, and nothing waits for that.
            return ProbeResult(passed=False, detail=redact(error.message, most=200))

    def _measure(
        self, stable: str, rollout: Rollout, seen: Observation
    ) -> tuple[Rollout, Observation]:
        rollout = self.gates.look(rollout, stable, self.clock.now())
        self.store.add_measurements(rollout, rollout.gating.measured)
        return rollout, replace(seen, measurements=rollout.gating.measured)

    def _in_trouble(
        self,
        rollout: Rollout,
        seen: Observation | None,
        error: Exception,
        now: datetime,
        write: Write | None,
    ) -> Rollout:
        """Wait longer each time. Go back if waiting can't help, or if the phase took too long."""
        failure = failure_of(error)
        reason = redact(f"{failure.code}: {failure.reason}", most=_REASON_MAX)
        # A known error says all in its reason, and its cause may hold a signed address.
        unforeseen = error if failure.code == SignalboxError.code else None
        log.warning(
            "tick in trouble: %s", reason, extra={"rollout": rollout.id}, exc_info=unforeseen
        )
        is_hopeless = write is not None and failure.disposition is not Disposition.RETRY
        is_too_late = now - rollout.since > rollout.plan.timeout
        if rollout.phase in _FORWARD and is_hopeless and seen is not None:
            return enter(rollout, fail(rollout, seen, reason), now).due(now)
        if rollout.phase in _FORWARD - PATIENT and is_too_late:
            return enter(rollout, go_back(rollout, reason), now).due(now)
        if rollout.phase is Phase.ROLLING_BACK and is_hopeless and isinstance(write, Scale):
            # Slow for want of instances is better than the version that is being rolled back.
            text = f"{write.name} gets the traffic, but can't have its instances back: {reason}"
            return call_for_help(replace(rollout, stable_instances=0).due(now), text)
        if rollout.phase is Phase.STEPPING_DOWN and is_hopeless:
            back = go_back(rollout, rollout.reason, rollout.attempt.cause or Cause.FAILED)
            return enter(rollout, back, now).due(now)
        troubles = rollout.work.troubles + 1
        if write is not None and rollout.phase in _CLEANING and troubles >= _TROUBLES_TOLD:
            return enter(rollout, end_undeleted(rollout, reason), now).due(now)
        step = decider_of(rollout)
        cap = (step and step.retry_most) or _CAPS.get(rollout.phase, CAP)
        wait = backoff(troubles, retry_after=failure.retry_after, base=self.retry_base, cap=cap)
        work = replace(rollout.work, trouble=reason, troubles=troubles)
        troubled = replace(rollout, work=work).due(now + wait)
        if troubles != _TROUBLES_TOLD:
            return troubled
        text = f"stuck in phase {rollout.phase}, and still trying: {reason}"
        return call_for_help(troubled, text)


def _is_to_be_saved(rollout: Rollout) -> bool:
    """Return whether the row must be saved in its new phase before anything is done in that phase.

    A holder whose row says that the endpoint is free has no right to the lock; and the outcome of
    a removed rollout is recorded when its removal begins.
    """
    takes_lock = rollout.phase in EXCLUSIVE and not rollout.has_endpoint
    return takes_lock or rollout.phase is Phase.REMOVING


class _OrdersCame(Exception):
    """An order came in before a write was begun; `rollout` has it."""

    def __init__(self, rollout: Rollout) -> None:
        super().__init__()
        self.rollout = rollout


def enter(rollout: Rollout, go: Go, now: datetime) -> Rollout:
    """Return the rollout in its next phase, with the messages that are due."""
    reason = redact(go.reason, most=_REASON_MAX)
    after = go.rollout or rollout
    # Keep the operation that sets a split: a rollback that does not wait for its end would read
    # the old split back, and be overwritten.
    goes_on = go.phase is Phase.ROLLING_BACK and rollout.phase in _SETTING
    text = reason or redact(go.note, most=_REASON_MAX)
    moment = _with_split(Moment(at=now, phase=go.phase, text=text, step=after.step), rollout, go)
    entered = replace(
        after,
        phase=go.phase,
        since=now,
        has_endpoint=after.has_endpoint and go.phase in EXCLUSIVE,
        reason=reason or (rollout.reason if go.phase in _KEEPS_REASON else ""),
        work=PhaseWork(operation=after.work.operation if goes_on else None),
        history=(*after.history, moment),
    )
    return drop_stale(with_notices_of(entered, rollout.phase, reason), now)


def _with_split(moment: Moment, before: Rollout, go: Go) -> Moment:
    """Return the moment with the split, if a new one has come into force since the phase began.

    A split that was found before anything was touched is not new.
    """
    then, now = before.traffic, (go.rollout or before).traffic
    is_same = (now.split, now.mirror) == (then.split, then.mirror)
    if is_same or before.phase in _UNTOUCHED:
        return moment
    by_others = go.by_others or before.phase not in _SETS_SPLIT
    return replace(moment, split=now.split, mirror=now.mirror, by_others=by_others)


def drop_stale(rollout: Rollout, now: datetime) -> Rollout:
    """Return the rollout without the orders that mean nothing in its phase."""
    stale = tuple(order for order in rollout.orders if rollout.phase not in POSSIBLE[order.kind])
    if not stale:
        return rollout
    return replace(
        rollout,
        orders=tuple(order for order in rollout.orders if order not in stale),
        history=rollout.history + tuple(_too_late(rollout, order, now) for order in stale),
    )


def _too_late(rollout: Rollout, order: Order, now: datetime) -> Moment:
    text = redact(f"{TOO_LATE}{order.words}", most=_REASON_MAX)
    return Moment(at=now, phase=rollout.phase, text=text, step=rollout.step)


def _waiting(rollout: Rollout, wait: Wait, now: datetime) -> Rollout:
    delay = wait.delay if wait.delay is not None else _pace(rollout, now, wait.asked)
    trouble = redact(wait.reason, most=_REASON_MAX) if wait.is_alarm else ""
    is_news = wait.is_alarm and trouble != rollout.work.alarm
    alarm = trouble if is_news else rollout.work.alarm
    work = replace(rollout.work, trouble=trouble, troubles=0, alarm=alarm)
    waiting = replace(rollout, work=work).due(now + delay)
    return call_for_help(waiting, trouble) if is_news else waiting


def _submitted(rollout: Rollout, now: datetime) -> Rollout:
    asked = rollout.work.operation.retry_after if rollout.work.operation else None
    work = replace(rollout.work, trouble="", troubles=0)
    waiting = replace(rollout, work=work).due(now + _pace(rollout, now, asked))
    if rollout.phase is Phase.ROLLING_BACK and rollout.work.tries == _WRITES_TOLD:
        return call_for_help(
            waiting, f"the endpoint did not take {_WRITES_TOLD} writes that set its traffic back"
        )
    return waiting


def _pace(rollout: Rollout, now: datetime, asked: timedelta | None) -> timedelta:
    least = _PACE_MIN if asked is None else asked
    return max(least, min((now - rollout.since) / _PACE, _PACE_MAX))


def _still_seen(seen: Observation) -> Observation | None:
    """Return the observation if it was made just now, for the next phase to use; else None."""
    took_time = seen.probe is not None or seen.measurements is not None
    if not seen.has_looked or took_time:
        return None
    return replace(seen, operation=None, faults=None)
