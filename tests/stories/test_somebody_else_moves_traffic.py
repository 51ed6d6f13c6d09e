"""The portal, the CLI and other pipelines work on the same endpoints, and are not run over."""

from datetime import timedelta

import pytest

from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import State
from tests.stories.rolling import WHERE, Rolling

MINUTE = timedelta(minutes=1)


def meeting(on_conflict: str, *, steps: str = "", **more: str) -> Rolling:
    """Return a world in which version 1 serves and version 2 holds at its first split."""
    lines = "".join(f"    {name}: {value}\n" for name, value in more.items())
    steps = steps or "probe: {}, traffic: 10%, hold: 10m, traffic: 50%, hold: 10m, traffic: 100%"
    strategy = f"  meeting:\n    steps: [{steps}]\n    on_conflict: {on_conflict}\n{lines}"
    world = Rolling("meeting", strategies=strategy).serve()
    world.roll_out("2")
    return world


# The split


@pytest.mark.parametrize("taken", [30, 0], ids=["more", "all of it taken away"])
def test_a_split_that_somebody_else_sets_is_left_until_a_person_decides(taken: int) -> None:
    world = meeting("hold")
    world.go_to(Phase.HOLDING)
    theirs = {"1": 100 - taken, "2": taken} if taken else {"1": 100}
    world.move(**{f"v{version}": share for version, share in theirs.items()})
    world.go_to(Phase.HELD)
    world.run(timedelta(days=1))
    assert world.live() == theirs
    assert world.writes == [{"1": 90, "2": 10}], "nothing was written over it"
    text = world.text("churn 2 waits for a decision on churn")
    assert "was changed by someone to" in text
    # A person who says go on has seen the split that is there.
    world.order(OrderKind.RESUME)
    world.settle()
    assert world.live() == {"2": 100}
    assert world.writes[1:] == [{"1": 50, "2": 50}, {"2": 100}]


def test_a_split_that_somebody_else_sets_is_gone_on_from() -> None:
    world = meeting("adopt")
    world.go_to(Phase.HOLDING)
    world.move(v1=30, v2=70)
    since = world.clock.now()
    world.go_to(Phase.HOLDING, step=2)
    world.run(11 * MINUTE)
    assert world.traffic() == {"1": 30, "2": 70}, "what it got from somebody is not taken away"
    assert any("and is adopted" in text for text in world.texts())
    world.go_to(Phase.LIVE)
    # The hold began anew with the split, and the step to 50% was left out.
    assert world.clock.now() - since >= 20 * MINUTE
    assert world.writes == [{"1": 90, "2": 10}, {"2": 100}]


def test_a_split_that_somebody_else_sets_ends_it() -> None:
    world = meeting("abort", gates="{error_rate: {max: 2%}}", keep_failed="0s")
    world.go_to(Phase.HOLDING)
    world.move(v1=80, v2=20)
    world.settle()
    assert world.live() == {"1": 100}
    assert world.left() == {"1": State.SUCCEEDED}
    assert "v1 90%, v2 10% was changed by someone to v1 80%, v2 20%" in world.texts()
    assert world.result().code == "rollout.rolled_back"


@pytest.mark.parametrize(
    ("on_conflict", "phase", "code"),
    [
        ("adopt", Phase.DONE, ""),
        ("hold", Phase.HELD, ""),
        ("abort", Phase.ROLLED_BACK, "rollout.rolled_back"),
    ],
)
def test_a_split_that_changes_before_the_first_step(
    on_conflict: str, phase: Phase, code: str
) -> None:
    world = meeting(on_conflict, steps="approve: 1h, traffic: 100%")
    world.go_to(Phase.APPROVING)
    # Somebody tries version 2 out by hand before anybody has said yes to it.
    world.move(v1=95, v2=5)
    world.order(OrderKind.APPROVE)
    if phase is Phase.HELD:
        world.go_to(phase)
        assert world.live() == {"1": 95, "2": 5}
        assert world.writes == []
        return
    if phase is Phase.DONE:
        # The yes is not lost over it.
        world.go_to(Phase.LIVE)
        assert world.traffic() == {"2": 100}
        return
    world.settle()
    assert world.rollout().phase is phase
    assert world.live() == {"1": 100}
    assert world.result().code == code


def test_a_change_while_the_deployment_is_made_is_what_it_begins_from() -> None:
    world = Rolling("canary", adopt="true").take_over(blue=100, green=0)
    world.roll_out("2")
    world.go_to(Phase.DEPLOYMENT)
    world.run(MINUTE)
    world.move(green=100)
    world.go_to(Phase.HOLDING)
    assert world.traffic() == {"green": 90, "2": 10}
    world.order(OrderKind.ABORT)
    world.settle()
    assert world.live() == {"green": 100}


def test_a_conflict_is_found_before_the_write_not_after_it() -> None:
    world = meeting("hold")
    world.go_to(Phase.HOLDING)
    world.run(9 * MINUTE)
    # In the minute before the next step, when nothing is looked at.
    world.run(timedelta(seconds=50))
    world.move(v1=100)
    world.go_to(Phase.HELD)
    assert world.live() == {"1": 100}
    assert world.writes == [{"1": 90, "2": 10}]


@pytest.mark.parametrize(
    ("on_conflict", "mirrored", "held"),
    [("adopt", {"2": 30}, False), ("hold", {"2": 30}, True), ("abort", {}, False)],
)
def test_a_mirror_that_somebody_else_sets(
    on_conflict: str, mirrored: dict[str, int], held: bool
) -> None:
    world = meeting(on_conflict, steps="mirror: 10%, hold: 10m, traffic: 100%")
    world.go_to(Phase.HOLDING)
    world.workspaces.change_traffic(*WHERE, {world.name("1"): 100}, mirror={world.name("2"): 30})
    world.run(15 * MINUTE)
    assert (world.rollout().phase is Phase.HELD) == held
    assert world.mirrored() == mirrored
    if on_conflict == "abort":
        assert world.rollout().phase is Phase.KEEPING
        assert "mirrored v2 30%" in world.rollout().reason.replace(world.name("2"), "v2")
        return
    if held:
        world.order(OrderKind.RESUME)
    world.settle()
    assert (world.live(), world.mirrored()) == ({"2": 100}, {})


def test_a_rollback_takes_its_own_share_away_and_leaves_the_others_as_they_are_now() -> None:
    world = Rolling("canary", adopt="true").take_over(blue=80, green=20)
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    assert world.traffic() == {"blue": 72, "green": 18, "2": 10}
    # The team of the endpoint has just moved everything of theirs to green, and 2 is bad.
    world.metrics.behave("churn-v2-*", MetricsBehaviour(error_rate=0.4))
    world.move(green=90, v2=10)
    world.order(OrderKind.ABORT)
    world.settle()
    assert world.live() == {"green": 100}


# The deployments


def test_somebody_deletes_the_new_deployment() -> None:
    world = meeting("hold")
    world.go_to(Phase.HOLDING)
    world.move(v1=100)
    world.workspaces.remove_deployment(*WHERE, world.name("2"))
    world.settle()
    # A deleted deployment is not held on to, whatever `on_conflict` says.
    assert world.live() == {"1": 100}
    assert world.result().detail == "the deployment was deleted by someone"
    assert world.writes == [{"1": 90, "2": 10}], "there was nothing to set back"
    assert world.told()[-1] == "churn 2 was rolled back on churn"


def test_somebody_scales_the_new_deployment() -> None:
    world = meeting("hold", steps="traffic: 10%, hold: 10m, scale: 3, traffic: 100%")
    world.go_to(Phase.HOLDING)
    world.workspaces.scale(*WHERE, world.name("2"), 3)
    world.settle()
    # It has what the step wants: no operation is spent on it.
    assert world.live() == {"2": 100}
    assert world.time_in(Phase.SCALING) == timedelta(0)


def test_the_stable_one_fails_by_itself() -> None:
    world = meeting("hold")
    world.go_to(Phase.HOLDING)
    world.workspaces.fail_deployment(*WHERE, world.name("1"))
    held = world.go_to(Phase.HELD)
    # More traffic can't be set beside one that has failed; which way to go is a person's to say.
    assert "is Failed, and can't be given traffic" in held.reason
    assert world.live() == {"1": 90, "2": 10}
    world.order(OrderKind.PROMOTE, why="2 is all that is left", to_end=True)
    world.settle()
    assert world.live() == {"2": 100}


def test_somebody_deletes_the_endpoint() -> None:
    world = meeting("hold")
    world.go_to(Phase.HOLDING)
    del world.workspaces.endpoints[world.key]
    world.workspaces.deployments.pop(world.key)
    world.settle()
    assert world.result().detail == "the endpoint was deleted by someone"
    assert world.told()[-1] == "churn 2 was rolled back on churn"
    assert "Serving now: nothing" in world.channels.sent[-1].text
    world.roll_out("3")
    world.settle()
    assert world.live() == {"3": 100}, "the next version makes it anew"
