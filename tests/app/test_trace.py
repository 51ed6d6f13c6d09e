"""A trace goes from a delivery to everything that comes of it, across rows and messages."""

import json

from shared.journal.letters import LetterStatus
from tests.app.stage import Stage

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_a_rollout_and_a_letter_belong_to_the_trace_of_their_delivery(stage: Stage) -> None:
    with stage.untold():
        events = [stage.register("traced"), stage.register("untraceable", kind="custom_model")]
    for event in events:
        assert stage.post([event], traceparent=TRACEPARENT).status_code == 202
    (letter,) = stage.letters(events[1])
    assert letter.status is LetterStatus.PARKED
    assert _trace_of(letter.traceparent) == TRACE
    assert _trace_of(stage.wait_live("traced").traceparent) == TRACE


def test_an_event_from_the_queue_belongs_to_the_trace_of_its_message_s_invocation(
    stage: Stage,
) -> None:
    with stage.untold():
        event = stage.register("queued-trace", kind="custom_model")
    stage.enqueue(json.dumps(event))
    letter = stage.wait_letter(event, "deploy.model_unfit")
    assert len(_trace_of(letter.traceparent)) == 32


def _trace_of(traceparent: str) -> str:
    _, trace, _, _ = traceparent.split("-")
    return trace
