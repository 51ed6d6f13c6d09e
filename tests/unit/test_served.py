"""The deployments that served on an endpoint, from the rollouts that came to an end there."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Moment, Rollout
from shared.rollouts.state.served import served_on
from tests.unit.test_forecast import make_rollout

#: A rollout: the deployment that served, ">" forwards or "<" back or "x" failed, the new one.
type Told = str


def make(told: Told, number: int) -> Rollout:
    """Make the rollout that went live at this time."""
    left, way, came = told[:1], told[1], told[2]
    phase = Phase.ROLLED_BACK if way == "x" else Phase.DONE
    base = make_rollout(phase, step=2, stable="" if left == "-" else left)
    at = base.created_at + timedelta(hours=number)
    return replace(
        base,
        goes_back=way == "<",
        traffic=replace(base.traffic, goal={came: 100}),
        history=(Moment(at=at, phase=Phase.LIVE if way != "x" else phase),),
    )


@pytest.mark.parametrize(
    ("story", "served"),
    [
        ([], ""),
        (["->a"], "a"),
        (["->a", "a>b"], "ab"),
        (["->a", "axb"], "a"),
        (["->a", "a>b", "b>c"], "abc"),
        (["->a", "a>b", "b<a"], "a"),
        (["->a", "a>b", "b>c", "c<b"], "ab"),
        (["->a", "a>b", "b>c", "c<b", "b<a"], "a"),
        (["->a", "a>b", "b<a", "a>c"], "ac"),
        (["->a", "a>b", "c>d"], "cd"),  # somebody moved the traffic to c
        (["->a", "a>b", "b<c"], "c"),  # its rollout is forgotten
        (["->a", "a>A"], "a"),
    ],
)
def test_forward_adds_and_back_takes_off(story: list[Told], served: str) -> None:
    rollouts = [make(told, number) for number, told in enumerate(story)]
    assert "".join(served_on(reversed(rollouts))) == served


@given(st.lists(st.sampled_from(["a>b", "b>a", "b<a", "a<b", "b>c", "c<b", "->a"]), max_size=12))
def test_what_was_gone_back_from_is_never_the_previous_one(story: list[Told]) -> None:
    for end, told in enumerate(story, start=1):
        served = served_on(make(one, number) for number, one in enumerate(story[:end]))
        assert served[-1] == told[2]
        if told[1] == "<":
            assert told[0] not in served[:-1] or story[:end].count(told) < end
