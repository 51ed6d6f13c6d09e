"""A delivery has one time budget, however many events are in it: what is left goes on by itself."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.events.envelopes import OF_CHECKS
from shared.journal.letters import LetterStatus
from tests.stories.world import WITHOUT_CEILING, World, model_registered, run_status_changed

BUDGET = timedelta(seconds=20)
SLOW = timedelta(seconds=9)
MANY = 150


class Slow:
    """A world whose channel takes nine seconds for a message, and how long each delivery took."""

    def __init__(self) -> None:
        self.world = World(WITHOUT_CEILING)
        self.spans: list[timedelta] = []
        send = self.world.channels.send

        def be_slow(channel: str, **message: Any) -> None:
            self.world.clock.pass_time(SLOW)
            send(channel, **message)

        self.world.channels.send = be_slow  # type: ignore[method-assign]
        now = self.world.clock.now()
        self.events = [run_status_changed(f"e{number}", now) for number in range(MANY)]

    def measure(self, delivery: Callable[[], None]) -> None:
        """Run one delivery."""
        began = self.world.clock.now()
        delivery()
        self.spans.append(self.world.clock.now() - began)

    def settle(self) -> None:
        """Run what is due until nothing is."""
        world = self.world
        for _ in range(4 * MANY):
            for text in world.queues.take("dead-letter", most=1):
                letter = world.letters.due(text)
                if letter is not None:
                    self.measure(lambda letter=letter: world.react.replay(letter))
            due = world.next_due()
            if due is None:
                return
            world.clock.time = max(world.clock.time, due)


@pytest.mark.parametrize("way", ["message", "alerts"])
def test_many_events_in_one_delivery_take_a_budget_each_time_and_all_are_done(way: str) -> None:
    slow = Slow()
    if way == "message":
        body = json.dumps(slow.events)
        slow.measure(lambda: slow.world.react.react_to_body(body))
    else:
        slow.measure(lambda: slow.world.react.react_to_all(slow.events))
    slow.settle()
    assert max(slow.spans) < BUDGET + SLOW
    assert slow.world.told() == ["run-1 failed"] * MANY
    assert {letter.status for letter in slow.world.all_letters()} == {LetterStatus.CLOSED}
    assert all(row.values["deliveries"] == 1 for row in slow.world.rows("SignalboxEvents"))


def test_what_is_left_of_a_delivery_is_still_held_to_what_may_come_that_way() -> None:
    slow = Slow()
    world = slow.world
    react = world.react.react

    def be_slow(raw: Any, **how: Any) -> None:
        world.clock.pass_time(BUDGET)
        react(raw, **how)

    world.react.react = be_slow  # type: ignore[method-assign]
    events = [model_registered(f"e{number}", world.clock.now()) for number in range(3)]
    world.react.react_to_body(json.dumps(events), takes=OF_CHECKS)
    slow.settle()
    outcomes = [str(row.values["outcomes"]) for row in world.rows("SignalboxEvents")]
    assert len(outcomes) == 3
    assert all("event.misplaced" in outcome for outcome in outcomes)
