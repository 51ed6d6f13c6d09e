"""Messages that wake a row: ours are read, and anybody else's is dropped with one quiet word."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.base.wakeups import read_wakeup, write_wakeup
from tests.stories.world import World

DUE = datetime(2026, 3, 2, 9, tzinfo=UTC)
OURS = json.loads(write_wakeup({"letter": "a1"}, ("turn", 3), DUE, traceparent="00-x"))

FORGED: list[Any] = [
    "",
    "no json",
    "null",
    "[]",
    "{}",
    "[" * 100_000,
    "1" * 5_000,
    *(
        json.dumps(OURS | change)
        for change in (
            {"letter": None},
            {"letter": ["a"]},
            {"letter": "a/b#c?\\"},
            {"letter": "a" * 2_000},
            {"letter": ""},
            {"turn": "3"},
            {"turn": True},
            {"turn": -1},
            {"turn": 1e400},
            {"v": 2},
            {"due": "soon"},
            {"due": "2026-03-02T09:00:00"},
            {"due": 7},
            {"due": "0001-01-01T00:00:00+14:00"},
            {"due": "9999-12-31T23:59:59-14:00"},
            {"due": "0001-01-01T00:00:00+00:00"},
        )
    ),
]


def test_what_was_written_is_read() -> None:
    wakeup = read_wakeup(json.dumps(OURS), ("letter",), "turn")
    assert wakeup is not None
    assert (wakeup.ids, wakeup.number, wakeup.due) == ({"letter": "a1"}, 3, DUE)


def test_a_message_of_an_earlier_version_is_read() -> None:
    wakeup = read_wakeup('{"v": 1, "letter": "a1", "turn": 3}', ("letter",), "turn")
    assert wakeup is not None
    assert wakeup.due is None


@pytest.mark.parametrize("text", FORGED, ids=range(len(FORGED)))
def test_a_forged_message_is_dropped_with_one_quiet_warning(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    assert world.letters.due(text, redelivered=True) is None
    world.rollouts.advance(text.replace("letter", "rollout"), redelivered=True)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert not any(record.exc_info for record in caplog.records)
    assert len(caplog.text) < 1_000


@given(st.text())
def test_any_text_is_read_or_dropped(text: str) -> None:
    assert read_wakeup(text, ("letter",), "turn") is None
