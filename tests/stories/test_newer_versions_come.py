"""A newer version comes while an older one is on its way, or an older one long after it."""

from datetime import timedelta

import pytest

from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import State
from tests.stories.rolling import Rolling

MINUTE = timedelta(minutes=1)


def following(newer: str) -> Rolling:
    """Return a world in which version 1 serves and version 2 holds at a tenth of the traffic."""
    world = Rolling("next", strategies=f"  next: {{based_on: canary, newer: {newer}}}\n").serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.run(5 * MINUTE)
    return world


def test_a_newer_version_waits_and_has_its_turn_at_once() -> None:
    world = following("wait")
    world.roll_out("3")
    world.go_to(Phase.LIVE)
    assert world.result("3").status is OutcomeStatus.WAITING
    world.run(timedelta(0))
    assert world.rollout("3").phase is Phase.DEPLOYMENT, "in the same second, not in ten minutes"
    world.settle()
    assert world.traffic("3") == {"3": 100}
    assert [world.result(version).status for version in "23"] == [OutcomeStatus.DONE] * 2
    assert {"1": 90, "3": 10} not in world.writes, "3 was compared with 2, which served by then"


def test_a_newer_version_has_its_turn_at_once_where_the_older_one_fails() -> None:
    world = following("wait")
    world.roll_out("3")
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.4))
    world.go_to(Phase.KEEPING)
    world.run(timedelta(0))
    assert world.rollout("3").phase is Phase.DEPLOYMENT
    world.settle()
    assert world.traffic("3") == {"3": 100}


def test_a_newer_version_takes_the_place_of_the_older_one() -> None:
    world = following("supersede")
    world.roll_out("3")
    world.settle(until=lambda: world.rollout().phase is Phase.ROLLED_BACK)
    # Traffic goes back first: 3 has to prove itself against what has proved itself.
    assert world.writes[:2] == [{"1": 90, "2": 10}, {"1": 100}]
    outcome = world.result()
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "superseded")
    assert "churn 3 takes its place" in outcome.detail
    assert "churn 2 gives way to a newer version on churn" in world.told()
    assert "2" not in world.left(), "nobody wants to look into what did not fail"
    world.settle()
    assert world.traffic("3") == {"3": 100}
    assert world.result("3").status is OutcomeStatus.DONE
    assert world.left() == {"3": State.SUCCEEDED}


@pytest.mark.parametrize("phase", [Phase.DEPLOYMENT, Phase.SHIFTING, Phase.HELD, Phase.LIVE])
def test_a_newer_version_takes_the_place_of_the_older_in_every_phase(phase: Phase) -> None:
    world = Rolling("next", strategies="  next: {based_on: canary, newer: supersede}\n").serve()
    world.roll_out("2")
    if phase is Phase.HELD:
        world.go_to(Phase.HOLDING)
        world.order(OrderKind.PAUSE)
    world.go_to(phase)
    world.roll_out("3")
    world.settle()
    assert world.traffic("3") == {"3": 100}
    assert world.left() == {"3": State.SUCCEEDED}
    # A rollout that was live before its successor came has ended well.
    ended = OutcomeStatus.DONE if phase is Phase.LIVE else OutcomeStatus.SKIPPED
    assert world.result().status is ended


def test_a_version_that_waits_is_passed_over_by_a_newer_one() -> None:
    world = following("supersede")
    world.roll_out("4")
    world.roll_out("3")
    world.settle()
    assert world.live() == {"4": 100}
    assert world.result("3").code == "superseded"
    assert all("3" not in split for split in world.writes)


def test_a_newer_version_is_refused_while_an_older_one_is_on_its_way() -> None:
    world = following("refuse")
    world.roll_out("3")
    world.deliver()
    assert world.rollout("3").phase is Phase.REFUSED
    assert world.result("3").detail == "churn 2 is being rolled out on this endpoint"
    assert "churn 3 failed on churn" in world.told()
    assert world.traffic() == {"1": 90, "2": 10}
    world.settle()
    assert world.live() == {"2": 100}
    # A person can still ask for it.
    world.order(OrderKind.RETRY, "3")
    world.settle()
    assert world.live() == {"3": 100}


def test_what_only_deletes_the_old_one_refuses_nobody() -> None:
    world = following("refuse")
    world.go_to(Phase.RETIRING)
    world.run(timedelta(seconds=1))
    world.roll_out("3")
    world.settle()
    assert world.live() == {"3": 100}


def test_an_older_version_never_takes_the_place_of_a_newer_one() -> None:
    world = Rolling("next", strategies="  next: {based_on: canary, newer: supersede}\n").serve("5")
    world.roll_out("9")
    world.go_to(Phase.HOLDING, "9")
    world.roll_out("8")
    world.settle()
    assert world.live() == {"9": 100}
    outcome = world.result("8")
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "superseded")
    assert outcome.detail == "version 9 serves, which is newer"
    assert all("8" not in split for split in world.writes)
