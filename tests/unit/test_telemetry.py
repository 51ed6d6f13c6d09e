"""Spans: what the app tells an OpenTelemetry SDK, where one is set up."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.base import telemetry
from tests.stories.world import World

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Everything that is traced in a test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def get_tracer(name: str, *_: Any, **__: Any) -> trace.Tracer:
        return provider.get_tracer(name)

    monkeypatch.setattr(trace, "get_tracer", get_tracer)
    yield exporter
    provider.shutdown()


def traces(spans: tuple[ReadableSpan, ...], name: str) -> list[str]:
    """Return the trace of each span with a name."""
    return [f"{span.context.trace_id:032x}" for span in spans if span.name == name]


def test_an_event_and_every_tick_of_its_rollout_are_one_trace(
    exporter: InMemorySpanExporter,
) -> None:
    world = World()
    with telemetry.caused_by(CALLER):
        world.react.react(world.register("churn", "1"))
    world.settle()
    assert world.serving() == "1"
    spans = exporter.get_finished_spans()
    (reaction,) = traces(spans, telemetry.SPAN_REACT)
    ticks = traces(spans, telemetry.SPAN_TICK)
    assert reaction == CALLER.split("-")[1]
    assert len(ticks) > 3
    assert set(ticks) == {reaction}


def test_a_letter_s_replay_is_of_the_trace_of_the_delivery_that_failed(
    exporter: InMemorySpanExporter,
) -> None:
    world = World()
    with telemetry.caused_by(CALLER):
        world.react.react(world.register("churn", "1", kind="custom_model"))
    world.register("churn", "1")
    (letter,) = world.all_letters()
    world.letters.reopen(letter)
    world.settle()
    assert world.serving() == "1"
    spans = exporter.get_finished_spans()
    for name in (telemetry.SPAN_REACT, telemetry.SPAN_REPLAY, telemetry.SPAN_TICK):
        assert set(traces(spans, name)) == {CALLER.split("-")[1]}, name


def test_without_a_caller_s_trace_a_span_begins_one_and_leaves_none_behind(
    exporter: InMemorySpanExporter,
) -> None:
    assert telemetry.traceparent() == ""
    with telemetry.caused_by(""), telemetry.span("work", reaction="r1"):
        inner = telemetry.traceparent()
    assert telemetry.traceparent() == ""
    (span,) = exporter.get_finished_spans()
    assert inner.split("-")[1] == f"{span.context.trace_id:032x}"
    assert span.attributes == {telemetry.ATTR_REACTION: "r1"}


def test_of_what_was_raised_in_a_span_only_the_type_is_told(
    exporter: InMemorySpanExporter,
) -> None:
    with pytest.raises(ValueError, match="sig="), telemetry.span("work"):
        raise ValueError("https://host/status?sig=s3cr3t")
    (span,) = exporter.get_finished_spans()
    assert (span.status.is_ok, span.status.description) == (False, "ValueError")
    assert "s3cr3t" not in span.to_json()
