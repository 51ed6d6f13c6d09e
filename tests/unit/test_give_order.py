"""Orders, as people give them: who and why are checked, and what is possible is taken."""

from typing import Any

import pytest

from shared.base.errors import OrderImpossible
from shared.rollouts.engine.give_order import give_order, possible_orders
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from tests.stories.world import World
from tests.unit.rollouts import OLD
from tests.unit.test_forecast import make_rollout


@pytest.fixture
def world() -> World:
    """The app, with no rollout in it."""
    return World()


def keep(world: World, phase: Phase = Phase.HOLDING, stable: str = OLD) -> Rollout:
    """Keep a rollout."""
    return world.rollouts.store.add(make_rollout(phase, step=2, stable=stable)).value


FAULTS = [
    ({"by": " "}, "`by` is empty"),
    ({"by": "x" * 101}, "`by` has 101 characters, the most is 100"),
    ({"by": "ann\x1b[2J"}, "`by` has characters that can't be printed"),
    ({"by": "ann\u202egnp"}, "`by` has characters that can't be printed"),
    ({"why": ""}, "`why` is empty"),
    ({"why": "x" * 501}, "`why` has 501 characters, the most is 500"),
    ({"to_end": True}, "abort: only promote goes to the end"),
]


@pytest.mark.parametrize(("values", "told"), FAULTS, ids=[told for _, told in FAULTS])
def test_who_and_why_are_checked_before_they_are_kept(
    world: World, values: dict[str, Any], told: str
) -> None:
    rollout = keep(world)
    given = {"by": "ann", "why": "so", **values}
    with pytest.raises(OrderImpossible) as caught:
        give_order(world.rollouts, rollout.id, OrderKind.ABORT, **given)
    assert caught.value.message == told
    assert not world.all_rollouts()[0].orders


def test_a_reason_is_kept_on_one_line_and_without_secrets(world: World) -> None:
    why = "see this:\n  curl -H 'Authorization: Bearer abcdefghijklmnopqrstuvwxyz'"
    rollout = keep(world)
    given = give_order(world.rollouts, rollout.id, OrderKind.ABORT, by="ann", why=why)
    assert given.orders[0].why == "see this: curl -H 'Authorization: Bearer [redacted]'"


def test_a_rollout_that_there_is_not_can_t_be_told_anything(world: World) -> None:
    with pytest.raises(OrderImpossible, match="there is no rollout abc"):
        give_order(world.rollouts, "abc\x1b", OrderKind.ABORT, by="ann", why="so")


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("stable", ["", OLD])
def test_what_is_said_to_be_possible_is_what_is_taken(
    world: World, phase: Phase, stable: str
) -> None:
    rollout = keep(world, phase, stable)
    possible = set(possible_orders(rollout))
    for kind in OrderKind:
        if kind in possible:
            give_order(world.rollouts, rollout.id, kind, by="ann", why="so")
        else:
            with pytest.raises(OrderImpossible):
                give_order(world.rollouts, rollout.id, kind, by="ann", why="so")
