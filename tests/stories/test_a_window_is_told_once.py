"""The signals of a window arrive one by one, with other windows between: people hear of it once."""

from datetime import timedelta
from typing import Any

from tests.stories.test_drift_is_retrained import Story
from tests.stories.world import drift_detected

NULLS = [{"name": "null_value_rate", "value": 0.4, "threshold": 0.1}]
BROKEN = "churn: its data is broken, so it is not retrained"
MINUTE = timedelta(minutes=1)


def breaks(story: Story) -> dict[str, Any]:
    """Have the monitor tell of a window with broken data; return the window."""
    event = story.window(after=MINUTE, signal="data_quality", metrics=NULLS)
    window: dict[str, Any] = event["data"]["window"]
    return window


def tell_more(story: Story, window: dict[str, Any]) -> None:
    """Have the monitor tell of another signal of a window."""
    now = story.world.clock.now()
    story.world.react.react(drift_detected(f"{window['id']}-late", now, window=window))


def test_broken_data_is_not_told_again_for_a_signal_that_comes_after_the_next_window() -> None:
    story = Story(policy="windows: {breached: 3, of: 3}")
    broken = breaks(story)
    story.window(after=MINUTE)
    tell_more(story, broken)
    assert story.world.told() == [BROKEN]


def test_data_that_breaks_again_is_told_though_a_signal_of_the_last_time_came_late() -> None:
    story = Story(policy="windows: {breached: 3, of: 3}")
    broken = breaks(story)
    story.window(after=MINUTE)
    tell_more(story, broken)
    breaks(story)
    assert story.world.told() == [BROKEN, BROKEN]
