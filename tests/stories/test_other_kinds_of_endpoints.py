"""Kubernetes endpoints split traffic and mirror none; batch endpoints have one default."""

from datetime import timedelta

import pytest

from shared.base.errors import ModelUnfit
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import Score, State
from tests.stories.rolling import WHERE, Rolling

NIGHTLY = """
  nightly:
    steps: [approve: 1d, traffic: 100%, hold: 3h]
    keep_failed: 1h
"""


def kubernetes(rollout: str = "canary") -> Rolling:
    """Return a world in which version 1 serves on a cluster."""
    values = {"compute": "aks-east", "instance_type": "gpu-small"}
    return Rolling(rollout, kind="kubernetes", **values).serve()


def batch() -> Rolling:
    """Return a world in which version 1 is the default of a batch endpoint."""
    return Rolling("nightly", strategies=NIGHTLY, kind="batch", compute="cpu-cluster").serve()


def test_a_canary_on_a_cluster_goes_live() -> None:
    world = kubernetes()
    # There is no quota to read for a cluster, and nobody asks for it.
    asked = world.during("find_capacity", lambda: None, nth=99)
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    assert world.traffic() == {"1": 90, "2": 10}
    world.settle()
    assert world.traffic() == {"2": 100}
    assert world.left() == {"2": State.SUCCEEDED}
    assert asked == []
    assert world.result().status is OutcomeStatus.DONE


def test_a_canary_on_a_cluster_is_rolled_back() -> None:
    world = kubernetes("linear")
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.2))
    world.roll_out("2")
    world.settle()
    assert world.live() == {"1": 100}
    assert "gate error_rate" in world.result().detail


def test_nothing_is_mirrored_on_a_cluster() -> None:
    world = kubernetes()
    # The reaction's own strategy is checked when the file is read; a model's tag names this one.
    world.react.react(world.register("churn", "2", deploy="true", signalbox_rollout="shadow"))
    world.settle()
    outcome = world.result()
    assert outcome.status is OutcomeStatus.FAILED
    assert "mirrors traffic, which Kubernetes endpoints can't" in outcome.detail
    assert world.left() == {"1": State.SUCCEEDED}


def test_the_default_of_a_batch_endpoint_is_switched() -> None:
    world = batch()
    # Nothing scores on a batch endpoint, and it has no metrics.
    world.workspaces.behaviour.score = Score(status=500)
    world.roll_out("2")
    world.go_to(Phase.APPROVING)
    assert world.traffic() == {"1": 100}
    world.order(OrderKind.APPROVE)
    world.go_to(Phase.HOLDING)
    assert world.traffic() == {"2": 100}
    world.settle()
    assert world.result().status is OutcomeStatus.DONE
    assert world.left() == {"2": State.SUCCEEDED}
    assert world.measured() == ()


def test_a_triton_model_is_not_deployed_on_a_batch_endpoint() -> None:
    world = batch()
    world.react.react(world.register("churn", "2", kind="triton_model", deploy="true"))
    world.settle()
    (letter,) = world.all_letters()
    assert letter.code == ModelUnfit.code
    assert "is a triton_model, which needs a scoring script on a batch endpoint" in letter.reason
    assert world.left() == {"1": State.SUCCEEDED}


@pytest.mark.parametrize("how", ["while it holds", "while the old one is kept"])
def test_the_default_of_a_batch_endpoint_is_switched_back(how: str) -> None:
    world = batch()
    world.roll_out("2")
    world.go_to(Phase.APPROVING)
    world.order(OrderKind.APPROVE)
    world.go_to(Phase.HOLDING if how == "while it holds" else Phase.LIVE)
    world.order(OrderKind.ABORT, why="last night's scores are all alike")
    world.go_to(Phase.KEEPING)
    assert world.traffic() == {"1": 100}
    assert world.writes == [{"2": 100}, {"1": 100}]
    assert world.told()[-1] == "churn 2 was rolled back on churn"
    world.settle()
    assert world.left() == {"1": State.SUCCEEDED}
    assert world.result().code == "rollout.aborted"


def test_the_old_default_is_not_scaled_before_it_is_the_default_again() -> None:
    world = batch()
    world.roll_out("2")
    world.go_to(Phase.APPROVING)
    world.order(OrderKind.APPROVE)
    world.go_to(Phase.HOLDING)
    # Jobs say themselves how many nodes they take; what the deployment says is a default too.
    world.resize("1", 0)
    world.order(OrderKind.ABORT)
    world.run(timedelta(minutes=10))
    assert world.rollout().phase is Phase.KEEPING
    assert world.traffic() == {"1": 100}
    assert "churn 2 on churn needs a look" not in world.told(), "nothing was tried that can't be"


def test_the_default_of_a_batch_endpoint_that_somebody_else_switches() -> None:
    world = batch()
    world.roll_out("2")
    world.go_to(Phase.APPROVING)
    world.order(OrderKind.APPROVE)
    world.go_to(Phase.HOLDING)
    world.move(v1=100)
    held = world.go_to(Phase.HELD)
    assert "was changed by someone" in held.reason
    assert world.live() == {"1": 100}
    world.order(OrderKind.RETRY, why="that was me")
    world.run(timedelta(hours=1))
    assert world.traffic() == {"2": 100}


def test_a_batch_endpoint_and_an_online_one_may_share_a_name() -> None:
    world = batch()
    world.workspaces.create_endpoint(*WHERE, auth_mode="key", tags={})
    world.roll_out("2")
    world.go_to(Phase.APPROVING)
    world.order(OrderKind.APPROVE)
    world.settle()
    assert world.live() == {"2": 100}
    (theirs,) = (item for key, item in world.workspaces.endpoints.items() if key != world.key)
    assert theirs.traffic == {}
