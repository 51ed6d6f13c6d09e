"""The messages about a loop: which change is worth one, and what it says."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from shared.base.words import minute, shortened
from shared.events.model import DriftState, Metric
from shared.messages.notice import Text, notices_to
from shared.retraining.model import (
    Decision,
    Loop,
    PolicyAnswer,
    Stage,
    Window,
)

_METRICS_TOLD = 5
_BODY_MAX = 4000


class RetrainingNoticeKind(StrEnum):
    """The subject of a message about a loop: its title."""

    STARTED = "{watched}: retraining started after drift"
    ASKED = "{watched} has drifted: approve its retraining?"
    DRIFT = "{watched} has drifted"
    DATA_QUALITY = "{watched}: its data is broken, so it is not retrained"
    BROKEN = "{watched}: its monitor does not work"
    FAILED = "{watched}: retraining failed"
    TRAINED = "{watched} was retrained"
    NOT_BETTER = "{watched} was retrained, but is not better"
    RECOVERED = "{watched} has recovered"
    GAVE_UP = "{watched}: retraining stopped, because it does not help"


_GOOD = {
    RetrainingNoticeKind.TRAINED: True,
    RetrainingNoticeKind.RECOVERED: True,
    RetrainingNoticeKind.DATA_QUALITY: False,
    RetrainingNoticeKind.BROKEN: False,
    RetrainingNoticeKind.FAILED: False,
    RetrainingNoticeKind.GAVE_UP: False,
}
#: The messages that somebody has to act on.
_FOR_PERSONS = {RetrainingNoticeKind.ASKED, RetrainingNoticeKind.GAVE_UP}


def with_notice(
    loop: Loop,
    kind: RetrainingNoticeKind,
    reason: str = "",
    *,
    facts: Sequence[str] = (),
    window: Window | None = None,
) -> Loop:
    """Return the loop with one more message: the reason, what it is about, facts, the window.

    The window comes last, because it may be long: what channels and a row do not take is cut.
    """
    lines = [
        *([f"Reason: {reason}"] if reason else []),
        *([f"Model: {loop.model}"] if loop.model else []),
        f"Monitor: {loop.monitor}",
        f"Workspace: {loop.workspace.name}",
        f"Reaction: {loop.reaction}",
        *filter(None, facts),
        *([_described(window)] if window is not None else []),
    ]
    title = kind.format(watched=loop.model or loop.monitor)
    body = shortened("\n".join(lines), _BODY_MAX)
    text = Text(title=title, body=body, good=_GOOD.get(kind), needs_person=kind in _FOR_PERSONS)
    return replace(loop, notices=loop.notices + notices_to(loop.channels, text))


def with_news(loop: Loop, before: Loop, window: Window) -> Loop:
    """Return the loop with messages about what the window has shown of its retrainings."""
    for item in loop.retrainings:
        known = before.find(item.id)
        if known is None:
            continue
        if item.stage is Stage.FAILED and known.stage is not Stage.FAILED:
            loop = with_notice(loop, RetrainingNoticeKind.FAILED, item.reason, facts=[item.link])
        if item.helped and not known.helped:
            seen = loop.seen(item.judged_in) or window
            loop = with_notice(loop, RetrainingNoticeKind.RECOVERED, window=seen)
    return loop


def with_notices(loop: Loop, before: Loop, window: Window, decision: Decision) -> Loop:
    """Return the loop with the message about a decision; a state that goes on is told once."""
    seen = loop.seen(window.id) or window
    last = _answered_last(before, seen)
    facts: list[str] = []
    match decision.answer:
        case PolicyAnswer.ASK:
            kind = RetrainingNoticeKind.ASKED
            facts = [_command(loop, order) for order in ("approve", "reject")]
        case PolicyAnswer.TELL:
            kind = RetrainingNoticeKind.DRIFT
        case PolicyAnswer.DATA_QUALITY if last is not PolicyAnswer.DATA_QUALITY:
            kind = RetrainingNoticeKind.DATA_QUALITY
        case PolicyAnswer.MONITOR_BROKEN if last is not PolicyAnswer.MONITOR_BROKEN:
            kind = RetrainingNoticeKind.BROKEN
        case PolicyAnswer.GAVE_UP if not loop.has_given_up:
            kind = RetrainingNoticeKind.GAVE_UP
            facts = [_command(loop, "resume")]
            loop = replace(loop, gave_up_at=decision.at)
        case _:
            return loop
    return with_notice(loop, kind, decision.reason, facts=facts, window=seen)


def _command(loop: Loop, order: str) -> str:
    return f'To {order}: signalbox loops {order} {loop.id} --why "reason"'


def _answered_last(loop: Loop, window: Window) -> PolicyAnswer | None:
    """Return what was answered to a window, or else to the one before it; None if nothing was.

    Its signals come one by one, and other windows may be decided between them.
    """
    upto = (item.id for item in reversed(loop.windows) if item.place < window.place)
    answers = (loop.decided(each) for each in (window.id, *upto))
    return next((decision.answer for decision in answers if decision is not None), None)


def _described(window: Window) -> str:
    """Describe a window: its signals, and the metrics that are furthest beyond their thresholds."""
    lines = [f"Window: {_span(window)}"]
    for name, seen in window.signals.items():
        shown = name or "all signals"
        lines.append(f"{shown}: {seen.state}" + (f" ({seen.detail})" if seen.detail else ""))
        if seen.state is not DriftState.BREACH:
            continue
        worst = sorted(seen.metrics, key=lambda metric: -(metric.effect or 0))
        worst = [metric for metric in worst if metric.breached]
        lines += [f"  {_metric_words(metric)}" for metric in worst[:_METRICS_TOLD]]
        if len(worst) > _METRICS_TOLD:
            lines.append(f"  and {len(worst) - _METRICS_TOLD} more")
    return "\n".join(lines)


def _span(window: Window) -> str:
    if window.start is None or window.end is None:
        return window.id
    return f"{minute(window.start)} to {minute(window.end)}"


def _metric_words(metric: Metric) -> str:
    against = "" if metric.threshold is None else f" against {metric.threshold:g}"
    of = f" of {metric.feature}" if metric.feature else ""
    return f"{metric.name}{of}: {metric.value:g}{against}"
