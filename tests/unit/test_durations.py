"""Lengths of time, and what is said of a text that is none."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("45s", 45), ("15m", 900), ("1h30m", 5400), ("1d12h", 129_600), ("0s", 0)],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("15 minutes", "found '15 minutes', which is 15m"),
        ("2hours", "found '2hours', which is 2h"),
        ("20 milliseconds", "found '20 milliseconds', which is 20ms"),
        ("3 Sec", "found '3 Sec', which is 3s"),
        (3600, "found 3600, which is 1h if it is in seconds"),
        (90, "found 90, which is 90s if it is in seconds"),
        ("soon", "found 'soon'"),
        ("x" * 100, f"found '{'x' * 30}…'"),
        ("PT15M", "found 'PT15M'"),
        ("30m1h", "the largest unit first"),
        ("1h1h", "each once"),
        (True, "write a number and a unit"),
        (None, "write a number and a unit"),
    ],
)
def test_what_is_no_duration_is_told_with_what_would_be_right(value: object, told: str) -> None:
    with pytest.raises(ValueError, match="write") as caught:
        parse_duration(value)
    assert told in str(caught.value)


@given(st.integers(0, 10**8))
def test_a_duration_is_read_as_it_is_written(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    text = format_duration(span)
    if len(text) <= 7:
        assert parse_duration(text) == span
