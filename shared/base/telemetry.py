"""Every span, metric and attribute of the app, and the trace context that messages carry.

Only the OpenTelemetry API is used: the Functions worker decides what is exported, and where
(docs/reference/telemetry.md). Without an SDK none of this does anything.
"""

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.base.outgoing import for_log
from shared.base.redact import redact

SPAN_REACT = "signalbox.react"
SPAN_ACTION = "signalbox.action"
SPAN_REPLAY = "signalbox.replay"
SPAN_TICK = "signalbox.tick"
SPAN_SWEEP = "signalbox.sweep"

METRIC_OUTCOMES = "signalbox.outcomes"
METRIC_LETTERS = "signalbox.letters"
METRIC_ROLLOUTS = "signalbox.rollouts"
METRIC_GATES = "signalbox.gates"
METRIC_MESSAGES = "signalbox.messages"
METRIC_DECISIONS = "signalbox.decisions"
METRIC_RETRAININGS = "signalbox.retrainings"
METRIC_ANNOUNCEMENTS = "signalbox.announcements"

ATTR_EVENT_TYPE = "signalbox.event.type"
ATTR_EVENT_KEY = "signalbox.event.key"
ATTR_REACTION = "signalbox.reaction"
ATTR_ACTION = "signalbox.action"
ATTR_STATUS = "signalbox.status"
ATTR_CODE = "signalbox.code"
ATTR_ROLLOUT = "signalbox.rollout"
ATTR_PHASE = "signalbox.phase"
ATTR_GATE = "signalbox.gate"
ATTR_OUTCOME = "signalbox.outcome"
ATTR_CHANNEL = "signalbox.channel"
ATTR_ANSWER = "signalbox.answer"
ATTR_STAGE = "signalbox.stage"

#: The fields of log records beside the message: our own names and ids, never text from outside.
LOG_FIELDS = frozenset(
    {
        "event",
        "step",
        "reaction",
        "rollout",
        "loop",
        "launch",
        "letter",
        "channel",
        "code",
        "orphan",
    }
)
_TRACEBACK_MAX = 16_000

#: Made here, because `opentelemetry.propagate` searches every installed package for others.
_W3C = TraceContextTextMapPropagator()

#: The counters and their descriptions.
COUNTERS: Mapping[str, str] = {
    METRIC_OUTCOMES: "Outcomes of steps, by reaction, status and code",
    METRIC_LETTERS: "Letters, by status and code",
    METRIC_ROLLOUTS: "Rollouts that entered a phase, by phase",
    METRIC_GATES: "Looks at gates, by gate and outcome",
    METRIC_MESSAGES: "Messages to channels, by channel and status",
    METRIC_DECISIONS: "Decisions about windows of monitors, by reaction and answer",
    METRIC_ANNOUNCEMENTS: "Announcements for other systems, by type and status",
    METRIC_RETRAININGS: "Retrainings that came to a stage, by stage",
}


@contextmanager
def span(name: str, *, parent: str = "", **attributes: str) -> Iterator[trace.Span]:
    """Run the block in a span; `parent` is a traceparent that a message carried.

    Of an exception only the type is recorded: its text, and that of its causes, may hold anything.
    """
    with (
        caused_by(parent),
        trace.get_tracer("signalbox").start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as current,
    ):
        current.set_attributes({f"signalbox.{key}": value for key, value in attributes.items()})
        try:
            yield current
        except BaseException as error:
            current.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


@contextmanager
def caused_by(parent: str) -> Iterator[None]:
    """Run the block in the trace of `parent`, a traceparent; "" leaves the trace as it is."""
    token = context.attach(_W3C.extract({"traceparent": parent})) if parent else None
    try:
        yield
    finally:
        if token is not None:
            context.detach(token)


def traceparent() -> str:
    """Return the current trace context in W3C form; "" where there is none."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get("traceparent", "")


def count(metric: str, **attributes: str) -> None:
    """Add one to a counter."""
    labels = {f"signalbox.{key}": value for key, value in attributes.items()}
    _counter(metric).add(1, labels)


@cache
def _counter(metric: str) -> Any:
    return metrics.get_meter("signalbox").create_counter(metric, description=COUNTERS[metric])


def guard_logs() -> None:
    """Keep secrets, and text that looks like another line, out of every log record of this process.

    It is done where records are made, so that it covers every logger and every handler. A traceback
    becomes part of the message, with each line indented, because its last line may hold anything.
    """
    make = logging.getLogRecordFactory()
    if not isinstance(make, _GuardedRecords):
        logging.setLogRecordFactory(_GuardedRecords(make))


class _GuardedRecords:
    """Makes log records whose message is complete and clean."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **values: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **values)
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the format and its values don't fit
            message = str(record.msg)
        record.msg, record.args = for_log(message), None
        if record.exc_info and record.exc_info[1] is not None:
            record.msg += _indented(record.exc_info[1])
            record.exc_info = None
        return record


def _indented(error: BaseException) -> str:
    text = redact("".join(traceback.format_exception(error)), most=_TRACEBACK_MAX)
    return "".join(f"\n  {line}" for line in text.splitlines())
