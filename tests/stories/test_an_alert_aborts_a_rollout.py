"""An alert of Azure Monitor fires while a version rolls out, and a reaction gives the order."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from tests.stories.kill import Kill, Ports, kill_at_every_call, live_through
from tests.stories.rolling import Rolling
from tests.stories.world import WORKSPACE

ALERT = Path(__file__).parent.parent / "events" / "alert_fired.metric.json"
STEP = "stop/rollout"
WAVES = """
  waves:
    steps: [{traffic: 10%}, {hold: 30m}, {traffic: 50%}, {hold: 30m}, {traffic: 100%}]
"""


class Alerted(Rolling):
    """A world in which version 1 serves, and a reaction has an order for what rolls out."""

    def __init__(self, values: str = "order: abort, endpoint: '${{ alert.endpoint }}'") -> None:
        stop = f"  - {{name: stop, on: AlertFired, do: [rollout: {{{values}}}]}}\n"
        super().__init__("waves", strategies=WAVES, more=stop)
        self.serve()

    def alert(self, name: str = "a", endpoint: str = "churn") -> dict[str, Any]:
        """Return an alert about an endpoint."""
        raw: dict[str, Any] = json.loads(ALERT.read_text())
        target = f"{WORKSPACE.id}/onlineEndpoints/{endpoint}" if endpoint else WORKSPACE.id
        raw["data"]["essentials"] |= {
            "alertId": f"{raw['data']['essentials']['alertId']}-{name}",
            "alertRule": f"rule-{name}",
            "firedDateTime": self.clock.now().isoformat(),
            "alertTargetIDs": [target.lower()],
        }
        return raw

    def fire(self, name: str = "a", endpoint: str = "churn") -> Outcome:
        """Have an alert fire; return what came of it."""
        raw = self.alert(name, endpoint)
        self.react.react(raw)
        return self.of(raw)

    def of(self, raw: Mapping[str, Any]) -> Outcome:
        """Return the outcome of the order for an alert."""
        return self.outcome_of(f"{raw['data']['essentials']['alertId']}:Fired", STEP)


def test_an_alert_during_a_rollout_aborts_it_at_once() -> None:
    world = Alerted()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    before = world.clock.now()
    outcome = world.fire()
    assert outcome.status is OutcomeStatus.DONE
    assert outcome.detail == f"abort is ordered for rollout {world.rollout().id[:8]} of churn 2"
    world.deliver()
    assert world.rollout().phase is Phase.ROLLING_BACK
    assert world.clock.now() == before, "no tick was waited for"
    world.settle()
    assert world.live() == {"1": 100}
    result = world.result()
    assert result.code == "rollout.aborted"
    assert result.detail.startswith("abort by reaction stop: AlertFired /subscriptions/")


def test_a_second_alert_finds_nothing_to_abort_and_says_so() -> None:
    world = Alerted()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.fire("a")
    world.deliver()
    second = world.fire("b")
    assert (second.status, second.code) == (OutcomeStatus.SKIPPED, "rollout.order")
    assert second.detail.endswith("abort: the rollout is rolling-back")
    world.settle()
    third = world.fire("c")
    assert (third.status, third.code) == (OutcomeStatus.SKIPPED, "rollout.absent")
    assert third.detail == "no rollout on churn is under way that can take abort"
    assert world.told()[-1] == "churn 2 was rolled back on churn"


@pytest.mark.parametrize(
    ("endpoint", "detail"),
    [
        ("other", "no rollout on other is under way that can take abort"),
        ("", "`endpoint` is empty for this event, so no rollout is meant"),
    ],
)
def test_an_alert_about_something_else_aborts_nothing(endpoint: str, detail: str) -> None:
    world = Alerted()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    outcome = world.fire(endpoint=endpoint)
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "rollout.absent")
    assert outcome.detail == detail
    assert world.rollout().orders == ()


def test_a_version_that_only_waits_for_its_turn_is_left_to_come() -> None:
    world = Alerted()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.order(OrderKind.PAUSE)
    world.go_to(Phase.HELD)
    world.roll_out("3", signalbox_rollout="all-at-once")
    world.deliver()
    queued = world.rollout("3").phase is Phase.QUEUED
    assert world.fire().status is OutcomeStatus.DONE
    world.settle()
    assert queued
    assert world.live() == {"3": 100}


@pytest.mark.parametrize("even_live", [True, False])
def test_a_version_that_is_live_goes_back_while_the_old_one_is_kept(even_live: bool) -> None:
    values = f"order: abort, endpoint: churn, even_live: {str(even_live).lower()}"
    world = Alerted(values)
    world.roll_out("2")
    world.go_to(Phase.LIVE)
    assert world.fire().status is (OutcomeStatus.DONE if even_live else OutcomeStatus.SKIPPED)
    world.settle()
    assert world.live() == ({"1": 100} if even_live else {"2": 100})


def test_a_reaction_pauses_what_rolls_out_of_a_model_and_gives_its_reason() -> None:
    world = Alerted("order: pause, model: churn, why: 'seen by ${{ alert.rule }}'")
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.fire("night")
    world.go_to(Phase.HELD)
    assert world.rollout().reason == "pause by reaction stop: seen by rule-night"


def test_a_promotion_is_given_once_whatever_kills_the_worker() -> None:
    def play(kill: Kill) -> tuple[Alerted, Ports]:
        world = Alerted("order: promote, endpoint: '${{ alert.endpoint }}'")
        world.roll_out("2")
        world.go_to(Phase.HOLDING)
        ports = Ports(world)
        ports.kill_at = kill
        live_through(world, world.alert())
        return world, ports

    def check(world: Alerted, _: Ports) -> None:
        assert world.of(world.alert()).status is OutcomeStatus.DONE
        world.settle()
        told = [text for text in world.texts() if "promote by reaction stop" in text]
        assert len(told) == 1, told
        # The second hold was held in full: no promotion was given a second time.
        assert timedelta(minutes=30) <= world.time_in(Phase.HOLDING) < timedelta(minutes=60)
        assert world.live() == {"2": 100}

    # By the first move of traffic the order is given and obeyed.
    kill_at_every_call(play, check, at_least=4, most=10)
