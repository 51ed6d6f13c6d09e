"""Words for people, written in one way."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.base.words import bullets, counted, elapsed, flat, listed, minute, second, shortened


def test_a_text_is_put_on_one_line() -> None:
    assert flat(" a\n\tb  c ") == "a b c"


@pytest.mark.parametrize(("most", "short"), [(5, "abcde"), (6, "abcde"), (4, "abc…"), (1, "…")])
def test_a_text_that_is_too_long_ends_in_an_ellipsis(most: int, short: str) -> None:
    assert shortened("abcde", most) == short


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "nothing"),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c", "d"], "a, b and 2 more"),
    ],
)
def test_of_many_names_the_first_are_told_and_the_rest_counted(names: list[str], told: str) -> None:
    assert listed(names, 2) == told


def test_of_many_lines_the_first_are_told_and_the_rest_counted() -> None:
    assert bullets(["a", "b", "c"], 2) == ["- a", "- b", "and 1 more"]
    assert bullets(["a", "b"], 2) == ["- a", "- b"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0s"), (-5, "0s"), (65, "1m 5s"), (3_600, "1h"), (90_061, "1d 1h"), (0.6, "1s")],
)
def test_a_time_that_passed_is_told_in_two_units(seconds: float, told: str) -> None:
    assert elapsed(timedelta(seconds=seconds)) == told


def test_a_number_has_its_noun_in_singular_or_plural() -> None:
    assert [counted(count, "row") for count in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


def test_a_time_is_told_in_utc() -> None:
    time = datetime(2026, 3, 2, 10, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    assert second(time) == second(time.astimezone(UTC)) == "2026-03-02 09:00:05Z"
    assert minute(time) == "2026-03-02 09:00 UTC"
