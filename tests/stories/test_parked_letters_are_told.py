"""A letter that waits for a person is told to the people of its reaction, once."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared.base.errors import StorageUnavailable, WorkspaceUnreachable
from shared.base.ports import RowChanged
from shared.journal.dead_letters import ATTEMPTS_MAX
from shared.journal.letters import LetterStatus
from shared.messages.outbox import ATTEMPTS_MAX as TRIES_MAX
from shared.twins.storage import Sent
from tests.stories.world import World


@pytest.fixture
def world() -> World:
    return World()


def parked(world: World, name: str = "churn") -> str:
    """Park a letter of a model that can't be deployed; return its id."""
    world.react.react(world.register(name, "1", kind="custom_model"))
    return next(one.id for one in world.all_letters() if name in one.about)


def told(world: World) -> list[Sent]:
    return [one for one in world.channels.sent if "for a person" in one.title]


def test_the_channels_of_its_steps_are_told_why_and_what_to_run(world: World) -> None:
    letter_id = parked(world)
    assert told(world) == [], "a channel that is down would hold the event up"
    world.sweep.run()
    (message,) = told(world)
    assert message.channel == "team"
    assert message.title == "deploy-tagged-models: ModelRegistered churn:1 waits for a person"
    assert "Reason: deploy.model_unfit: model churn 1 is a custom_model" in message.text
    assert "What to do: Register it as `mlflow_model` or `triton_model`." in message.text
    assert f"signalbox letters show {letter_id[:8]}" in message.text
    assert f"signalbox letters replay {letter_id[:8]} --why" in message.text
    assert message.good is False


def test_a_parked_letter_is_told_once_however_often_the_sweep_and_the_event_come(
    world: World,
) -> None:
    event = world.register("churn", "1", kind="custom_model")
    for _ in range(3):
        world.react.react(event)
        world.sweep.run()
    assert len(told(world)) == 1


def test_a_letter_that_merely_waits_is_not_told(world: World) -> None:
    def be_down(_: str) -> None:
        raise WorkspaceUnreachable("connection refused")

    world.workspaces.before = be_down
    world.react.react(world.register("churn", "1"))
    for _ in range(5):
        world.clock.pass_time(timedelta(minutes=5))
        world.sweep.run()
    assert world.all_letters()[0].status is LetterStatus.WAITING
    assert told(world) == []


def test_a_letter_that_is_parked_after_all_its_attempts_is_told(world: World) -> None:
    def be_down(_: str) -> None:
        raise WorkspaceUnreachable("connection refused")

    world.workspaces.before = be_down
    world.react.react(world.register("churn", "1"))
    world.settle()
    assert world.all_letters()[0].attempt == ATTEMPTS_MAX
    world.sweep.run()
    (message,) = told(world)
    assert "workspace.unreachable: connection refused" in message.text


def test_a_letter_that_is_replayed_and_parked_again_is_told_again(world: World) -> None:
    parked(world)
    world.sweep.run()
    world.letters.reopen(world.all_letters()[0])
    world.settle()
    world.sweep.run()
    assert len(told(world)) == 2


@pytest.mark.parametrize("act", ["reopen", "close"])
def test_a_letter_that_a_person_took_up_before_is_not_told(world: World, act: str) -> None:
    parked(world)
    getattr(world.letters, act)(world.all_letters()[0])
    world.sweep.run()
    assert told(world) == []


def test_many_letters_of_one_cause_are_one_message(world: World) -> None:
    for number in range(15):
        parked(world, f"churn-{number}")
    world.sweep.run()
    (message,) = told(world)
    assert message.title == "deploy-tagged-models: 15 letters wait for a person"
    assert "Reason: deploy.model_unfit" in message.text
    assert message.text.count("is a custom_model") == 10
    assert "and 5 more: signalbox letters list" in message.text
    world.sweep.run()
    assert len(told(world)) == 1


def test_a_channel_that_is_down_is_told_later_and_keeps_no_other_waiting(world: World) -> None:
    world.reactions = world.reactions.replace("notify: [team]", "notify: [team, ops]").replace(
        "channels: [team]", "channels: [team, ops]"
    )
    world.start_app()
    world.channels.make_down("team")
    parked(world)
    world.sweep.run()
    assert [one.channel for one in told(world)] == ["ops"]
    world.channels.make_well("team")
    world.sweep.run()
    world.sweep.run()
    assert [one.channel for one in told(world)] == ["ops", "team"]


def test_a_channel_that_stays_down_is_given_up(world: World) -> None:
    world.channels.make_down("team")
    parked(world)
    for _ in range(TRIES_MAX):
        assert any(world.letters.untold())
        world.sweep.run()
    assert not any(world.letters.untold())
    assert world.all_letters()[0].status is LetterStatus.PARKED


def test_a_crash_between_the_message_and_the_row_loses_no_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked(world)

    def crash(*_: object, **__: object) -> bool:
        raise StorageUnavailable("killed")

    with monkeypatch.context() as patch:
        patch.setattr(world.letters, "note", crash)
        with pytest.raises(StorageUnavailable):
            world.sweep.run()
    world.sweep.run()
    world.sweep.run()
    assert len(told(world)) == 2, "told twice is better than not at all"


def test_a_letter_that_changes_while_it_is_told_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked(world)
    replace = world.tables.replace
    answers: Iterator[bool] = iter([True])

    def change_first(table: str, partition: str, key: str, *args: object, **more: object) -> str:
        if table == "SignalboxLetters" and next(answers, False):
            world.letters.reopen(world.all_letters()[0])
            raise RowChanged
        return replace(table, partition, key, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(world.tables, "replace", change_first)
    world.sweep.run()
    (letter,) = world.all_letters()
    assert (letter.status, letter.untold) == (LetterStatus.WAITING, {})


def test_what_is_no_event_has_no_reaction_and_tells_nobody(world: World) -> None:
    world.react.react_to_body("no event")
    world.sweep.run()
    assert world.all_letters()[0].status is LetterStatus.PARKED
    assert world.channels.sent == ()
