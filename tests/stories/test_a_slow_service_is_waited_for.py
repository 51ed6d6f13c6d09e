"""A tick has a budget, and a service that is slow, but answers in time, still gets somewhere."""

from datetime import timedelta
from typing import Any

import pytest

from shared.rollouts.state.phases import Phase
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import Score
from tests.stories.rolling import Rolling
from tests.stories.world import REACTIONS, World

SLOWLY = timedelta(seconds=9)


def be_slow(world: World) -> None:
    """Have each request to the workspace take long, but no longer than is waited for."""
    world.workspaces.before = lambda _: world.clock.pass_time(SLOWLY)


@pytest.mark.parametrize("better", ["", "          when_better: {metric: auc, source: tags}\n"])
def test_a_model_goes_live_in_a_workspace_that_answers_slowly(better: str) -> None:
    world = World(REACTIONS.replace("          notify: [team]\n", better))
    world.react.react(world.register("churn", "1", deploy="true", auc="0.5"))
    world.settle()
    be_slow(world)
    world.react.react(world.register("churn", "2", deploy="true", auc="0.9"))
    world.settle(until=lambda: world.serving() == "2", most=40)


def test_a_model_whose_probe_takes_longer_than_the_budget_goes_live_by_one_probe() -> None:
    slow = "          request_timeout: 1m\n          probe: {timeout: 1m}\n"
    world = World(REACTIONS.replace("          notify: [team]\n", slow))
    score, probes = world.workspaces.score, 0

    def take_long(*given: Any, **how: Any) -> Score:
        nonlocal probes
        probes += 1
        world.clock.pass_time(timedelta(seconds=30))
        return score(*given, **how)

    world.workspaces.score = take_long  # type: ignore[method-assign]
    world.react.react(world.register("churn", "1"))
    world.settle(until=lambda: world.all_rollouts()[0].phase is Phase.LIVE, most=40)
    assert probes == 1


def test_a_bad_version_is_rolled_back_in_a_workspace_that_answers_slowly() -> None:
    steps = "[probe: {}, traffic: 10%, hold: 10m, traffic: 100%, hold: 10m]"
    gates = "{error_rate: {max: 2%}}"
    strategies = f"  gated:\n    steps: {steps}\n    gates: {gates}\n"
    world = Rolling("gated", strategies=strategies).serve()
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.5))
    be_slow(world)
    world.roll_out("2")
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
