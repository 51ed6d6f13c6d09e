"""Obstacles to a deployment are found before anything is made."""

from dataclasses import replace

import pytest

from shared.base.errors import (
    SignalboxError,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceUnreachable,
)
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.engine.preflight import find_obstacles
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.strategy.model import RolloutStep
from shared.twins.clock import ManualClock
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import Capacity, EndpointKind
from tests.unit.rollouts import (
    NOW,
    OLD,
    PROBE,
    SCALE,
    make_deployment,
    make_endpoint,
    make_rollout,
    make_seen,
    traffic,
    with_plan,
)

FAMILY = "standardDSv2Family"
STABLE = replace(SCALE, instances=0)
EMPTY = make_seen(endpoint=None, deployments={})


def wanting(instances: int, *steps: RolloutStep) -> Rollout:
    """Return a rollout of a deployment with so many instances."""
    return with_plan(make_rollout(Phase.CHECKING, *steps), instance_count=instances)


def workspaces(
    capacity: Capacity | None = None, error: SignalboxError | None = None
) -> MemoryWorkspaces:
    """Return a workspace whose region has this left, or does not say."""
    found = MemoryWorkspaces(ManualClock(NOW))
    found.behaviour.capacity = capacity

    def fail(_: str) -> None:
        if error is not None:
            raise error

    found.before = fail
    return found


def having(limit: int | None, used: int | None = 0) -> Capacity:
    """Return what a region has, of sizes of four cores."""
    return Capacity(family=FAMILY, cores=4, used=used, limit=limit)


def faults(
    rollout: Rollout, capacity: Capacity | None = None, seen: Observation = EMPTY
) -> tuple[str, ...]:
    """Return what would keep the deployment from being made."""
    return find_obstacles(rollout, seen, workspaces(capacity))


@pytest.mark.parametrize("instances", [1, 2, 5, 50])
def test_what_is_asked_for_has_to_fit_and_the_reserve_is_for_the_service_to_count(
    instances: int,
) -> None:
    needed = 4 * instances
    assert faults(wanting(instances), having(needed)) == ()
    (fault,) = faults(wanting(instances), having(needed - 1))
    assert fault == (
        f"{instances} x Standard_DS3_v2 need {needed} cores, besides what Azure keeps in reserve;"
        f" of {needed - 1} of {FAMILY} {needed - 1} are left"
    )


@pytest.mark.parametrize(
    ("capacity", "is_short"),
    [
        (having(100, 96), False),
        (having(100, 97), True),
        (having(100, 120), True),
        (having(0, 0), True),
        (having(None, 500), False),
        (None, False),
    ],
)
def test_what_others_use_is_not_left(capacity: Capacity | None, is_short: bool) -> None:
    assert bool(faults(wanting(1), capacity)) is is_short


def test_where_more_is_used_than_there_is_nothing_is_left() -> None:
    (fault,) = faults(wanting(1), having(100, 120))
    assert fault.endswith("of 100 of standardDSv2Family 0 are left")


def test_what_it_is_to_be_scaled_to_has_to_fit() -> None:
    scaled = wanting(1, traffic(10), SCALE, traffic(100))
    assert faults(scaled, having(12)) == ()
    assert faults(scaled, having(11)) != ()


def test_as_many_as_the_stable_one_are_those_of_the_largest_that_serves() -> None:
    idle, serving = "idle", OLD
    found = {
        idle: make_deployment(idle, instance_count=9),
        serving: make_deployment(serving, instance_count=5),
    }
    seen = make_seen(deployments=found)
    scaled = wanting(1, STABLE, traffic(100))
    assert faults(scaled, having(20), seen) == ()
    assert faults(scaled, having(19), seen) != ()


def test_a_size_that_is_not_offered_is_named() -> None:
    offering = workspaces()
    offering.behaviour.not_offered = frozenset({"Standard_DS3_v2"})
    assert find_obstacles(wanting(1), EMPTY, offering) == (
        "the workspace's region lists no VM size Standard_DS3_v2",
    )


@pytest.mark.parametrize("error", [WorkspaceDenied("no right"), WorkspaceRefused("no such page")])
def test_what_the_app_may_not_read_does_not_count(error: SignalboxError) -> None:
    assert find_obstacles(wanting(1), EMPTY, workspaces(error=error)) == ()


def test_what_waiting_helps_is_waited_for() -> None:
    unreachable = workspaces(error=WorkspaceUnreachable("down"))
    with pytest.raises(WorkspaceUnreachable):
        find_obstacles(wanting(1), EMPTY, unreachable)


@pytest.mark.parametrize("kind", [EndpointKind.KUBERNETES, EndpointKind.BATCH])
def test_no_region_limits_a_cluster_of_one_s_own(kind: EndpointKind) -> None:
    on_cluster = with_plan(wanting(50), kind=kind)
    assert find_obstacles(on_cluster, EMPTY, workspaces(having(0))) == ()


@pytest.mark.parametrize(("count", "is_full"), [(0, False), (19, False), (20, True), (21, True)])
def test_an_endpoint_has_twenty_deployments_at_the_most(count: int, is_full: bool) -> None:
    seen = make_seen(deployments={f"d{i}": make_deployment(f"d{i}") for i in range(count)})
    told = f"endpoint churn has {count} deployments, and AML lets it have 20"
    assert faults(wanting(1), None, seen) == ((told,) if is_full else ())


@pytest.mark.parametrize(
    ("name", "is_legal"),
    [
        ("abc", True),
        ("a-1", True),
        ("A" * 32, True),
        ("churn-v2-abc123", True),
        ("ab", False),
        ("a" * 33, False),
        ("1abc", False),
        ("-abc", False),
        ("abc-", False),
        ("a--b", False),
        ("a_b", False),
        ("a b", False),
        ("abc\n", False),
        ("café", False),
        ("", False),
    ],
)
def test_names_are_those_that_the_service_takes(name: str, is_legal: bool) -> None:
    for field in ("endpoint", "deployment"):
        found = faults(replace(wanting(1), **{field: name}))  # type: ignore[arg-type]
        told = (
            f"{field} {name!r} is no name that AML takes: 3 to 32 letters, digits and single dashes"
        )
        assert found == (() if is_legal else (told,))


@pytest.mark.parametrize(
    ("address", "steps", "is_told"),
    [
        ("http://10.0.0.4/api/v1/endpoint/churn/score", (PROBE,), True),
        ("HTTP://10.0.0.4/score", (PROBE, traffic(100)), True),
        ("http://10.0.0.4/score", (traffic(100),), False),
        ("https://10.0.0.4/score", (PROBE,), False),
        ("", (PROBE,), False),
    ],
)
def test_an_endpoint_without_a_certificate_cannot_be_probed(
    address: str, steps: tuple[RolloutStep, ...], is_told: bool
) -> None:
    on_cluster = with_plan(make_rollout(Phase.CHECKING, *steps), kind=EndpointKind.KUBERNETES)
    seen = make_seen(endpoint=make_endpoint(scoring_uri=address), deployments={})
    told = (
        "endpoint churn answers on http:// only, where its key could be read on the way: its"
        " deployments can't be probed"
    )
    assert faults(on_cluster, None, seen) == ((told,) if is_told else ())


def test_the_preflight_finds_all_that_is_wrong_at_once() -> None:
    seen = make_seen(deployments={f"d{i}": make_deployment(f"d{i}") for i in range(20)})
    crowded = replace(wanting(1), endpoint="a_b", deployment="x")
    assert len(faults(crowded, having(0), seen)) == 4


IDENTITY = "/subscriptions/s/userAssignedIdentities/scorer"


@pytest.mark.parametrize(
    ("is_public", "identities", "found"),
    [
        (False, (IDENTITY.upper(), "/other"), []),
        (True, (IDENTITY,), ["endpoint churn can be called from the internet"]),
        (False, (), ["endpoint churn does not have the identity scorer of the reaction"]),
        (True, ("/other",), ["endpoint churn can be called", "endpoint churn does not have"]),
    ],
)
def test_an_endpoint_that_is_less_guarded_than_the_reaction_demands_is_found(
    is_public: bool, identities: tuple[str, ...], found: list[str]
) -> None:
    endpoint = replace(make_endpoint(), is_public=is_public, identities=identities)
    rollout = with_plan(wanting(1), is_public=False, identities=(IDENTITY,))
    told = faults(rollout, seen=make_seen(endpoint=endpoint))
    assert len(told) == len(found)
    for fault, beginning in zip(told, found, strict=True):
        assert fault.startswith(beginning)


def test_an_endpoint_may_be_more_guarded_than_the_reaction_demands() -> None:
    endpoint = replace(make_endpoint(), is_public=False, identities=(IDENTITY,))
    assert faults(wanting(1), seen=make_seen(endpoint=endpoint)) == ()
