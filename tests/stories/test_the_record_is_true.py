"""The record says what came of an event, after any interruption and in any order of workers."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.base.errors import CutOffAgain
from shared.journal import ledger, letters, records
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus, outcome_from
from shared.rollouts.engine import advance
from tests.searching import examples
from tests.stories.kill import Kill, Killed, Ports, kill_at_every_call, live_through
from tests.stories.world import LEASE, REACTIONS, World, run_status_changed

TELL = "tell-failed-runs/notify"
TWO = (
    REACTIONS.replace("channels: [team]", "channels: [team, others]")
    + """
  - name: tell-others
    on: RunStatusChanged
    do:
      - notify: {channel: others, title: told others}
"""
)


def statuses(world: World) -> dict[str, OutcomeStatus]:
    """Return what is recorded of the steps of the only event."""
    (row,) = world.rows(records.TABLE)
    found = json.loads(str(row.values["outcomes"]))
    return {name: outcome_from(item).status for name, item in found.items()}


def done(world: World) -> set[str]:
    """Return the steps that the ledger knows to be done."""
    rows = [row for row in world.rows(ledger.TABLE) if row.values["status"] == "done"]
    return {row.key.partition(":")[2].replace(":", "/") for row in rows}


def require_true(world: World) -> None:
    """Require that all is done, that nothing waits, and that the record says so."""
    assert {letter.status for letter in world.all_letters()} <= {LetterStatus.CLOSED}
    assert done(world)
    told = statuses(world)
    assert {told[name] for name in done(world)} == {OutcomeStatus.DONE}
    assert OutcomeStatus.WAITING not in told.values()


def replayed(kill_at: Kill) -> tuple[World, Ports]:
    """Have a channel down and then well, with the process killed at one call of a port."""
    world = World(TWO)
    world.channels.make_down("team")
    world.react.react(run_status_changed("e1", world.clock.now()))
    world.channels.make_well("team")
    ports = Ports(world)
    ports.kill_at = kill_at
    live_through(world)
    return world, ports


def test_killed_at_any_call_of_a_replay_the_record_says_that_it_was_done() -> None:
    kill_at_every_call(replayed, lambda world, _: require_true(world), at_least=5)


def test_a_replay_is_not_hidden_by_the_delivery_that_is_still_at_the_next_reaction() -> None:
    world = World(TWO)
    world.channels.make_down("team")
    send = world.channels.send

    def be_slow(channel: str, **message: Any) -> None:
        if channel == "others":
            world.channels.make_well("team")
            world.clock.pass_time(timedelta(seconds=15))
            world.deliver()
            assert statuses(world)[TELL] is OutcomeStatus.DONE
        send(channel, **message)

    world.channels.send = be_slow  # type: ignore[method-assign]
    world.react.react(run_status_changed("e1", world.clock.now()))
    assert statuses(world)[TELL] is OutcomeStatus.DONE


def test_a_replay_that_comes_late_and_has_no_time_left_does_not_hide_that_it_was_done() -> None:
    world = World()
    world.channels.make_down("team")
    world.react.react(run_status_changed("e1", world.clock.now()))
    world.channels.make_well("team")
    (letter,) = world.all_letters()
    begin = world.react._steps.run

    def be_slow(*given: Any) -> Any:
        world.react._steps.run = begin  # type: ignore[method-assign]
        world.settle()
        world.clock.pass_time(timedelta(seconds=30))
        return begin(*given)

    world.react._steps.run = be_slow  # type: ignore[method-assign]
    world.react.replay(letter)
    require_true(world)


def test_a_rollout_that_is_killed_after_its_last_save_is_recorded_with_no_message_left() -> None:
    world = World()
    world.react.react(world.register("churn", "1"))
    add = world.records.add

    def die(*given: Any, **more: Any) -> None:
        world.records.add = add  # type: ignore[method-assign]
        raise Killed

    world.records.add = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.settle()
    world.start_app()
    world.clock.pass_time(timedelta(minutes=10))
    world.sweep.run()
    world.settle()
    assert world.outcome().status is OutcomeStatus.DONE


class Crowd:
    """Workers that cut in on one another at a message to a channel, and are killed anywhere."""

    def __init__(self, data: st.DataObject) -> None:
        self.world = World(TWO)
        self.data = data
        self.depth = 0
        self.is_taken = False
        self.event = run_status_changed("e1", self.world.clock.now())
        self.in_hand: list[str] = []
        self.handed_out: set[str] = set()
        self._send = self.world.channels.send
        self.world.channels.send = self._cut_in  # type: ignore[method-assign]
        self.ports = Ports(self.world)
        self.world.channels.make_down("team")

    def _cut_in(self, channel: str, **message: Any) -> None:
        if self.depth < 3:
            for _ in range(self.data.draw(st.integers(0, 3), "others that cut in")):
                self.step()
        self._send(channel, **message)

    def step(self) -> None:
        """Let one more thing happen."""
        world = self.world
        steps: dict[str, Callable[[], None]] = {
            "deliver": self.deliver,
            "replay": self._replay,
            "replay, and all is well": self._replay_well,
            "lease": lambda: world.clock.pass_time(LEASE),
            "down": lambda: world.channels.make_down("team"),
        }
        name = self.data.draw(st.sampled_from(sorted(steps)), "step")
        kill_in = self.data.draw(st.none() | st.integers(1, 8), "calls until it is killed")
        if kill_in is not None:
            when = self.data.draw(st.sampled_from(("before", "after")), "when")
            self.ports.kill_at = (len(self.ports.calls) + kill_in, when)
        self.depth += 1
        try:
            steps[name]()
        except Killed:
            pass
        finally:
            self.depth -= 1
            self.ports.kill_at = None

    def deliver(self) -> None:
        """Deliver the event, which is taken unless the worker is killed."""
        self.world.react.react(self.event)
        self.is_taken = True

    def _replay_well(self) -> None:
        self.world.channels.make_well("team")
        self._replay()

    def _replay(self) -> None:
        due = self.world.next_due()
        self.world.clock.time = max(self.world.clock.time, due or self.world.clock.time)
        self.in_hand += self.world.queues.take(letters.QUEUE)
        if self.in_hand:
            self._hand_out(self.data.draw(st.sampled_from(self.in_hand), "message"))

    def _hand_out(self, text: str) -> None:
        is_again = text in self.handed_out
        self.handed_out.add(text)
        letter = self.world.letters.due(text, redelivered=is_again)
        if letter is not None:
            self.world.react.replay(letter)

    def end(self) -> None:
        """Let all channels be well, and everything that is not over be done in peace."""
        self.world.channels.send = self._send  # type: ignore[method-assign]
        self.ports.kill_at = None
        self.world.channels.make_well("team")
        self.world.clock.pass_time(LEASE)
        if not self.is_taken:
            self.world.react.react(self.event)
        for _ in range(3):
            for text in self.in_hand:
                self._hand_out(text)
            self.world.settle()
            for letter in self.world.all_letters():
                if letter.code == CutOffAgain.code:
                    self.world.letters.reopen(letter)
            self.world.settle()
            self.world.clock.pass_time(timedelta(minutes=10))
            self.world.sweep.run()
        assert not self.world.queues.waiting(advance.QUEUE)


@settings(max_examples=examples(120), deadline=None)
@given(st.data())
def test_however_deliveries_and_replays_cut_in_on_one_another_the_record_is_true(
    data: st.DataObject,
) -> None:
    crowd = Crowd(data)
    crowd.deliver()
    for _ in range(data.draw(st.integers(1, 6), "steps")):
        crowd.step()
    crowd.end()
    require_true(crowd.world)
