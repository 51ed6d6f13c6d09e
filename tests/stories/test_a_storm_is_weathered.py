"""A storm of events makes neither a storm of messages nor one of endpoints, and nothing is lost."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.base.errors import StorageUnavailable
from shared.messages.notice import PER_HOUR, Text, notices_to
from tests.stories.kill import Kill, Killed, Ports, kill_at_every_call
from tests.stories.world import WORKSPACE, World, model_registered

SHIPPED = (
    (Path(__file__).parents[2] / "reactions.yaml")
    .read_text(encoding="utf-8")
    .replace("%SIGNALBOX_WORKSPACE%", WORKSPACE.id)
)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def rules(per_hour: int | None = None, *, more: str = "") -> str:
    """Return a file with one reaction that sends a message for each model."""
    ceiling = f"messages: {{per_hour: {per_hour}}}" if per_hour else ""
    return f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
{ceiling}
reactions:
  - name: tell
    on: ModelRegistered
    do:
      - notify: {{channel: team, title: "${{{{ model.name }}}} is new"{more}}}
"""


def event(world: World, number: int) -> dict[str, Any]:
    return model_registered(f"event-{number}", world.clock.now(), f"model-{number}", "1", {})


def sweep_for(world: World, span: timedelta) -> None:
    """Let time pass, with a sweep every five minutes."""
    for _ in range(span // (5 * MINUTE)):
        world.clock.pass_time(5 * MINUTE)
        world.sweep.run()


def test_four_hundred_tagged_models_make_twenty_endpoints_and_few_messages() -> None:
    world = World(SHIPPED)
    for number in range(400):
        world.react.react(world.register(f"model-{number}"))
        world.clock.pass_time(MINUTE / 400)
    world.settle(most=10_000)
    assert len(world.workspaces.endpoints) == 20
    codes = Counter(
        world.outcome_of(f"model-{number}:1", "deploy-tagged-models/deploy").code
        for number in range(400)
    )
    assert codes["reaction.limit"] == 380
    sweep_for(world, 2 * HOUR)
    # Of each of the twenty that it has started and that it is live.
    assert len(world.told()) == 40
    assert world.all_letters() == []


def test_beyond_the_ceiling_messages_are_counted_and_told_in_one_at_the_end_of_the_hour() -> None:
    world = World(rules())
    for number in range(400):
        world.react.react(event(world, number))
    assert world.told() == [f"model-{number} is new" for number in range(PER_HOUR)]
    assert world.outcome_of("model-60:1", "tell/notify").detail == (
        "counted, because team has got as many messages as an hour allows"
    )
    assert world.all_letters() == []
    sweep_for(world, HOUR + 5 * MINUTE)
    assert world.told()[PER_HOUR:] == ["and 340 more messages"]
    assert world.channels.sent[-1].text.splitlines() == [
        "Since 2026-03-02 09:00 UTC this channel got 60 messages, and gets no more within an hour"
        " (`messages.per_hour`). 340 more were not sent.",
        "The last of them:",
        *(f"- model-{number} is new" for number in range(395, 400)),
        "To see where they come from: signalbox events",
        "To see where they come from: signalbox rollouts list",
    ]
    world.react.react(event(world, 400))
    assert world.told()[-1] == "model-400 is new", "the next hour begins with its first message"
    sweep_for(world, 2 * HOUR)
    assert len(world.told()) == PER_HOUR + 2


def test_news_keeps_back_no_message_that_a_person_has_to_act_on() -> None:
    world = World(rules(3))
    outbox = world.services.outbox
    for number in range(5):
        outbox.send(notices_to(["team"], Text(title=f"{number} is live", body="", good=True)))
        text = Text(title=f"approve {number}?", body="", good=None, needs_person=True)
        outbox.send(notices_to(["team"], text))
    told = world.told()
    assert [title for title in told if "live" in title] == [f"{n} is live" for n in range(3)]
    assert [title for title in told if "live" not in title] == [f"approve {n}?" for n in range(3)]
    sweep_for(world, HOUR + 5 * MINUTE)
    assert sorted(world.told()[6:]) == ["and 2 more messages", "and 2 more messages to act on"]
    assert "signalbox letters list" in world.channels.sent[-1].text + world.channels.sent[-2].text


def test_each_channel_has_its_own_ceiling() -> None:
    world = World(rules(1))
    for channel in ("team", "ops"):
        for number in range(2):
            text = Text(title=f"{channel} {number}", body="", good=None)
            world.services.outbox.send(notices_to([channel], text))
    assert world.told() == ["team 0", "ops 0"]


def test_a_message_that_is_tried_again_counts_once() -> None:
    world = World(rules(2))
    world.channels.make_down("team")
    for number in range(2):
        world.react.react(event(world, number))
    world.clock.pass_time(10 * MINUTE)
    world.deliver()
    world.channels.make_well("team")
    world.settle()
    assert sorted(world.told()) == ["model-0 is new", "model-1 is new"]


def test_summaries_of_folds_are_beneath_the_ceiling_too() -> None:
    world = World(rules(2, more=', fold: {key: "${{ model.name }}", within: 1m}'))
    for number in range(2):
        for version in ("1", "2"):
            world.react.react(
                model_registered(f"{number}-{version}", world.clock.now(), f"m-{number}", version)
            )
    assert world.told() == ["m-0 is new", "m-1 is new"]
    sweep_for(world, 10 * MINUTE)
    assert world.told()[2:] == []
    sweep_for(world, HOUR)
    (last,) = world.channels.sent[2:]
    assert last.title == "and 2 more messages"
    assert "- 1 more like: m-0 is new" in last.text


def test_a_message_is_kept_where_it_can_not_be_counted() -> None:
    world = World(rules(2))

    def refuse(*_: object, **__: object) -> bool:
        raise StorageUnavailable("it is down")

    outbox = world.services.outbox
    object.__setattr__(outbox, "admits", refuse)
    notices = notices_to(["team"], Text(title="a", body="", good=None))
    unsent = outbox.send(notices)
    assert [notice.attempts for notice in unsent.left] == [{"team": 1}]
    assert world.told() == []


def test_two_workers_send_no_message_too_many_although_each_remembers_the_count() -> None:
    world = World(rules(3))
    outboxes = []
    for _ in range(2):
        world.start_app()
        outboxes.append(world.services.outbox)
    for number in range(10):
        text = Text(title=str(number), body="", good=None)
        outboxes[number % 2].send(notices_to(["team"], text))
    assert world.told() == ["0", "1", "2"]
    sweep_for(world, HOUR + 5 * MINUTE)
    assert world.told()[3:] == ["and 7 more messages"]


def _storm(kill_at: Kill) -> tuple[World, Ports]:
    """Send four messages where two may be sent, with the process killed at one call."""
    world = World(rules(2))
    ports = Ports(world)
    ports.kill_at = kill_at
    for number in range(4):
        _deliver(world, lambda number=number: world.react.react(event(world, number)))
        world.clock.pass_time(5 * MINUTE)
        _deliver(world, lambda: world.settle())
    for _ in range(3):
        world.clock.pass_time(HOUR)
        _deliver(world, lambda: world.sweep.run())
    return world, ports


def _deliver(world: World, task: Any) -> None:
    """Do it again, for as long as it is not acknowledged."""
    while True:
        try:
            task()
        except Killed:
            world.start_app()
        else:
            return


def test_a_crash_at_any_moment_loses_no_message_and_counts_none_twice() -> None:
    def check(world: World, ports: Ports) -> None:
        told = Counter(world.told())
        assert len([title for title in told if title.endswith("is new")]) == 2, told
        assert told["and 2 more messages"] >= 1, told

    kill_at_every_call(_storm, check, at_least=20)


@pytest.mark.parametrize(("messages", "requests"), [(1, 2), (2, 1), (3, 1)])
def test_a_message_costs_one_request_for_its_ceiling_after_the_first(
    messages: int, requests: int
) -> None:
    world = World(rules(2))
    send = world.services.outbox.send
    for number in range(messages - 1):
        send(notices_to(["team"], Text(title=str(number), body="", good=None)))
    made: list[str] = []
    for method in ("get", "insert", "replace", "query"):
        call = getattr(world.tables, method)

        def count(*args: Any, call: Any = call, method: str = method, **kwargs: Any) -> Any:
            made.append(method)
            return call(*args, **kwargs)

        setattr(world.tables, method, count)
    send(notices_to(["team"], Text(title="last", body="", good=None)))
    assert len(made) == requests
