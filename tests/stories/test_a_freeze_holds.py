"""In a freeze nothing is begun and nothing goes on; what was held is done when it is over."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from tests.stories.world import WORKSPACE, World, model_registered

FRIDAY = datetime(2026, 3, 6, 15, 0, tzinfo=UTC)


def rules(
    events: str = "hold", *, of_reaction: str = "freeze: [weekend]", of_file: str = ""
) -> str:
    """Return a file with a weekend without reactions, and one reaction that sends a message."""
    return f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
freezes:
  weekend: {{begins: Fri 17:00, ends: Mon 08:00, time_zone: Europe/Berlin, events: {events}}}
{of_file}
reactions:
  - name: tell
    {of_reaction}
    on: ModelRegistered
    do:
      - notify: {{channel: team, title: "${{{{ model.version }}}}"}}
"""


def world_at(time: datetime, text: str) -> World:
    world = World(text)
    world.clock.time = time
    return world


def tell(world: World, version: str) -> None:
    world.react.react(model_registered(f"e{version}", world.clock.now(), "churn", version, {}))


def test_events_of_a_weekend_are_held_until_monday_and_then_done() -> None:
    world = world_at(FRIDAY, rules())
    tell(world, "1")
    world.clock.pass_time(timedelta(hours=1))
    tell(world, "2")
    assert world.told() == ["1"]
    held = world.outcome_of("churn:2", "tell/*")
    assert (held.status, held.code) == (OutcomeStatus.WAITING, "reaction.frozen")
    assert held.detail == "freeze `weekend` lasts until 2026-03-09 08:00 Europe/Berlin"
    (letter,) = world.all_letters()
    assert letter.status is LetterStatus.WAITING
    assert letter.due_at == datetime(2026, 3, 9, 7, 0, tzinfo=UTC)
    world.settle()
    assert world.clock.now() == datetime(2026, 3, 9, 7, 0, tzinfo=UTC)
    assert world.told() == ["1", "2"]
    assert world.outcome_of("churn:2", "tell/notify").status is OutcomeStatus.DONE
    assert {one.status for one in world.all_letters()} == {LetterStatus.CLOSED}


def test_a_freeze_that_is_longer_than_a_queue_can_wait_holds_to_its_end() -> None:
    long = rules().replace("Fri 17:00, ends: Mon 08:00", "2026-03-01, ends: 2026-04-01")
    world = world_at(FRIDAY, long)
    tell(world, "1")
    world.settle()
    assert world.told() == ["1"]
    assert world.clock.now() >= datetime(2026, 3, 31, 22, 0, tzinfo=UTC)


def test_a_freeze_that_skips_keeps_its_events_from_starting_for_good() -> None:
    world = world_at(FRIDAY + timedelta(hours=1), rules("skip"))
    tell(world, "1")
    skipped = world.outcome_of("churn:1", "tell/notify")
    assert (skipped.status, skipped.code) == (OutcomeStatus.SKIPPED, "reaction.frozen_out")
    event = model_registered("e1", world.clock.now(), "churn", "1", {})
    world.clock.time = datetime(2026, 3, 10, tzinfo=UTC)
    world.react.react(event)
    assert world.told() == []
    assert world.all_letters() == []


def test_what_was_begun_before_a_freeze_waits_for_its_end_to_be_tried_again() -> None:
    for events in ("hold", "skip"):
        world = world_at(FRIDAY + timedelta(minutes=59, seconds=55), rules(events))
        world.channels.make_down("team")
        tell(world, "1")
        world.clock.pass_time(timedelta(minutes=1))
        world.channels.make_well("team")
        world.deliver()
        assert world.told() == []
        (letter,) = world.all_letters()
        assert (letter.status, letter.code) == (LetterStatus.WAITING, "reaction.frozen")
        world.settle()
        assert world.told() == ["1"]
        assert world.clock.now() == datetime(2026, 3, 9, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("do", "own", "is_held"),
    [
        ("notify: {channel: team, title: x}", "", False),
        ("notify: {channel: team, title: x}", "freeze: [weekend]", True),
        ("deploy: {endpoint: churn, instance_type: Standard_DS3_v2}", "", True),
        ("deploy: {endpoint: churn, instance_type: Standard_DS3_v2}", "freeze: []", False),
    ],
)
def test_a_freeze_of_the_file_holds_for_what_makes_or_changes_anything(
    do: str, own: str, is_held: bool
) -> None:
    text = rules(of_reaction=own, of_file="freeze: [weekend]")
    head, _, _ = text.partition("      - notify")
    world = world_at(FRIDAY + timedelta(hours=1), f"{head}      - {do}\n")
    world.react.react(world.register("churn", "1"))
    assert [letter.code for letter in world.all_letters()] == ["reaction.frozen"] * is_held


def test_held_events_are_let_go_when_the_file_has_the_freeze_no_more() -> None:
    world = world_at(FRIDAY + timedelta(hours=1), rules())
    tell(world, "1")
    world.reactions = rules(of_reaction="freeze: []")
    world.start_app()
    (letter,) = world.all_letters()
    world.letters.reopen(letter)
    world.deliver()
    assert world.told() == ["1"]
