"""A fresh world for each story."""

import pytest

from tests.stories.world import World


@pytest.fixture
def world() -> World:
    """The app with nothing in it yet."""
    return World()
