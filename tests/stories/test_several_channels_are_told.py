"""One message for several channels: each gets it once, whichever of them is down."""

from datetime import timedelta

import pytest

from shared.journal.letters import LetterStatus
from tests.stories.world import WORKSPACE, World

REACTIONS = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team, mail, duty]
defaults:
  notify: {{channel: [team, mail]}}
reactions:
  - name: tell-new-models
    on: ModelRegistered
    do:
      - notify: {{title: "${{{{ model.name }}}} ${{{{ model.version }}}} is new"}}
      - rollout: {{endpoint: "${{{{ model.tags.endpoint }}}}", order: abort, why: a test,
          allow: {{endpoint: [churn]}}}}
"""


@pytest.fixture
def world() -> World:
    return World(REACTIONS.partition("      - rollout")[0])


def told(world: World) -> list[str]:
    return [one.channel for one in world.channels.sent if one.title == "churn 1 is new"]


def test_each_channel_of_the_list_is_told(world: World) -> None:
    world.react.react(world.register())
    assert told(world) == ["team", "mail"]


def test_the_channel_that_was_down_is_told_later_and_the_other_not_again(world: World) -> None:
    world.channels.make_down("team")
    event = world.register()
    world.react.react(event)
    assert told(world) == ["mail"]
    world.channels.make_well("team")
    world.settle()
    world.react.react(event)
    assert told(world) == ["mail", "team"]


def test_the_order_of_the_list_does_not_tell_anybody_twice(world: World) -> None:
    world.channels.make_down("team")
    world.react.react(world.register())
    world.reactions = world.reactions.replace("[team, mail]}", "[mail, team]}")
    world.start_app()
    world.channels.make_well("team")
    world.settle()
    assert told(world) == ["mail", "team"]


def test_a_parked_letter_is_told_to_the_channels_of_the_defaults() -> None:
    world = World(REACTIONS)
    world.react.react(world.register())  # no tag says the endpoint
    assert {one.status for one in world.all_letters()} == {LetterStatus.PARKED}
    world.sweep.run()
    waiting = [one for one in world.channels.sent if "waits for a person" in one.title]
    assert [one.channel for one in waiting] == ["team", "mail"]


def test_a_letter_of_no_reaction_is_told_to_the_channels_of_the_defaults(world: World) -> None:
    world.react.react_to_body("no event")
    world.clock.pass_time(timedelta(minutes=1))
    world.sweep.run()
    titles = {(one.channel, one.title) for one in world.channels.sent}
    assert titles == {(name, "an event waits for a person") for name in ("team", "mail")}
