"""Work that kills its worker is tried twice and no more: a third death ends the Functions host."""

import itertools
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.base.errors import StorageUnavailable
from shared.journal import letters, records
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.engine import advance
from shared.rollouts.state.phases import Phase
from tests.stories.kill import Killed
from tests.stories.world import REACTIONS, World, run_status_changed

#: The host takes a message to be failed after this.
AGAIN = timedelta(minutes=1)
#: It gives up at the third death with no longer span than this between two.
MEMORY = timedelta(minutes=30)
DAY = timedelta(days=1)


class Host:
    """Hands messages out as the Functions host does, and counts how often its worker dies."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.deaths: list[datetime] = []
        self._failed: list[tuple[datetime, int, Callable[[bool], None]]] = []

    def send(self, event: dict[str, Any]) -> None:
        """Have an event in the queue of events."""
        text = json.dumps(event)
        self._hand_out(lambda is_again: self.world.react.react_to_body(text, is_again=is_again))

    def run(self, span: timedelta) -> None:
        """Hand out all that is due in so much time."""
        end = self.world.clock.now() + span
        while (due := self._next_due()) is not None and due <= end:
            self.world.clock.time = max(self.world.clock.time, due)
            now, failed = self.world.clock.now(), self._failed
            self._failed = [one for one in failed if one[0] > now]
            for _, count, task in [one for one in failed if one[0] <= now]:
                self._hand_out(task, count)
            for text in self.world.queues.take(advance.QUEUE):
                self._hand_out(self._tick(text))
            for text in self.world.queues.take(letters.QUEUE):
                self._hand_out(self._letter(text))
        self.world.clock.time = end

    def _tick(self, text: str) -> Callable[[bool], None]:
        return lambda is_again: self.world.rollouts.advance(text, redelivered=is_again)

    def _letter(self, text: str) -> Callable[[bool], None]:
        def replay(is_again: bool) -> None:
            letter = self.world.letters.due(text, redelivered=is_again)
            if letter is not None:
                self.world.react.replay(letter)

        return replay

    def _hand_out(self, task: Callable[[bool], None], count: int = 1) -> None:
        try:
            task(count > 1)
        except Killed:
            self.deaths.append(self.world.clock.now())
            self.world.start_app()
        except Exception:  # noqa: BLE001 - the host logs it
            pass
        else:
            return
        if count < 5:
            self._failed.append((self.world.clock.now() + AGAIN, count + 1, task))

    def _next_due(self) -> datetime | None:
        dues = [due for due, _, _ in self._failed]
        if (due := self.world.next_due()) is not None:
            dues.append(due)
        return min(dues, default=None)

    def require_alive(self) -> None:
        """Require that the host never had a reason to give up."""
        recent = 0
        for number, death in enumerate(self.deaths):
            is_fresh = number == 0 or death - self.deaths[number - 1] > MEMORY
            recent = 1 if is_fresh else recent + 1
            assert recent < 3, self.deaths


def kill(*_: Any, **__: Any) -> None:
    """Kill whoever comes here."""
    raise Killed


def test_a_message_that_kills_its_worker_is_parked_after_two_deaths_and_says_so() -> None:
    world = World()
    host = Host(world)
    world.channels.send = kill  # type: ignore[method-assign]
    host.send(run_status_changed("e1", world.clock.now()))
    host.run(DAY)
    assert len(host.deaths) == 2
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "worker.cut_off_again")


def test_a_letter_whose_replay_kills_its_worker_is_parked_and_its_step_has_failed() -> None:
    world = World()
    host = Host(world)
    world.channels.make_down("team")
    world.react.react(run_status_changed("e1", world.clock.now()))
    world.channels.send = kill  # type: ignore[method-assign]
    host.run(DAY)
    assert len(host.deaths) == 2
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "worker.cut_off_again")
    outcome = world.outcome("tell-failed-runs/notify")
    assert (outcome.status, outcome.code) == (OutcomeStatus.FAILED, letter.code)


def test_an_event_that_kills_its_worker_on_its_way_from_event_grid_is_parked_too() -> None:
    world = World()
    host = Host(world)
    event = run_status_changed("e1", world.clock.now())
    world.channels.send = kill  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.react.react(event)
    world.start_app()
    world.clock.pass_time(timedelta(seconds=10))
    world.react.react(event)  # Event Grid comes again
    host.run(DAY)
    assert len(host.deaths) == 1, "and the one above"
    assert [letter.status for letter in world.all_letters()] == [LetterStatus.PARKED]


def test_what_a_person_replays_after_the_cause_is_mended_is_done() -> None:
    world = World()
    host = Host(world)
    send = world.channels.send
    world.channels.send = kill  # type: ignore[method-assign]
    host.send(run_status_changed("e1", world.clock.now()))
    host.run(DAY)
    world.channels.send = send  # type: ignore[method-assign]
    (letter,) = world.all_letters()
    world.letters.reopen(letter)
    host.run(DAY)
    assert world.outcome("tell-failed-runs/notify").status is OutcomeStatus.DONE
    assert {letter.status for letter in world.all_letters()} == {LetterStatus.CLOSED}


def test_what_was_cut_off_once_beside_something_else_is_done() -> None:
    world = World()
    host = Host(world)
    send = world.channels.send
    world.channels.send = kill  # type: ignore[method-assign]
    host.send(run_status_changed("e1", world.clock.now()))
    world.channels.send = send  # type: ignore[method-assign]
    host.run(DAY)
    assert world.told() == ["run-1 failed"]
    assert {letter.status for letter in world.all_letters()} == {LetterStatus.CLOSED}


def test_a_letter_whose_replay_fails_for_want_of_storage_is_not_taken_for_a_killer() -> None:
    world = World()
    host = Host(world)
    world.channels.make_down("team")
    world.react.react(run_status_changed("e1", world.clock.now()))
    world.channels.make_well("team")
    add, failures = world.records.add, [1, 2, 3, 4]

    def fail(*given: Any, **how: Any) -> None:
        if failures:
            failures.pop()
            raise StorageUnavailable("no answer")
        add(*given, **how)

    world.records.add = fail  # type: ignore[method-assign]
    host.run(DAY)
    assert not failures
    assert [letter.status for letter in world.all_letters()] == [LetterStatus.CLOSED]
    assert world.told() == ["run-1 failed"]


def test_a_tick_that_kills_its_worker_is_put_off_told_and_tried_once_in_a_while() -> None:
    world = World(REACTIONS.replace("timeout: 1h", "timeout: 12h"))
    host = Host(world)
    create = world.workspaces.create_deployment
    world.workspaces.create_deployment = kill  # type: ignore[method-assign]
    world.react.react(world.register("churn", "1"))
    host.run(timedelta(hours=6))
    host.require_alive()
    assert 3 <= len(host.deaths) <= 14
    (rollout,) = world.all_rollouts()
    assert rollout.phase is Phase.DEPLOYMENT
    assert len([title for title in world.told() if "look" in title]) == 1
    world.workspaces.create_deployment = create  # type: ignore[method-assign]
    host.run(timedelta(hours=2))
    assert world.serving() == "1"


def test_a_tick_that_fails_for_want_of_storage_is_not_taken_for_a_killer() -> None:
    world = World()
    host = Host(world)
    failures = [1, 2, 3]
    measure = world.records.add

    def fail(*given: Any, **how: Any) -> None:
        if failures and how.get("delivery") is False:
            failures.pop()
            raise StorageUnavailable("no answer")
        measure(*given, **how)

    world.records.add = fail  # type: ignore[method-assign]
    world.react.react(world.register("churn", "1"))
    began = world.clock.now()
    host.run(DAY)
    assert not failures
    assert world.outcome().status is OutcomeStatus.DONE
    (rollout,) = world.all_rollouts()
    assert rollout.since - began < timedelta(hours=2)
    assert not [title for title in world.told() if "look" in title]


def test_a_letter_that_could_not_be_read_or_written_is_not_taken_for_a_killer() -> None:
    world = World()
    host = Host(world)
    world.channels.make_down("team")
    world.react.react(run_status_changed("e1", world.clock.now()))
    calls, is_flaky = itertools.count(), True

    def flaky(call: Callable[..., Any]) -> Callable[..., Any]:
        def try_it(table: str, *given: Any, **how: Any) -> Any:
            if table == letters.TABLE and is_flaky and next(calls) % 3:
                raise StorageUnavailable("no answer")
            return call(table, *given, **how)

        return try_it

    world.tables.get = flaky(world.tables.get)  # type: ignore[method-assign]
    world.tables.replace = flaky(world.tables.replace)  # type: ignore[method-assign]
    host.run(timedelta(hours=1))
    is_flaky = False
    world.channels.make_well("team")
    host.run(DAY)
    assert [letter.status for letter in world.all_letters()] == [LetterStatus.CLOSED]
    assert world.told() == ["run-1 failed"]


def test_what_is_parked_for_killing_its_worker_is_recorded_though_storage_fails() -> None:
    world = World()
    host = Host(world)
    world.channels.make_down("team")
    world.react.react(run_status_changed("e1", world.clock.now()))
    world.channels.send = kill  # type: ignore[method-assign]
    replace, failures = world.tables.replace, [StorageUnavailable("no answer")]

    def fail(table: str, *given: Any, **how: Any) -> str:
        if table == records.TABLE and len(host.deaths) == 2 and failures:
            raise failures.pop()
        return replace(table, *given, **how)

    world.tables.replace = fail  # type: ignore[method-assign]
    host.run(DAY)
    assert not failures
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "worker.cut_off_again")
    assert world.outcome("tell-failed-runs/notify").status is OutcomeStatus.FAILED
