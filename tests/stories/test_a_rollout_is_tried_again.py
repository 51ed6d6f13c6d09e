"""A failed or refused rollout is held for a person or kept for a while, and tried again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import Capacity, State
from tests.stories.rolling import WHERE, Rolling

MINUTE = timedelta(minutes=1)

HOLDING = """
  holding:
    based_on: canary
    gates: {error_rate: {max: 2%}}
    on_failure: hold
    answer_within: 1d
"""


@pytest.fixture
def held() -> Rolling:
    """A world in which version 2 has failed at half of the traffic, and a person decides."""
    world = Rolling("holding", strategies=HOLDING).serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING, step=4)
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.3))
    world.go_to(Phase.HELD)
    world.metrics.behave("churn-v2-*", MetricsBehaviour())
    return world


def test_what_is_held_stays_as_it_is_until_a_person_decides(held: Rolling) -> None:
    held.run(timedelta(hours=20))
    assert held.traffic() == {"1": 50, "2": 50}
    text = held.text("churn 2 waits for a decision on churn")
    assert "gate error_rate: error rate" in text
    assert f"rollouts abort {held.rollout().id[:8]}" in text
    # Nobody decides within the day.
    held.settle()
    assert held.live() == {"1": 100}
    assert "nobody decided in time: gate error_rate" in held.result().detail


def test_a_retry_of_what_is_held_begins_with_its_split(held: Rolling) -> None:
    held.order(OrderKind.RETRY, why="the feature store is back")
    held.settle()
    assert held.live() == {"2": 100}
    assert held.result().status is OutcomeStatus.DONE
    assert "retry by ada: the feature store is back" in held.told_of(Phase.SHIFTING)


def test_a_retry_while_the_deployment_is_kept_goes_on_where_it_failed() -> None:
    world = Rolling("canary").serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING, step=4)
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.3))
    world.go_to(Phase.KEEPING)
    world.metrics.behave("churn-v2-*", MetricsBehaviour())
    world.run(10 * MINUTE)
    before = len(world.rollout().history)
    world.order(OrderKind.RETRY)
    world.settle()
    again = world.rollout()
    # Not from the start: the same deployment, at the split at which it failed.
    assert [moment.phase for moment in again.history[before:]] == [
        Phase.QUEUED,
        Phase.CHECKING,
        Phase.DEPLOYMENT,
        Phase.SHIFTING,
        Phase.HOLDING,
        Phase.SHIFTING,
        Phase.HOLDING,
        Phase.LIVE,
        Phase.RETIRING,
        Phase.DONE,
    ]
    assert world.live() == {"2": 100}
    assert world.result().status is OutcomeStatus.DONE
    assert again.attempt.retries == 1


@pytest.mark.parametrize("who", ["time", "somebody"])
def test_a_retry_after_the_deployment_was_deleted_begins_anew(who: str) -> None:
    world = Rolling("canary").serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING, step=4)
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.3))
    world.go_to(Phase.KEEPING)
    world.metrics.behave("churn-v2-*", MetricsBehaviour())
    if who == "time":
        world.go_to(Phase.ROLLED_BACK)
    else:
        world.workspaces.remove_deployment(*WHERE, world.name("2"))
    before = len(world.rollout().history)
    world.order(OrderKind.RETRY)
    world.settle()
    # A container that nobody has probed gets no traffic, whatever its namesake had been through.
    phases = [moment.phase for moment in world.rollout().history[before:]]
    assert phases[:5] == [
        Phase.QUEUED,
        Phase.CHECKING,
        Phase.DEPLOYMENT,
        Phase.PROBING,
        Phase.SHIFTING,
    ]
    assert phases.count(Phase.HOLDING) == 3
    assert world.live() == {"2": 100}


def test_a_retry_after_a_refusal_looks_again() -> None:
    world = Rolling("canary").serve()
    room = Capacity(family="standardDSv2Family", cores=4, used=0, limit=8)
    world.workspaces.behaviour.capacity = room
    world.roll_out("2")
    world.settle()
    assert world.rollout().phase is Phase.REFUSED
    # Somebody tries too early, and is told so again.
    world.order(OrderKind.RETRY)
    world.settle()
    assert world.told().count("churn 2 failed on churn") == 2
    world.workspaces.behaviour.capacity = replace(room, limit=24)
    world.order(OrderKind.RETRY, why="the quota was raised")
    world.settle()
    assert world.live() == {"2": 100}
    assert world.result().status is OutcomeStatus.DONE


def test_a_retry_meets_what_came_meanwhile(held: Rolling) -> None:
    held.order(OrderKind.ABORT)
    held.go_to(Phase.KEEPING)
    held.roll_out("3")
    held.go_to(Phase.LIVE, "3")
    held.order(OrderKind.RETRY)
    held.settle()
    assert held.live() == {"3": 100}
    assert "version 3 serves, which is newer" in held.result().detail
    assert held.result().status is OutcomeStatus.SKIPPED
    assert held.left() == {"3": State.SUCCEEDED}
