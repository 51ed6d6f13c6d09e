"""Lengths of time, and what is said of a text that is none."""

from datetime import timedelta
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from shared.actions import ACTIONS
from shared.actions.deploy.params import PhaseTime
from shared.base.durations import HOW, DurationInvalid, format_duration, parse_duration
from shared.schema.values import Values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("45s", 45),
        ("15m", 900),
        ("1h30m", 5400),
        ("1d12h", 129_600),
        ("1d2h3m4s5ms", 93_784.005),
        ("0s", 0),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("value", "told", "hint"),
    [
        ("15 minutes", "found '15 minutes'", "Write `15m`."),
        ("2hours", "found '2hours'", "Write `2h`."),
        ("20 milliseconds", "found '20 milliseconds'", "Write `20ms`."),
        ("3 Sec", "found '3 Sec'", "Write `3s`."),
        ("1 hour and 30 minutes", "found '1 hour and 30 minutes'", "Write `1h30m`."),
        ("1h, 30m", "found '1h, 30m'", "Write `1h30m`."),
        ("1.5h", "found '1.5h'", "Write `1h30m`."),
        ("1h30", "found '1h30'", "Write `1h30m`."),
        ("2w", "found '2w'", "Write `14d`."),
        ("PT1H30M", "found 'PT1H30M'", "Write `1h30m`."),
        ("P2DT1H", "found 'P2DT1H'", "Write `2d1h`."),
        ("01:30:00", "found '01:30:00'", "Write `1h30m`."),
        ("1.00:00:00", "found '1.00:00:00'", "Write `1d`."),
        ("30m1h", "found '30m1h'", "Write `1h30m`."),
        (3600, "found 3600", "Write `1h` if it is in seconds."),
        (90, "found 90", "Write `1m30s` if it is in seconds."),
        ("soon", "found 'soon'", HOW),
        ("1M", "found '1M'", HOW),
        ("90", "found '90'", HOW),
        ("-1h", "found '-1h'", HOW),
        ("x" * 100, f"found '{'x' * 30}…'", HOW),
        ("1d 1" * 50_000, "found '1d 11d 1", HOW),
        ("https://example.com/hunter2", "found 'https://…'", HOW),
        (True, "found true", HOW),
        (0.5, "found 0.5", HOW),
        (None, "found nothing", HOW),
        ([1], "found a list", HOW),
        ({}, "found a mapping", HOW),
    ],
)
def test_what_is_no_duration_is_told_with_what_would_be_right(
    value: object, told: str, hint: str
) -> None:
    with pytest.raises(DurationInvalid) as caught:
        parse_duration(value)
    assert told in str(caught.value)
    assert caught.value.hint == hint


@given(st.integers(0, 10**8))
def test_a_duration_is_read_as_it_is_written(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    text = format_duration(span)
    if len(text) <= 7:
        assert parse_duration(text) == span


def durations() -> list[tuple[str, Any]]:
    """Return every duration that a reactions file can hold, with what it is checked by."""
    models = [*Values.__subclasses__()]
    for model in models:
        models += model.__subclasses__()
    return [
        (f"{model.__name__}.{name}", TypeAdapter(Annotated[field.annotation, *field.metadata]))
        for model in models
        for name, field in model.model_fields.items()
        if field.annotation is timedelta and model.__module__.startswith("shared.")
    ]


def test_every_duration_of_a_file_has_a_longest() -> None:
    for name in ACTIONS:
        assert ACTIONS[name]  # imports it
    found = durations()
    assert len(found) > 10
    for name, adapter in found:
        with pytest.raises(ValueError, match="from ") as caught:
            adapter.validate_python("999999d")
        assert "found 999999d" in str(caught.value), name


@pytest.mark.parametrize("value", ["0s", "90s"])
def test_a_duration_that_is_too_short_says_why(value: str) -> None:
    with pytest.raises(ValueError, match="because the service takes minutes"):
        TypeAdapter(PhaseTime).validate_python(value)
