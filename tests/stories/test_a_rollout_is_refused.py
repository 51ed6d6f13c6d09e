"""A rollout that can't succeed is refused in its first tick: all reasons named, nothing made."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.base.errors import WorkspaceDenied
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.workspaces.model import Capacity, Deployment, State
from tests.stories.rolling import STEP, WHERE, Rolling
from tests.stories.world import WORKSPACE

FAMILY = "standardDSv2Family"
SIZED = """
  sized:
    steps: [probe: {}, traffic: 10%, scale: stable, traffic: 100%]
"""


def room(limit: int, *, used: int = 0) -> Capacity:
    """Return what the region has: cores for instances of four, `used` of them by others."""
    return Capacity(family=FAMILY, cores=4, used=used, limit=limit)


def _lack_quota(world: Rolling) -> None:
    # Version 1 has one instance, and one more that Azure keeps in reserve: 8 of 11 cores.
    world.workspaces.behaviour.capacity = room(11)


def _fill_endpoint(world: Rolling) -> None:
    found = world.workspaces.deployments[world.key]
    for number in range(19):
        name = f"idle-{number}"
        found[name] = Deployment(name=name, state=State.SUCCEEDED)


def _lack_size(world: Rolling) -> None:
    world.workspaces.behaviour.not_offered = frozenset({"Standard_DS3_v2"})


@pytest.mark.parametrize(
    ("lack", "told"),
    [
        (_lack_quota, "1 x Standard_DS3_v2 need 4 cores, besides what Azure keeps in reserve"),
        (_fill_endpoint, "endpoint churn has 20 deployments, and AML lets it have 20"),
        (_lack_size, "the workspace's region lists no VM size Standard_DS3_v2"),
    ],
    ids=["quota", "20 deployments", "instance type"],
)
def test_a_rollout_is_refused_in_one_tick_and_nothing_is_made(
    lack: Callable[[Rolling], None], told: str
) -> None:
    world = Rolling("canary").serve()
    lack(world)
    before = dict(world.workspaces.deployments[world.key])
    made = world.during("create_deployment", lambda: None, nth=99)
    world.roll_out("2")
    world.deliver()
    assert world.rollout().phase is Phase.REFUSED
    assert world.rollout().schedule.tick == 1
    outcome = world.result()
    assert (outcome.status, outcome.code) == (OutcomeStatus.FAILED, "rollout.refused")
    assert told in outcome.detail
    assert told in world.text("churn 2 failed on churn")
    assert made == []
    assert world.workspaces.deployments[world.key] == before
    assert world.live() == {"1": 100}
    # The endpoint is nobody's: what can be done is done.
    world.workspaces.behaviour.capacity, world.workspaces.behaviour.not_offered = None, frozenset()
    for name in [name for name in before if name.startswith("idle-")]:
        del world.workspaces.deployments[world.key][name]
    world.roll_out("3")
    world.settle()
    assert world.live() == {"3": 100}


def test_every_reason_is_told_at_once() -> None:
    world = Rolling("canary").serve()
    _lack_quota(world)
    _fill_endpoint(world)
    world.roll_out("2")
    world.deliver()
    assert "20 deployments" in world.result().detail
    assert f"of 11 of {FAMILY} 3 are left" in world.result().detail


def test_the_largest_size_of_any_step_is_what_has_to_fit() -> None:
    world = Rolling("sized", strategies=SIZED).serve()
    world.workspaces.scale(*WHERE, world.name("1"), 5)
    # Five instances of the old one, and their reserve, are 24 cores. One of the new one would fit
    # beside them; the five that `scale: stable` wants at a tenth of the traffic would not.
    world.workspaces.behaviour.capacity = room(40)
    world.roll_out("2")
    world.deliver()
    assert "5 x Standard_DS3_v2 need 20 cores" in world.result().detail
    world.workspaces.behaviour.capacity = room(48)
    world.order(OrderKind.RETRY)
    world.settle()
    assert world.live() == {"2": 100}


def test_one_gpu_machine_whose_size_skips_the_reserve_needs_no_more_than_its_own_cores() -> None:
    world = Rolling("all-at-once", instance_type="Standard_NC24ads_A100_v4")
    cores = Capacity(family="standardNCADSA100v4Family", cores=24, used=0, limit=24)
    world.workspaces.behaviour.capacity = cores
    world.roll_out("2")
    world.settle()
    assert world.live() == {"2": 100}


def test_where_only_the_reserve_is_lacking_the_service_refuses() -> None:
    world = Rolling("canary").serve()
    world.workspaces.behaviour.capacity = room(12)
    world.roll_out("2")
    world.settle()
    assert world.live() == {"1": 100}
    assert world.left() == {"1": State.SUCCEEDED}
    assert "Current usage/limit: 8/12. Additional needed: 8" in world.result().detail


def test_quota_that_may_not_be_read_refuses_nobody() -> None:
    world = Rolling("canary").serve()

    def refuse(request: str) -> None:
        if request == "find_capacity":
            raise WorkspaceDenied("no right to read usages")

    world.workspaces.before = refuse
    world.roll_out("2")
    world.settle()
    assert world.live() == {"2": 100}


def test_quota_that_somebody_takes_meanwhile_ends_with_the_service_s_reason() -> None:
    world = Rolling("sized", strategies=SIZED).serve()
    world.workspaces.scale(*WHERE, world.name("1"), 2)
    world.workspaces.behaviour.capacity = room(24)
    world.roll_out("2")
    world.go_to(Phase.SHIFTING)
    world.workspaces.behaviour.capacity = room(24, used=4)
    world.settle()
    assert world.live() == {"1": 100}
    assert "Not enough quota available for standardDSv2Family" in world.result().detail
    assert world.left() == {"1": State.SUCCEEDED}


@pytest.mark.parametrize(
    ("flavors", "told"),
    [
        (("sklearn",), "has no python_function flavor, and needs a scoring script"),
        (("sklearn", "python_function"), ""),
        ((), ""),
    ],
    ids=["none that serves", "one that serves", "unknown"],
)
def test_a_model_that_cannot_be_served_without_code(flavors: tuple[str, ...], told: str) -> None:
    world = Rolling("canary")
    event = world.register("churn", "2")
    key = (WORKSPACE.key, "churn", "2")
    world.workspaces.models[key] = replace(world.workspaces.models[key], flavors=flavors)
    world.react.react(event)
    world.settle()
    if not told:
        assert world.live() == {"2": 100}
        return
    assert told in world.result().detail
    assert world.result().status is OutcomeStatus.FAILED
    assert world.workspaces.endpoints == {}
    assert world.all_rollouts() == []


def test_a_tag_cannot_choose_a_strategy_that_is_not_there() -> None:
    world = Rolling("canary")
    world.react.react(world.register("churn", "2", deploy="true", signalbox_rollout="reckless"))
    world.settle()
    outcome = world.outcome_of("churn:2", STEP)
    assert outcome.status is OutcomeStatus.FAILED
    assert world.workspaces.endpoints == {}
    assert world.all_rollouts() == []
