"""Splits are whole percentages that add up to 0 or 100, in whatever casing the names come."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rollouts.state.splits import is_same, leader, on_the_way, only, share, words

NAMES = ("blue", "Green", "churn-v1-def456", "RED", "x")
CASINGS: tuple[Callable[[str], str], ...] = (str, str.lower, str.upper, str.title)


@st.composite
def splits(draw: st.DrawFn, names: tuple[str, ...] = NAMES) -> dict[str, int]:
    """Draw a split over some of the names: it adds up to 100."""
    some = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    cuts = sorted(
        draw(st.lists(st.integers(0, 100), min_size=len(some) - 1, max_size=len(some) - 1))
    )
    bounds = [0, *cuts, 100]
    return {name: bounds[i + 1] - bounds[i] for i, name in enumerate(some)}


def cased(split: dict[str, int]) -> st.SearchStrategy[dict[str, int]]:
    """Draw the split with its names in another casing."""
    return st.sampled_from(CASINGS).map(
        lambda change: {change(name): part for name, part in split.items()}
    )


PERCENTS = st.integers(0, 100)


@given(splits(), splits(), PERCENTS)
def test_every_split_on_the_way_is_whole(
    origin: dict[str, int], goal: dict[str, int], percent: int
) -> None:
    way = on_the_way(origin, goal, percent)
    assert sum(way.values()) == 100
    assert all(part > 0 for part in way.values())
    for name in NAMES:
        exact = share(origin, name) + (share(goal, name) - share(origin, name)) * percent / 100
        assert abs(share(way, name) - exact) < 1, "nobody is a point off"


@given(splits(), splits())
def test_the_way_begins_at_the_origin_and_ends_at_the_goal(
    origin: dict[str, int], goal: dict[str, int]
) -> None:
    assert is_same(on_the_way(origin, goal, 0), origin)
    assert is_same(on_the_way(origin, goal, 100), goal)


@given(splits(NAMES[:4]), PERCENTS)
def test_a_new_deployment_gets_exactly_what_is_said(origin: dict[str, int], percent: int) -> None:
    assert share(on_the_way(origin, {"x": 100}, percent), "X") == percent


@given(splits(NAMES[:4]), PERCENTS)
def test_the_others_keep_their_proportions(origin: dict[str, int], percent: int) -> None:
    way = on_the_way(origin, {"x": 100}, percent)
    for name, part in origin.items():
        assert abs(share(way, name) - part * (100 - percent) / 100) < 1


@given(splits(NAMES[:4]), PERCENTS, PERCENTS)
def test_a_new_deployment_s_share_grows_with_the_way(
    origin: dict[str, int], one: int, other: int
) -> None:
    low, high = sorted((one, other))
    goal = {"x": 100}
    assert share(on_the_way(origin, goal, low), "x") <= share(on_the_way(origin, goal, high), "x")


@given(splits(NAMES[:2]), splits(NAMES[:2]), PERCENTS, PERCENTS)
def test_between_two_each_goes_one_way_only(
    origin: dict[str, int], goal: dict[str, int], one: int, other: int
) -> None:
    low, high = (share(on_the_way(origin, goal, at), "blue") for at in sorted((one, other)))
    begin, end = share(origin, "blue"), share(goal, "blue")
    assert begin <= low <= high <= end or begin >= low >= high >= end


@given(splits(), splits(), PERCENTS, st.data())
def test_no_casing_makes_a_difference(
    origin: dict[str, int], goal: dict[str, int], percent: int, data: st.DataObject
) -> None:
    there, aim = data.draw(cased(origin)), data.draw(cased(goal))
    assert is_same(on_the_way(there, aim, percent), on_the_way(origin, goal, percent))
    for name in NAMES:
        assert share(there, name) == share(origin, name.swapcase())


def test_where_nothing_serves_there_is_no_way_but_the_goal() -> None:
    assert on_the_way({}, {"new": 100}, 10) == {"new": 100}
    assert on_the_way({}, {"new": 60, "old": 40, "none": 0}, 10) == {"new": 60, "old": 40}


@given(splits(), st.sets(st.sampled_from(NAMES)))
def test_what_is_kept_of_a_split_is_whole_again(split: dict[str, int], keep: set[str]) -> None:
    left = only(split, keep.__contains__)
    total = sum(part for name, part in split.items() if name in keep)
    assert sum(left.values()) == (100 if total else 0)
    assert left.keys() <= keep
    for name, part in left.items():
        assert abs(part - split[name] * 100 / total) < 1


@pytest.mark.parametrize(
    ("split", "prefer", "name"),
    [
        ({}, "", ""),
        ({"blue": 0}, "blue", ""),
        ({"blue": 40, "green": 60}, "blue", "green"),
        ({"blue": 50, "green": 50}, "BLUE", "blue"),
        ({"blue": 50, "green": 50}, "", "green"),
    ],
)
def test_the_largest_share_leads_and_among_equals_the_preferred(
    split: dict[str, int], prefer: str, name: str
) -> None:
    assert leader(split, prefer) == name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({"blue": 0}, {}, True),
        ({"Blue": 90, "green": 10}, {"GREEN": 10, "blue": 90}, True),
        ({"blue": 90, "green": 10}, {"blue": 10, "green": 90}, False),
        ({"blue": 100}, {"green": 100}, False),
        ({"blue": 100}, {}, False),
    ],
)
def test_splits_are_the_same_that_send_the_same_to_the_same(
    one: dict[str, int], other: dict[str, int], same: bool
) -> None:
    assert is_same(one, other) is same


def test_a_split_is_said_with_the_largest_share_first() -> None:
    assert words({"Blue": 10, "green": 90, "red": 0}) == "green 90%, blue 10%"
    assert words({}) == "nothing"
