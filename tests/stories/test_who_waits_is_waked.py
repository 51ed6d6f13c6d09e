"""A rollout that waits for an endpoint goes on as soon as it is free, however its holder ended."""

from datetime import timedelta
from typing import Any

import pytest

from shared.rollouts.engine import advance
from shared.rollouts.engine.store import TABLE, RolloutStore
from shared.rollouts.state.phases import EXCLUSIVE, Phase
from shared.rollouts.state.rollout import Rollout
from tests.stories.kill import Killed
from tests.stories.world import World

SOON = timedelta(minutes=2)


def locks(world: World) -> list[str]:
    """Return who has an endpoint."""
    return [str(row.values["holder"]) for row in world.rows(TABLE) if row.key == "lock"]


def rollout_of(world: World, version: str) -> Rollout:
    """Return the rollout of a version."""
    (found,) = [each for each in world.all_rollouts() if each.model.version == version]
    return found


def one_about_to_end() -> World:
    """Return a world where version 1 has nearly all traffic."""
    world = World()
    world.workspaces.behaviour.takes = timedelta(seconds=20)
    world.react.react(world.register("churn", "1"))
    world.settle(until=lambda: rollout_of(world, "1").phase is Phase.SHIFTING)
    return world


def require_soon(world: World) -> None:
    """Require that version 2 begins soon, and goes live."""
    began = world.clock.now()
    world.settle(until=lambda: rollout_of(world, "2").phase is not Phase.QUEUED)
    assert world.clock.now() - began < SOON
    world.settle()
    assert world.serving() == "2"
    assert locks(world) == []


def test_a_worker_that_dies_before_it_wakes_anybody_leaves_nobody_waiting() -> None:
    world = one_about_to_end()
    world.react.react(world.register("churn", "2"))
    world.deliver()
    waiting, send = rollout_of(world, "2"), world.queues.send

    def die(queue: str, text: str, **how: Any) -> None:
        if waiting.id in text:
            raise Killed
        send(queue, text, **how)

    world.queues.send = die  # type: ignore[method-assign]
    handed: list[str] = []

    def work() -> None:
        while True:
            handed[:] = world.queues.take(advance.QUEUE)
            for text in handed:
                world.rollouts.advance(text)
            world.clock.pass_time(timedelta(seconds=1))

    with pytest.raises(Killed):
        work()
    world.queues.send = send  # type: ignore[method-assign]
    world.start_app()
    world.clock.pass_time(timedelta(minutes=1))
    for text in handed:
        world.rollouts.advance(text, redelivered=True)
    require_soon(world)


def test_a_worker_that_dies_before_it_lets_go_leaves_no_lock() -> None:
    world = one_about_to_end()
    delete = world.tables.delete

    def die(table: str, partition: str, key: str, **how: Any) -> None:
        if key == "lock":
            world.tables.delete = delete  # type: ignore[method-assign]
            raise Killed
        delete(table, partition, key, **how)

    world.tables.delete = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.settle()
    world.start_app()
    assert len(locks(world)) == 1
    world.clock.pass_time(timedelta(minutes=10))
    world.sweep.run()
    world.settle()
    assert locks(world) == []
    assert world.serving() == "1"


def test_a_lock_that_is_let_go_while_who_waits_is_busy_wakes_it_all_the_same() -> None:
    world = one_about_to_end()
    lock, is_done = RolloutStore.lock, False

    def look_away(self: RolloutStore, rollout: Rollout) -> bool:
        nonlocal is_done
        has_it = lock(self, rollout)
        while not has_it and not is_done:  # the other one ends, while this tick knows it has not
            is_done = rollout_of(world, "1").phase not in EXCLUSIVE
            world.clock.pass_time(timedelta(seconds=1))
            for text in world.queues.take(advance.QUEUE):
                world.rollouts.advance(text)
        return has_it

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RolloutStore, "lock", look_away)
        world.react.react(world.register("churn", "2"))
        world.deliver()
    assert is_done
    require_soon(world)
