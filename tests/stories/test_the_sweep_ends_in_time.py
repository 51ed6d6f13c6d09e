"""A sweep that has too much to do ends in time, and no part of it waits for ever."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import StorageUnavailable, WorkspaceDenied, failure_of
from shared.flow import sweep
from shared.journal.outcomes import EventRef
from shared.messages import repeats
from shared.messages.repeats import Repeat
from tests.stories.world import WITHOUT_CEILING, WORKSPACE, World

MINUTE = timedelta(minutes=1)


def slow_down(world: World, *, by: timedelta = MINUTE) -> None:
    """Have each deletion of a row, a message or a blob take so long."""
    for port in (world.tables, world.queues, world.blobs):
        delete = port.delete

        def take_long(*args: object, _delete=delete, **kwargs: object) -> object:
            world.clock.pass_time(by)
            return _delete(*args, **kwargs)

        port.delete = take_long


def test_a_sweep_ends_before_the_next_one_is_due() -> None:
    world = World()
    for number in range(50):
        world.queues.send("rollouts-poison", f"message {number}")
    slow_down(world)
    began = world.clock.now()
    world.sweep.run()
    assert world.clock.now() - began <= sweep.BUDGET + MINUTE


def test_each_part_of_the_sweep_has_its_turn_however_long_the_others_take() -> None:
    world = World()
    for number in range(500):
        world.queues.send("rollouts-poison", f"message {number}")
    body = json.dumps([world.register("churn", "1")]).encode()
    world.blobs.put("event-grid-dead-letters", "SUB/2026/3/2/9/a.json", body)
    slow_down(world)
    for _ in range(20):
        world.clock.pass_time(5 * MINUTE)
        world.sweep.run()
    assert world.blobs.names("event-grid-dead-letters") == ()


def test_blobs_that_can_not_be_read_keep_no_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep, "BUDGET", timedelta(seconds=30))
    world = World()
    body = json.dumps([world.register("churn", "1")]).encode()
    for number in range(40):
        world.blobs.put("event-grid-dead-letters", f"SUB/{number:03}.json", body)
    get = world.blobs.get

    def fail(container: str, name: str) -> bytes | None:
        world.clock.pass_time(timedelta(seconds=2))
        if name < "SUB/030":
            raise StorageUnavailable("reading a blob: HTTP 500")
        return get(container, name)

    world.blobs.get = fail  # type: ignore[method-assign]
    for _ in range(60):
        world.clock.pass_time(MINUTE)
        with pytest.raises(StorageUnavailable):
            world.sweep.run()
        if len(world.blobs.names("event-grid-dead-letters")) == 30:
            break
    assert len(world.blobs.names("event-grid-dead-letters")) == 30


def test_a_storm_s_poison_is_taken_up_in_one_sweep() -> None:
    world = World()
    for number in range(200):
        event = world.register("churn", str(number + 1))
        world.queues.send("workspace-events-poison", json.dumps(event))
    world.sweep.run()
    assert world.queues.receive("workspace-events-poison") == ()


def park(world: World, number: int) -> None:
    """Park a letter of a reaction that tells the team."""
    ref = EventRef(
        key=f"event-{number}",
        id=str(number),
        type="ModelRegistered",
        time=world.clock.now(),
        source=WORKSPACE.id,
    )
    failure = failure_of(WorkspaceDenied("the role is missing"))
    world.letters.bury("{}", failure, reaction="deploy-tagged-models", ref=ref)


def test_a_sweep_that_tells_of_a_storm_of_parked_letters_ends_in_time() -> None:
    world = World()
    for number in range(500):
        park(world, number)
    replace = world.tables.replace

    def take_long(*args: Any, **kwargs: Any) -> str:
        world.clock.pass_time(timedelta(seconds=1))
        return replace(*args, **kwargs)

    world.tables.replace = take_long  # type: ignore[method-assign]
    began = world.clock.now()
    world.sweep.run()
    assert world.clock.now() - began <= sweep.BUDGET + MINUTE
    for _ in range(60):
        world.clock.pass_time(5 * MINUTE)
        world.sweep.run()
    assert not list(world.letters.untold())
    assert world.told()[0] == "deploy-tagged-models: 500 letters wait for a person"


def test_a_sweep_that_tells_of_many_repeats_by_a_slow_channel_ends_in_time() -> None:
    world = World(WITHOUT_CEILING)
    for number in range(90):
        for event in ("first", "second"):
            repeat = Repeat(
                claim=f"{event}-{number}",
                workspace=WORKSPACE,
                reaction="tell-failed-runs",
                step="notify",
                channel="team",
                key=str(number),
                title=f"run {number} failed",
                within=MINUTE,
            )
            world.folds.place(repeat)
    world.clock.pass_time(2 * MINUTE)
    send = world.channels.send

    def take_long(channel: str, **message: Any) -> None:
        world.clock.pass_time(timedelta(seconds=5))
        send(channel, **message)

    world.channels.send = take_long  # type: ignore[method-assign]
    began = world.clock.now()
    world.sweep.run()
    assert world.clock.now() - began <= sweep.BUDGET + MINUTE
    for _ in range(40):
        world.clock.pass_time(5 * MINUTE)
        world.sweep.run()
    assert len(set(world.told())) == 90


def test_a_sweep_that_forgets_many_folds_ends_in_time() -> None:
    world = World()
    world.clock.time = world.clock.time.replace(hour=3)
    texts = dict.fromkeys(("workspace", "reaction", "step", "channel", "key", "first"), "x")
    ago = world.clock.now() - timedelta(days=60)
    for number in range(500):
        old = {**texts, "open": False, "since": ago, "until": ago}
        world.tables.insert(repeats.TABLE, "00", f"00{number}", old)
    slow_down(world, by=timedelta(seconds=1))
    began = world.clock.now()
    world.sweep.run()
    assert world.clock.now() - began <= sweep.BUDGET + MINUTE
