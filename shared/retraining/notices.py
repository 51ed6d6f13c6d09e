"""What people are told of a loop, and in which words."""

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
_TEXT_MAX = 4000


class RetrainingNoticeKind(StrEnum):
    """What people are told of a loop."""

    STARTED = "started"
    ASKED = "asked"
    DRIFT = "drift"
    DATA_QUALITY = "data quality"
    BROKEN = "monitor broken"
    FAILED = "failed"
    TRAINED = "trained"
    NOT_BETTER = "not better"
    RECOVERED = "recovered"
    GAVE_UP = "gave up"


_TITLES = {
    RetrainingNoticeKind.STARTED: "{watched}: retraining started after drift",
    RetrainingNoticeKind.ASKED: "{watched} has drifted: may it be retrained?",
    RetrainingNoticeKind.DRIFT: "{watched} has drifted",
    RetrainingNoticeKind.DATA_QUALITY: "{watched}: its data is broken, so it is not retrained",
    RetrainingNoticeKind.BROKEN: "{watched}: its monitor does not work",
    RetrainingNoticeKind.FAILED: "{watched}: retraining failed",
    RetrainingNoticeKind.TRAINED: "{watched} was retrained",
    RetrainingNoticeKind.NOT_BETTER: "{watched} was retrained, and is not better",
    RetrainingNoticeKind.RECOVERED: "{watched} has recovered",
    RetrainingNoticeKind.GAVE_UP: "{watched}: retraining does not help",
}
_GOOD = {
    RetrainingNoticeKind.TRAINED: True,
    RetrainingNoticeKind.RECOVERED: True,
    RetrainingNoticeKind.DATA_QUALITY: False,
    RetrainingNoticeKind.BROKEN: False,
    RetrainingNoticeKind.FAILED: False,
    RetrainingNoticeKind.GAVE_UP: False,
}


def with_notice(loop: Loop, kind: RetrainingNoticeKind, text: str, *, link: str = "") -> Loop:
    """Return the loop with one more message to its channels; `text` says what happened."""
    notices = notices_to(loop.channels, text_of_retraining(loop, kind, text, link=link))
    return replace(loop, notices=loop.notices + notices)


def text_of_retraining(loop: Loop, kind: RetrainingNoticeKind, text: str, *, link: str) -> Text:
    """Write a message: what is watched, what happened, and a link where there is one."""
    lines = [
        f"Monitor: {loop.monitor}",
        *([f"Model: {loop.model}"] if loop.model else []),
        f"Workspace: {loop.workspace.name}",
        f"Reaction: {loop.reaction}",
        shortened(text, _TEXT_MAX),
        *([link] if link else []),
    ]
    title = _TITLES[kind].format(watched=loop.model or loop.monitor)
    return Text(title=title, body="\n".join(lines), good=_GOOD.get(kind))


def with_news(loop: Loop, before: Loop, window: Window) -> Loop:
    """Return the loop with messages about what it has just learned of retrainings."""
    for item in loop.retrainings:
        known = before.find(item.id)
        if known is None:
            continue
        if item.stage is Stage.FAILED and known.stage is not Stage.FAILED:
            text = f"It failed: {item.reason}"
            loop = with_notice(loop, RetrainingNoticeKind.FAILED, text, link=item.link)
        if item.helped and not known.helped:
            text = describe_window(loop.seen(item.judged_in) or window)
            loop = with_notice(loop, RetrainingNoticeKind.RECOVERED, text)
    return loop


def with_notices(loop: Loop, before: Loop, window: Window, decision: Decision) -> Loop:
    """Return the loop with the message about a decision; a state that goes on is told once."""
    seen = loop.seen(window.id) or window
    text = f"{describe_window(seen)}\n{decision.reason}"
    last = _answered_last(before, seen)
    match decision.answer:
        case PolicyAnswer.ASK:
            text = f"{describe_window(seen)}\n{describe_request(loop, decision)}"
            return with_notice(loop, RetrainingNoticeKind.ASKED, text)
        case PolicyAnswer.TELL:
            return with_notice(loop, RetrainingNoticeKind.DRIFT, text)
        case PolicyAnswer.DATA_QUALITY if last is not PolicyAnswer.DATA_QUALITY:
            return with_notice(loop, RetrainingNoticeKind.DATA_QUALITY, text)
        case PolicyAnswer.MONITOR_BROKEN if last is not PolicyAnswer.MONITOR_BROKEN:
            return with_notice(loop, RetrainingNoticeKind.BROKEN, text)
        case PolicyAnswer.GAVE_UP if not loop.has_given_up:
            text = f"{text}\nTo go on: signalbox loops resume {loop.id}"
            loop = with_notice(loop, RetrainingNoticeKind.GAVE_UP, text)
            return replace(loop, gave_up_at=decision.at)
    return loop


def _answered_last(loop: Loop, window: Window) -> PolicyAnswer | None:
    """Return what was answered to a window, or else to the one before it; None if nothing was.

    Its signals come one by one, and other windows may be decided between them.
    """
    upto = (item.id for item in reversed(loop.windows) if item.place < window.place)
    answers = (loop.decided(each) for each in (window.id, *upto))
    return next((decision.answer for decision in answers if decision is not None), None)


def describe_window(window: Window) -> str:
    """Tell what a window found: its signals, and the metrics that breach by most."""
    lines = [f"Window: {_span(window)}"]
    for name, seen in window.signals.items():
        shown = name or "all signals"
        lines.append(f"{shown}: {seen.state}" + (f" ({seen.detail})" if seen.detail else ""))
        if seen.state is not DriftState.BREACH:
            continue
        worst = sorted(seen.metrics, key=lambda metric: -(metric.effect or 0))
        worst = [metric for metric in worst if metric.breached]
        lines += [f"  {_told(metric)}" for metric in worst[:_METRICS_TOLD]]
        if len(worst) > _METRICS_TOLD:
            lines.append(f"  and {len(worst) - _METRICS_TOLD} more")
    return "\n".join(lines)


def describe_request(loop: Loop, decision: Decision) -> str:
    """Tell a person what is asked of them, and how to answer."""
    return (
        f"{decision.reason}\nTo say yes: signalbox loops approve {loop.id} --by <you>"
        f" --why <reason>\nTo say no: signalbox loops reject {loop.id} --by <you>"
        " --why <reason>"
    )


def _span(window: Window) -> str:
    if window.start is None or window.end is None:
        return window.id
    return f"{minute(window.start)} to {minute(window.end)}"


def _told(metric: Metric) -> str:
    against = "" if metric.threshold is None else f" against {metric.threshold:g}"
    of = f" of {metric.feature}" if metric.feature else ""
    return f"{metric.name}{of}: {metric.value:g}{against}"
