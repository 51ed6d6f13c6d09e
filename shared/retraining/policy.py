"""Decides when drift is a reason to retrain. Pure: it does no I/O.

docs/explanation/policy.md describes it question by question. The tests compare this module with a
second implementation, made from that page.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from shared.base.durations import format_duration
from shared.base.words import minute
from shared.retraining.model import Decision, Loop, PolicyAnswer, Retraining, Stage, Window
from shared.retraining.params import Mode, PolicyParams
from shared.retraining.reading import is_measured, rank_metric, rank_signal, read_window
from shared.retraining.windows import (
    METRICS_MAX,
    OLD_METRICS_MAX,
    clean_window,
    cut_window,
    finite_window,
    join_windows,
)

#: So many of the newest windows keep METRICS_MAX metrics; older ones keep fewer.
_NEW_WINDOWS = 5

#: Stages that another event ends; without one they end at their timeout.
_TIMED = frozenset({Stage.STARTING, Stage.RUNNING, Stage.DEPLOYING})
_NOT_STARTED = frozenset({Stage.ASKED, Stage.REJECTED})
_IN_VAIN = frozenset({Stage.FAILED, Stage.NOT_BETTER, Stage.ROLLED_BACK})
#: Stages after which a deployment is not reported: only further drift shows that they did not help.
_UNTOLD = frozenset({Stage.TRAINED, Stage.REGISTERED})


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """The facts that a decision needs beside the loop.

    `running` and `started` count this reaction's other retrainings, of all monitors: those that
    have not ended, and those that were started within the last seven days. `rollout` names one of
    the model that is under way, "" if there is none.
    """

    now: datetime
    mode: Mode = Mode.AUTO
    running: int = 0
    started: int = 0
    rollout: str = ""


def decide_window(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> Decision:
    """Decide about a window that the loop has seen. Total: it never raises.

    If the loop knows more of the window than the one given, that counts. Windows that were reported
    after it do not count.
    """
    window = loop.seen(window.id) or window
    reading = read_window(policy, window)
    answer, reason = reading.answer, reading.reason
    if answer is None:
        held = (ask(policy, loop, window, facts) for ask in _QUESTIONS)
        answer, reason = next(filter(None, held), (PolicyAnswer.RETRAIN, reason))
    return Decision(window=window.id, at=facts.now, answer=answer, reason=reason)


def learn(policy: PolicyParams, loop: Loop, window: Window, now: datetime) -> Loop:
    """Return the loop with this window, and with its evidence on the retrainings before it.

    A known window is joined with the new report. Each window keeps as many metrics as a row has
    room for: METRICS_MAX, or OLD_METRICS_MAX if five newer windows are known. The metrics that
    decide the policy's answer come first, then the greatest effects.
    """
    window = clean_window(_cut(policy, finite_window(window), METRICS_MAX))
    known = loop.seen(window.id)
    loop = loop.with_window(window if known is None else join_windows(known, window))
    newest = len(loop.windows) - _NEW_WINDOWS
    learned = replace(
        loop,
        windows=tuple(
            _cut(policy, item, METRICS_MAX if place >= newest else OLD_METRICS_MAX)
            for place, item in enumerate(loop.windows)
        ),
        retrainings=tuple(_timed_out(policy, item, now) for item in loop.retrainings),
    )
    return _judge_retrainings(policy, learned)


def count_in_vain(policy: PolicyParams, loop: Loop) -> int:
    """Count the newest retrainings that ended without helping.

    The count goes back to the first that helped, or after which the drift was over, or that was
    decided before a person resumed the loop. Retrainings that have not ended, were rejected, or
    were not judged by a window yet, are passed over.
    """
    readings = [(item.at, read_window(policy, item).drifted) for item in loop.windows]
    recovered_at = max((at for at, drifted in readings if drifted is False), default=None)
    drifted_at = max((at for at, drifted in readings if drifted), default=None)
    count = 0
    for item in reversed(loop.retrainings):
        is_over = recovered_at is not None and recovered_at > item.decided_at
        is_forgiven = loop.resumed_at is not None and item.decided_at <= loop.resumed_at
        if item.helped or is_over or is_forgiven:
            break
        if item.stage in _UNTOLD:
            count += drifted_at is not None and drifted_at > item.changed_at
        else:
            count += item.stage in _IN_VAIN or (item.stage is Stage.LIVE and item.helped is False)
    return count


def must_give_up(policy: PolicyParams, loop: Loop) -> bool:
    """Say whether too many retrainings did not help, so a person has to look."""
    return count_in_vain(policy, loop) >= policy.give_up_after


type _Held = tuple[PolicyAnswer, str] | None


def _too_few_windows(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> _Held:
    before = [item for item in loop.windows if item.place < window.place]
    recent = [item for item in (*before, window) if is_measured(item)][-policy.windows.of :]
    drifted = sum(read_window(policy, item).answer is None for item in recent)
    if drifted >= policy.windows.breached:
        return None
    return (
        PolicyAnswer.TOO_FEW_WINDOWS,
        f"{drifted} of the last {len(recent)} windows drifted,"
        f" {policy.windows.breached} of {policy.windows.of} are wanted",
    )


def _gave_up(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> _Held:
    if loop.gave_up_at is not None and loop.has_given_up:
        return PolicyAnswer.GAVE_UP, f"given up on {_when(loop.gave_up_at)}: a person has to look"
    if must_give_up(policy, loop):
        count = count_in_vain(policy, loop)
        return (
            PolicyAnswer.GAVE_UP,
            f"the last {count} retrainings did not help: a person has to look",
        )
    return None


def _under_way(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> _Held:
    for item in reversed(loop.retrainings):
        if item.stage.is_under_way and not _is_overdue(policy, item, facts.now):
            word = "waits for a person" if item.stage is Stage.ASKED else f"is {item.stage}"
            reason = f"retraining {item.id[:8]} {word}, since {_when(item.changed_at)}"
            return PolicyAnswer.UNDER_WAY, reason
    return None


def _too_early(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> _Held:
    lives = [item.live_at for item in loop.retrainings if item.stage is Stage.LIVE and item.live_at]
    live_at, began = max(lives, default=None), _began(window)
    if live_at is None or live_at <= began:
        return None
    return (
        PolicyAnswer.TOO_EARLY,
        f"the window began on {_when(began)}, before the retrained model was live on"
        f" {_when(live_at)}",
    )


def _cooldown(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> _Held:
    if facts.mode is Mode.NOTIFY:
        times = [item.at for item in loop.decisions if item.answer is PolicyAnswer.TELL]
    else:
        times = [item.decided_at for item in loop.retrainings if item.stage not in _NOT_STARTED]
    last = max(times, default=None)
    if last is None or facts.now - last >= policy.cooldown:
        return None
    return PolicyAnswer.COOLDOWN, f"cooldown until {_when(_later(last, policy.cooldown))}"


def _rollout(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> _Held:
    if not policy.quiet or not facts.rollout:
        return None
    return PolicyAnswer.ROLLOUT, f"rollout {facts.rollout} is under way"


def _by_person(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> _Held:
    if facts.mode is Mode.AUTO:
        return None
    answer = PolicyAnswer.TELL if facts.mode is Mode.NOTIFY else PolicyAnswer.ASK
    return answer, read_window(policy, window).reason


def _at_once(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> _Held:
    if facts.running < policy.at_once:
        return None
    return (
        PolicyAnswer.AT_ONCE,
        f"{facts.running} retrainings are running, {policy.at_once} at the most",
    )


def _per_week(policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts) -> _Held:
    if facts.started < policy.per_week:
        return None
    reason = f"{facts.started} were started within 7 days, {policy.per_week} at the most"
    return PolicyAnswer.PER_WEEK, reason


#: The questions about a window that has drifted, in order: the first that holds gives the answer.
_QUESTIONS: tuple[Callable[[PolicyParams, Loop, Window, PolicyFacts], _Held], ...] = (
    _too_few_windows,
    _gave_up,
    _under_way,
    _too_early,
    _cooldown,
    _rollout,
    _by_person,
    _at_once,
    _per_week,
)


def _cut(policy: PolicyParams, window: Window, metrics: int) -> Window:
    return cut_window(
        window,
        metrics=metrics,
        rank_signal=lambda name, seen: rank_signal(policy, name, seen),
        rank_metric=lambda name, metric: rank_metric(policy, name, metric),
    )


def _timed_out(policy: PolicyParams, retraining: Retraining, now: datetime) -> Retraining:
    if not _is_overdue(policy, retraining, now):
        return retraining
    reason = f"still {retraining.stage} after {format_duration(policy.timeout)}"
    return replace(
        retraining,
        stage=Stage.FAILED,
        changed_at=now,
        ended_at=retraining.ended_at or now,
        reason=reason,
    )


def _judge_retrainings(policy: PolicyParams, loop: Loop) -> Loop:
    """Note which retrainings have helped, by the first window that measured their model.

    It is computed again as long as that window is kept, because more may be reported of it, and of
    those before it.
    """
    if all(item.stage is not Stage.LIVE for item in loop.retrainings):
        return loop
    readings = [(item, read_window(policy, item).drifted) for item in loop.windows]
    served = {item.id: _served(loop, item) for item in loop.windows}
    for item in loop.retrainings:
        if item.stage is not Stage.LIVE or (item.judged_in and not loop.seen(item.judged_in)):
            continue
        first = next(
            (
                (window.id, drifted)
                for window, drifted in readings
                if drifted is not None and served[window.id] == item.id
            ),
            None,
        )
        if first is not None:
            loop = loop.with_retraining(replace(item, helped=not first[1], judged_in=first[0]))
        elif item.judged_in:
            loop = loop.with_retraining(replace(item, helped=None, judged_in=""))
    return loop


def _served(loop: Loop, window: Window) -> str:
    """Return the retraining whose model was the last to go live when the window began, or ""."""
    began = _began(window)
    lives = [
        (item.live_at, place)
        for place, item in enumerate(loop.retrainings)
        if item.stage is Stage.LIVE and item.live_at is not None and item.live_at <= began
    ]
    return loop.retrainings[max(lives)[1]].id if lives else ""


def _is_overdue(policy: PolicyParams, retraining: Retraining, now: datetime) -> bool:
    return retraining.stage in _TIMED and now - retraining.changed_at > policy.timeout


def _began(window: Window) -> datetime:
    return window.at if window.start is None else window.start


def _later(at: datetime, by: timedelta) -> datetime:
    end = datetime.max.replace(tzinfo=UTC)
    return at + by if by < end - at else end


def _when(at: datetime) -> str:
    return minute(at)
