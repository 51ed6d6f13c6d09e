"""A message lost on the way to a queue is sent again; one that waits in the queue is not."""

import json
from datetime import timedelta

from shared.base.errors import ChannelDown, failure_of
from shared.journal import letters
from shared.journal.letters import LetterStatus
from shared.rollouts.engine import advance
from tests.stories.world import World, run_status_changed

MINUTE = timedelta(minutes=1)
MANY = 300
EACH_MINUTE = 15
DOWN = failure_of(ChannelDown("no answer"))


class Storm:
    """Many letters that are due at once, and a worker that takes a few each minute."""

    def __init__(self) -> None:
        self.world = World()
        self.sent = 0
        send = self.world.queues.send

        def count(queue: str, text: str, *, delay: timedelta = timedelta(0)) -> None:
            self.sent += queue == letters.QUEUE
            send(queue, text, delay=delay)

        self.world.queues.send = count  # type: ignore[method-assign]
        for number in range(MANY):
            body = json.dumps(run_status_changed(f"e{number}", self.world.clock.now()))
            self.world.letters.bury(body, DOWN, reaction="tell-failed-runs")

    def waiting(self) -> int:
        """Return how many letters wait."""
        return len(list(self.world.letters.all(LetterStatus.WAITING)))

    def pass_minutes(self, minutes: int) -> None:
        """Let time pass, with a sweep every five minutes."""
        for minute in range(minutes):
            self.world.clock.pass_time(MINUTE)
            for text in self.world.queues.take(letters.QUEUE, most=EACH_MINUTE):
                letter = self.world.letters.due(text)
                if letter is not None:
                    self.world.react.replay(letter)
            if minute % 5 == 4:
                self.world.sweep.run()


def test_in_a_storm_each_letter_is_sent_once_and_all_are_replayed_in_time() -> None:
    storm = Storm()
    storm.pass_minutes(MANY // EACH_MINUTE + 1)
    assert storm.waiting() == 0
    assert storm.sent == MANY


def test_what_is_lost_in_a_storm_is_sent_again_once_when_its_turn_is_over() -> None:
    storm = Storm()
    storm.world.clock.pass_time(MINUTE)
    lost = storm.world.queues.take(letters.QUEUE, most=20)
    storm.pass_minutes(MANY // EACH_MINUTE + 15)
    assert storm.waiting() == 0
    assert storm.sent == MANY + len(lost)


def test_a_tick_that_is_only_queued_is_not_sent_again() -> None:
    world = World()
    for number in range(4):
        world.react.react(world.register(f"churn-{number}", "1"))
    world.clock.pass_time(10 * MINUTE)
    for _ in range(3):
        world.sweep.run()
        world.clock.pass_time(5 * MINUTE)
    assert len(world.queues.waiting(advance.QUEUE)) == 4
    assert world.queues.take(advance.QUEUE)  # all are lost
    world.sweep.run()
    assert len(world.queues.waiting(advance.QUEUE)) == 4
