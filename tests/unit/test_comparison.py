"""How a new model stands to the one that serves, in numbers."""

import math
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.workspaces.champions import parse_number
from shared.workspaces.comparison import NO_CHAMPION, TIE, BetterParams, Standing, compare


def params(**values: Any) -> BetterParams:
    """Return the values for metric `auc`."""
    return BetterParams(metric="auc", **values)


@pytest.mark.parametrize(
    ("challenger", "champion", "values", "standing", "is_enough", "reason"),
    [
        (0.93, 0.91, {}, "better", True, "auc 0.93 against 0.91: better by 0.02"),
        (0.91, 0.93, {}, "not_better", False, "auc 0.91 against 0.93: worse by 0.02"),
        (0.91, 0.91, {}, "equal", False, "auc 0.91 against 0.91: equal"),
        (0.91, 0.91, {"equal": True}, "equal", True, "auc 0.91 against 0.91: equal"),
        (0.1 + 0.2, 0.3, {}, "equal", False, "auc 0.3 against 0.3: equal"),
        (
            3.1,
            3.3,
            {"direction": "lower"},
            "better",
            True,
            "auc 3.1 against 3.3 (lower is better): better by 0.2",
        ),
        (3.3, 3.1, {"direction": "lower"}, "not_better", False, None),
        (0.92, 0.91, {"margin": 0.02}, "not_better", False, "better by 0.01, wanted is 0.02"),
        (0.93, 0.91, {"margin": 0.02}, "better", True, None),
        (0.3, 0.2, {"margin": 0.1}, "better", True, None),  # 0.3 - 0.2 is a little less than 0.1
        (0.2, 0.3, {"margin": 0.1, "direction": "lower"}, "better", True, None),
        (102.0, 100.0, {"relative_margin": 0.02}, "better", True, None),
        (101.9, 100.0, {"relative_margin": 0.02}, "not_better", False, "wanted is 2"),
        (98.0, 100.0, {"relative_margin": 0.02, "direction": "lower"}, "better", True, None),
        (-98.0, -100.0, {"relative_margin": 0.02}, "better", True, None),
        (-99.0, -100.0, {"relative_margin": 0.02}, "not_better", False, None),
        (1e-9, 0.0, {"relative_margin": 0.5}, "better", True, None),
        (0.9, NO_CHAMPION, {}, "no_champion", True, "auc is 0.9, and nothing serves yet"),
        (0.9, NO_CHAMPION, {"no_champion": False}, "no_champion", False, None),
        (None, 0.9, {}, "challenger_unknown", False, "auc of the new model is missing"),
        (None, NO_CHAMPION, {}, "challenger_unknown", False, None),
        (None, None, {"equal": True}, "challenger_unknown", False, None),
        (0.9, None, {}, "champion_unknown", False, "auc of the model that serves is missing"),
        (math.nan, 0.9, {}, "challenger_unknown", False, None),
        (math.inf, 0.9, {}, "challenger_unknown", False, None),
        (0.9, -math.inf, {}, "champion_unknown", False, None),
    ],
)
def test_a_challenger_is_held_against_the_champion(
    challenger: float | None,
    champion: Any,
    values: dict[str, Any],
    standing: str,
    is_enough: bool,
    reason: str | None,
) -> None:
    verdict = compare(challenger, champion, params(**values))
    assert (verdict.standing, verdict.is_enough) == (standing, is_enough)
    assert reason is None or reason in verdict.reason


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"margin": 0.1, "relative_margin": 0.1}, "either `margin` or `relative_margin`"),
        ({"margin": 0.1, "equal": True}, "there can be no margin"),
        ({"relative_margin": 0.1, "equal": True}, "there can be no margin"),
        ({"margin": -0.1}, "greater than or equal to 0"),
        ({"margin": math.nan}, "finite"),
        ({"relative_margin": math.inf}, "finite"),
        ({"direction": "up"}, "higher"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        params(**values)


numbers = st.floats(allow_nan=False, allow_infinity=False)
margins = st.floats(min_value=0, max_value=1e300)
directions = st.sampled_from(["higher", "lower"])
sides = st.none() | st.floats() | st.just(NO_CHAMPION)


@st.composite
def wishes(draw: st.DrawFn) -> BetterParams:
    """Return any legal values."""
    kind = draw(st.sampled_from(["", "margin", "relative_margin"]))
    values: dict[str, Any] = {kind: draw(margins)} if kind else {"equal": draw(st.booleans())}
    return params(direction=draw(directions), no_champion=draw(st.booleans()), **values)


@given(st.none() | st.floats(), sides, wishes())
def test_every_pair_of_values_has_an_answer_and_what_is_unknown_is_never_enough(
    challenger: float | None, champion: Any, wish: BetterParams
) -> None:
    verdict = compare(challenger, champion, wish)
    is_known = challenger is not None and math.isfinite(challenger)
    if champion is not NO_CHAMPION:
        is_known = is_known and champion is not None and math.isfinite(champion)
    assert verdict.standing.is_known == is_known
    assert is_known or not verdict.is_enough
    assert verdict.reason


@given(numbers, numbers, wishes())
@example(challenger=0.3, champion=0.2, wish=params(margin=0.1))
def test_of_two_models_at_most_one_is_better(
    challenger: float, champion: float, wish: BetterParams
) -> None:
    there = compare(challenger, champion, wish).standing
    back = compare(champion, challenger, wish).standing
    assert (there is Standing.EQUAL) == (back is Standing.EQUAL)
    if there is Standing.BETTER:
        assert back is Standing.NOT_BETTER
    if not (wish.margin or wish.relative_margin) and there is Standing.NOT_BETTER:
        assert back is Standing.BETTER, "without a margin, one of two that differ is better"


@given(numbers, numbers, margins, margins, directions, st.sampled_from(["margin", "relative"]))
def test_a_greater_margin_never_makes_a_model_better(
    challenger: float, champion: float, one: float, other: float, direction: str, kind: str
) -> None:
    name = "margin" if kind == "margin" else "relative_margin"
    less, more = sorted((one, other))
    if compare(challenger, champion, params(direction=direction, **{name: more})).is_enough:
        assert compare(challenger, champion, params(direction=direction, **{name: less})).is_enough


@given(numbers, numbers, numbers, wishes())
def test_a_greater_value_never_makes_a_model_worse(
    one: float, other: float, champion: float, wish: BetterParams
) -> None:
    worse, better = sorted((one, other), reverse=wish.direction == "lower")
    if compare(worse, champion, wish).is_enough:
        assert compare(better, champion, wish).is_enough


@given(numbers, numbers, wishes())
def test_lower_is_better_is_the_mirror_of_higher_is_better(
    challenger: float, champion: float, wish: BetterParams
) -> None:
    other = "lower" if wish.direction == "higher" else "higher"
    mirrored = wish.model_copy(update={"direction": other})
    there = compare(challenger, champion, wish)
    back = compare(-challenger, -champion, mirrored)
    assert (there.standing, there.is_enough) == (back.standing, back.is_enough)


@given(numbers, st.floats(min_value=-TIE / 4, max_value=TIE / 4))
def test_a_difference_that_arithmetic_makes_is_a_tie(value: float, share: float) -> None:
    near = value * (1 + share)
    assume(math.isfinite(near) and (value == 0 or abs(value) > 1e-290))
    assert compare(near, value, params()).standing is Standing.EQUAL


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.93", 0.93),
        (" 1e-3 ", 0.001),
        ("-.5", -0.5),
        ("+12", 12.0),
        ("7.", 7.0),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("0,93", None),
        ("0.93%", None),
        ("1_000", None),
        ("0x10", None),
        ("٣", None),
        ("1" * 65, None),
        ("0.93\n0.94", None),
    ],
)
def test_only_a_whole_finite_number_is_read_from_a_tag(text: str, number: float | None) -> None:
    assert parse_number(text) == number


@given(st.text(max_size=100))
def test_no_text_makes_reading_a_number_fail(text: str) -> None:
    value = parse_number(text)
    assert value is None or math.isfinite(value)
