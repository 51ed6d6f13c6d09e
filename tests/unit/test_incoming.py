"""Text from others is read within bounds, or refused; never another exception."""

import json
import tracemalloc
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.base.incoming import (
    DEPTH_MAX,
    VALUES_MAX,
    TooDeep,
    read_json,
    read_json_at,
    read_object,
    read_time,
    read_whole,
)
from tests.timing import cpu_seconds

#: Each built to break what reads it, of about so many characters.
HOSTILE = {
    "brackets": lambda size: "[" * size,
    "closed brackets": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "braces": lambda size: '{"a":' * (size // 5),
    "a number": lambda size: "9" * size,
    "a negative number": lambda size: "-" + "9" * size,
    "a fraction": lambda size: "0." + "1" * size,
    "an exponent": lambda size: "1e" + "9" * size,
    "a text": lambda size: '"' + "\\ud800" * (size // 6) + '"',
    "a text without an end": lambda size: '"' + "\\" * size,
    "empty lists": lambda size: "[" + "[]," * (size // 3) + "[]]",
    "one key": lambda size: "{" + '"a":1,' * (size // 6) + '"a":1}',
    "blanks": lambda size: " " * size,
}


def attempt(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        return error


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("size", [100, 5_000, 400_000])
def test_what_is_built_to_break_its_reader_is_a_value_or_no_use(kind: str, size: int) -> None:
    value = attempt(HOSTILE[kind](size))
    if not isinstance(value, ValueError):
        json.dumps(value).encode()
    assert isinstance(read_object(HOSTILE[kind](size)), dict)


@pytest.mark.parametrize("kind", HOSTILE)
def test_twice_as_long_a_text_takes_about_twice_the_time(kind: str) -> None:
    def cost(size: int) -> float:
        return cpu_seconds(partial(attempt, HOSTILE[kind](size)), times=5)

    # Quadratic is 16 times; the constant is the noise of what takes no time at all.
    assert cost(1_600_000) < 8 * cost(400_000) + 0.02


def test_a_text_of_many_values_is_no_use_before_it_takes_its_memory() -> None:
    text = "[" + "[]," * VALUES_MAX + "[]]"
    tracemalloc.start()
    with pytest.raises(ValueError, match="values"):
        read_json(text)
    assert tracemalloc.get_traced_memory()[1] < len(text)
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        ("1" * 300, int("1" * 300)),
        ("9" * 400, float("inf")),
        ("-" + "9" * 5000, float("-inf")),
        ("1e999", float("inf")),
        (b"\xef\xbb\xbf{}", {}),
        ('"\\ud800x"', "\ufffdx"),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\ud800"', "\ufffd"),
        ('{"\\udfff": 1}', {"\ufffd": 1}),
    ],
)
def test_a_value_is_what_it_can_be(text: str | bytes, expected: object) -> None:
    assert read_json(text) == expected


@pytest.mark.parametrize("text", ["9" * 400, "1e999", "NaN", "-Infinity", "9" * 5000])
def test_where_it_is_strict_every_number_is_finite(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        read_json(text, is_strict=True)


@pytest.mark.parametrize("text", ["", "{", b"\xff", b"\xff\xfe{\x00}\x00", "[1,]", "nul"])
def test_what_is_no_json_is_no_use(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whichever kind
        read_json(text)
    assert read_object(text) == {}


@pytest.mark.parametrize("text", ["[]", "7", "null", '"x"'])
def test_what_is_no_object_has_no_members(text: str) -> None:
    assert read_object(text) == {}


@pytest.mark.parametrize("extra", [0, 1])
def test_a_document_is_read_to_some_depth(extra: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        inner = "[]" if opening == "[" else "{}"
        text = opening * (DEPTH_MAX - 1 + extra) + inner + closing * (DEPTH_MAX - 1 + extra)
        if extra:
            with pytest.raises(TooDeep):
                read_json(text)
            with pytest.raises(TooDeep):
                read_json_at(f"x{text}", 1)
        else:
            assert read_json(text) == read_json_at(f"x{text}y", 1)[0]


@given(st.text() | st.binary())
def test_any_text_is_a_value_or_no_use(text: str | bytes) -> None:
    assert isinstance(read_object(text), dict)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01t12:00:00z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("0001-01-01T00:00:00+01:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("9999-12-31T23:59:59Z", None),
        ("2026-13-01", None),
        ("9" * 5000, None),
        ("", None),
        (None, None),
        (20260301, None),
    ],
)
def test_a_time_is_one_that_can_be_reckoned_with(text: object, expected: datetime | None) -> None:
    assert read_time(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("599", 599), ("600", None), ("-1", None), ("\u0663", None), ("9" * 5000, None)],
)
def test_a_whole_number_is_one_within_bounds(text: str, expected: int | None) -> None:
    assert read_whole(text, most=599) == expected
