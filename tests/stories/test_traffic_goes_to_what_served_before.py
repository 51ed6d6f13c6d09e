"""`to: previous` and `to: stable`: back to what served before, or nothing is moved at all."""

from datetime import timedelta

import pytest

from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.rollouts.state.phases import Phase
from shared.workspaces.model import State
from tests.stories.rolling import Rolling
from tests.stories.world import WORKSPACE, run_completed

BACK = """
  - name: back
    on: RunCompleted
    do: [shift_traffic: {{endpoint: churn, to: {to}, notify: [team]}}]
"""


class Backwards(Rolling):
    """A world in which version 1 served, then 2, and the end of a run moves traffic back."""

    def __init__(self, to: str = "previous") -> None:
        super().__init__("all-at-once", more=BACK.format(to=to))
        self._runs = 0
        for version in ("1", "2"):
            self.bring(version)

    def bring(self, version: str) -> None:
        """Have a version go live."""
        self.roll_out(version)
        self.go_to(Phase.LIVE, version) if version != "1" else self.settle()
        self.run(timedelta(minutes=2))

    def go_back(self) -> Outcome:
        """Have the reaction move traffic back; return what came of it, minutes later."""
        self._runs += 1
        run_id = f"run-{self._runs}"
        self.complete(run_id, run_id, {})
        self.react.react(run_completed(run_id, self.clock.now(), run_id))
        self.run(timedelta(minutes=8))
        return self.outcome_of(run_id, "back/shift_traffic")


def test_traffic_goes_back_to_what_served_before_and_never_forward_again() -> None:
    world = Backwards()
    assert world.live() == {"2": 100}
    assert world.go_back().status is OutcomeStatus.DONE
    assert world.live() == {"1": 100}
    # A second alert about the bad version comes late: nothing served before version 1.
    second = world.go_back()
    assert (second.status, second.code) == (OutcomeStatus.SKIPPED, "shift.no_way_back")
    assert second.detail == (
        f"no rollout of the endpoint says what served before {world.name('1')}"
    )
    assert world.live() == {"1": 100}
    assert world.told()[-1] == "The traffic of churn was not moved to what is previous"


def test_two_steps_back_go_two_versions_back() -> None:
    world = Backwards()
    world.bring("3")
    world.go_back()
    assert world.live() == {"2": 100}
    world.go_back()
    assert world.live() == {"1": 100}


def test_after_a_step_back_the_next_version_has_what_serves_as_its_previous_one() -> None:
    world = Backwards()
    world.go_back()
    world.bring("3")
    world.go_back()
    assert world.live() == {"1": 100}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("gone", "is no longer on the endpoint"),
        ("failed", "is Failed, not healthy"),
        ("moved", "says how {1} came to serve"),
    ],
)
def test_where_there_is_no_way_back_nothing_is_moved_and_people_are_told(
    change: str, told: str
) -> None:
    world = Backwards()
    if change == "gone":
        del world.workspaces.deployments[world.key][world.name("1")]
    elif change == "failed":
        world.set_state("1", State.FAILED)
    else:
        world.move(v1=100)
    before = world.live()
    outcome = world.go_back()
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "shift.no_way_back")
    assert told.replace("{1}", world.name("1")) in outcome.detail
    assert world.live() == before
    assert told.replace("{1}", world.name("1")) in world.channels.sent[-1].text


def test_while_a_rollout_is_under_way_nothing_is_moved() -> None:
    world = Backwards()
    world.roll_out("3")
    world.go_to(Phase.DEPLOYMENT, "3")
    world.complete("run-9", "run-9", {})
    world.react.react(run_completed("run-9", world.clock.now(), "run-9"))
    outcome = world.outcome_of("run-9", "back/shift_traffic")
    assert outcome.code == "shift.no_way_back"
    assert "of churn 3 is under way" in outcome.detail
    world.run(timedelta(hours=1))
    assert world.live() == {"3": 100}


def test_stable_puts_back_what_somebody_else_has_moved() -> None:
    world = Backwards("stable")
    assert world.go_back().detail.startswith("the endpoint has this split already")
    world.move(v1=70, v2=30)
    assert world.go_back().status is OutcomeStatus.DONE
    assert world.live() == {"2": 100}


def test_stable_goes_by_the_endpoint_s_tag_when_its_rollouts_are_forgotten() -> None:
    world = Backwards("stable")
    for kept in list(world.rollouts.store.all()):
        world.rollouts.store.remove(kept)
    world.move(v1=100)
    assert world.go_back().status is OutcomeStatus.DONE
    assert world.live() == {"2": 100}


def test_an_endpoint_of_which_nothing_is_known_is_left_as_it_is() -> None:
    for to in ("previous", "stable"):
        world = Rolling("all-at-once", more=BACK.format(to=to)).take_over(blue=100, green=0)
        world.complete("run-1", "run-1", {})
        world.react.react(run_completed("run-1", world.clock.now(), "run-1"))
        outcome = world.outcome_of("run-1", "back/shift_traffic")
        assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "shift.no_way_back")
        assert world.live() == {"blue": 100}


def test_a_deployment_that_is_called_stable_is_taken_by_its_name() -> None:
    world = Rolling("all-at-once", more=BACK.format(to="stable")).take_over(stable=0, blue=100)
    world.complete("run-1", "run-1", {})
    world.react.react(run_completed("run-1", world.clock.now(), "run-1"))
    world.settle()
    assert world.workspaces.endpoints[WORKSPACE.key, "churn"].traffic == {"stable": 100}
