"""A reaction starts no more often than its limits allow, whatever crashes, repeats or fails."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.base.durations import format_duration
from shared.journal import starts
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import Outcome, OutcomeStatus
from tests.stories.kill import Kill, Killed, Ports, kill_at_every_call, live_through
from tests.stories.world import WORKSPACE, World, model_registered

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STEP = "tell/notify"


def rules(keys: str, *, more: str = "") -> str:
    """Return a file with one reaction that has these keys and sends a message."""
    return f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
{more}
reactions:
  - name: tell
    on: ModelRegistered
    {keys}
    do:
      - notify: {{channel: team, title: "${{{{ model.name }}}} ${{{{ model.version }}}}"}}
"""


def event(world: World, version: object, name: str = "churn") -> dict[str, Any]:
    """Return the event of a new version of a model."""
    made = model_registered(f"event-{name}-{version}", world.clock.now(), name, str(version), {})
    return made


def outcome(world: World, version: object, name: str = "churn") -> Outcome:
    return world.outcome_of(f"{name}:{version}", STEP)


def test_of_a_storm_of_events_as_many_start_as_the_limit_allows_and_the_record_says_so() -> None:
    world = World(rules("limit: {starts: 3, per: 1d}"))
    for version in range(1, 11):
        world.react.react(event(world, version))
    assert world.told() == ["churn 1", "churn 2", "churn 3"]
    refused = outcome(world, 4)
    assert (refused.status, refused.code) == (OutcomeStatus.SKIPPED, "reaction.limit")
    assert refused.detail == (
        "it allows 3 starts in 1d; the next one is free at 2026-03-03 09:00:00Z"
    )
    assert world.all_letters() == []
    world.clock.pass_time(DAY)
    world.react.react(event(world, 11))
    assert world.told()[3:] == ["churn 11"]


def test_a_refused_event_that_is_delivered_again_later_is_still_refused() -> None:
    world = World(rules("cooldown: 1h"))
    first, second = event(world, 1), event(world, 2)
    world.react.react(first)
    world.react.react(second)
    assert outcome(world, 2).code == "reaction.cooldown"
    assert outcome(world, 2).detail == (
        "the last start was at 2026-03-02 09:00:00Z, and it starts again 1h after that:"
        " from 2026-03-02 10:00:00Z"
    )
    world.clock.pass_time(2 * HOUR)
    world.react.react(second)
    world.react.react(first)
    assert world.told() == ["churn 1"]
    world.react.react(event(world, 3))
    assert world.told() == ["churn 1", "churn 3"]


def test_once_per_key_is_once_within_its_time_and_not_for_ever() -> None:
    world = World(rules('once_per: {key: "${{ model.name }}", within: 7d}'))
    for name in ("churn", "sales", "churn"):
        world.react.react(event(world, f"{len(world.told())}-{name}", name))
        world.clock.pass_time(HOUR)
    world.react.react(event(world, 9))
    assert world.told() == ["churn 0-churn", "sales 1-sales"]
    assert outcome(world, 9).detail == (
        "it started for 'churn' at 2026-03-02 09:00:00Z, and starts again from 2026-03-09 09:00:00Z"
    )
    world.clock.pass_time(7 * DAY)
    world.react.react(event(world, 10))
    assert world.told()[2:] == ["churn 10"]


def test_an_event_that_one_limit_refuses_takes_no_place_of_another() -> None:
    keys = 'once_per: {key: "${{ model.name }}", within: 7d}\n    cooldown: 1h'
    world = World(rules(keys))
    world.react.react(event(world, 1))
    world.react.react(event(world, 1, "sales"))
    assert outcome(world, 1, "sales").code == "reaction.cooldown"
    world.clock.pass_time(HOUR)
    world.react.react(event(world, 2, "sales"))
    assert world.told() == ["churn 1", "sales 2"]


def test_a_key_that_an_event_lacks_is_told_to_a_person() -> None:
    world = World(rules('once_per: {key: "${{ model.tags.team }}", within: 7d}'))
    world.react.react(event(world, 1))
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "reaction.expression")
    assert "nothing can be counted by it" in letter.reason
    assert world.told() == []


def test_a_replay_is_no_second_start_however_late_it_comes() -> None:
    world = World(rules("cooldown: 1h"))
    world.channels.make_down("team")
    world.react.react(event(world, 1))
    world.clock.pass_time(HOUR)
    world.channels.make_well("team")
    world.settle()
    assert world.told() == ["churn 1"]
    world.react.react(event(world, 2))
    assert world.told() == ["churn 1", "churn 2"]


def test_a_parked_letter_is_replayed_beyond_the_limit_because_it_had_started() -> None:
    world = World(rules("limit: {starts: 1, per: 30d}"))
    world.channels.make_down("team")
    world.react.react(event(world, 1))
    world.clock.pass_time(40 * DAY)
    world.react.react(event(world, 2))
    world.channels.make_well("team")
    world.settle()
    assert sorted(world.told()) == ["churn 1", "churn 2"]
    assert {letter.status for letter in world.all_letters()} == {LetterStatus.CLOSED}


def _two_of_four(kill_at: Kill) -> tuple[World, Ports]:
    """Deliver four events where two may start, with the process killed at one call."""
    once = 'once_per: {key: "a-${{ model.version }}", within: 1d}'
    world = World(rules(f"limit: {{starts: 2, per: 1d}}\n    {once}"))
    ports = Ports(world)
    ports.kill_at = kill_at
    live_through(world, *(event(world, version) for version in range(4)))
    return world, ports


def test_a_crash_at_any_moment_loses_no_start_and_counts_none_twice() -> None:
    def check(world: World, ports: Ports) -> None:
        told = Counter(world.told())
        assert len(told) == 2, told
        # A message is sent again where the process died before it had noted it.
        assert sum(told.values()) <= 3
        codes = [outcome(world, version).code for version in range(4)]
        assert sorted(codes) == ["", "", "reaction.limit", "reaction.limit"]

    kill_at_every_call(_two_of_four, check, at_least=12)


def test_a_reaction_without_limits_costs_no_request_more() -> None:
    plain, limited = World(rules("")), World(rules("limit: {starts: 3, per: 1d}\n    cooldown: 1s"))
    calls: dict[str, list[str]] = {}
    for name, world in (("plain", plain), ("limited", limited)):
        made = calls.setdefault(name, [])
        for method in ("get", "insert", "replace", "query"):
            call = getattr(world.tables, method)

            def count(
                table: str, *args: Any, call: Any = call, made: Any = made, **kwargs: Any
            ) -> Any:
                made.append(table)
                return call(table, *args, **kwargs)

            setattr(world.tables, method, count)
        world.react.react(event(world, 1))
    assert starts.TABLE not in calls["plain"]
    assert Counter(calls["limited"]) - Counter(calls["plain"]) == {starts.TABLE: 2}


@given(
    data=st.data(),
    most=st.integers(1, 3),
    per=st.sampled_from([MINUTE, HOUR]),
    cooldown=st.sampled_from([None, timedelta(seconds=30), 2 * HOUR]),
)
def test_no_span_holds_more_starts_than_the_limit_under_crashes_replays_and_repeats(
    data: st.DataObject, most: int, per: timedelta, cooldown: timedelta | None
) -> None:
    keys = f"limit: {{starts: {most}, per: {format_duration(per)}}}"
    if cooldown is not None:
        keys += f"\n    cooldown: {format_duration(cooldown)}"
    world = World(rules(keys))
    counted, done = _note_starts(world)
    ports = Ports(world)
    known: list[dict[str, Any]] = []
    for _ in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["new", "again", "wait", "crash", "fail", "heal"])):
            case "new":
                known.append(event(world, len(known)))
                _deliver(world, lambda: world.react.react(known[-1]))
            case "again" if known:
                chosen = data.draw(st.sampled_from(known))
                _deliver(world, lambda chosen=chosen: world.react.react(chosen))
            case "wait":
                world.clock.pass_time(data.draw(st.sampled_from([per / 3, per, 10 * per])))
                _deliver(world, world.deliver)
            case "crash":
                call = len(ports.calls) + data.draw(st.integers(1, 6))
                ports.kill_at = (call, data.draw(st.sampled_from(["before", "after"])))
            case "fail":
                world.channels.make_down("team")
            case "heal":
                world.channels.make_well("team")
    times = counted.values()
    for at in times:
        assert sum(at <= other < at + per for other in times) <= most
        if cooldown is not None:
            assert sum(at <= other < at + cooldown for other in times) == 1
    # Nothing is done without being counted, and a name counts once, so this is all there is.
    assert len(done) <= len(counted)


def _note_starts(world: World) -> tuple[dict[str, datetime], set[str]]:
    """Return when each start was counted, and the events of which something was done."""
    counted: dict[str, datetime] = {}
    done: set[str] = set()
    for method in ("insert", "replace"):
        call = getattr(world.tables, method)

        def write(table: str, *args: Any, call: Any = call, **kwargs: Any) -> Any:
            written = call(table, *args, **kwargs)
            if table == starts.TABLE:
                for start in str(args[2]["starts"]).split():
                    name, at = start.split("@")
                    counted.setdefault(name, datetime.fromtimestamp(int(at) / 1000, UTC))
            return written

        setattr(world.tables, method, write)
    send = world.channels.send

    def note(channel: str, **message: Any) -> None:
        done.add(message["title"])
        send(channel, **message)

    world.channels.send = note  # type: ignore[method-assign]
    return counted, done


def _deliver(world: World, task: Callable[[], None]) -> None:
    """Do it as Event Grid and queues do: again, for as long as it is not acknowledged."""
    for _ in range(5):
        try:
            task()
        except Killed:
            world.start_app()
        else:
            return


@pytest.mark.parametrize(
    ("keys", "code"),
    [("", "reaction.dry_run"), ("limit: {starts: 1, per: 1d}", "reaction.limit")],
)
def test_a_dry_run_does_nothing_and_says_what_it_would_have_done(keys: str, code: str) -> None:
    world = World(rules(f"dry_run: true\n    {keys}"))
    for version in (1, 2):
        world.react.react(event(world, version))
    assert world.told() == []
    assert world.all_letters() == []
    rehearsed = outcome(world, 1)
    assert (rehearsed.status, rehearsed.code) == (OutcomeStatus.SKIPPED, "reaction.dry_run")
    assert rehearsed.detail == (
        '`notify` would have been done with {"channel": "team", "title": "churn 1"}'
    )
    assert outcome(world, 2).code == code


def test_a_dry_run_says_that_a_value_can_not_be_made() -> None:
    world = World(rules("dry_run: true").replace("model.version }}", "model.tags.stage }}"))
    world.react.react(event(world, 1))
    assert world.all_letters() == []
    assert outcome(world, 1).detail.startswith("`notify` would have failed: reaction.expression:")


def test_starts_of_a_dry_run_leave_the_places_of_real_ones() -> None:
    keys = "cooldown: 1d"
    world = World(rules(f"dry_run: true\n    {keys}"))
    world.react.react(event(world, 1))
    world.reactions = rules(keys)
    world.start_app()
    world.react.react(event(world, 2))
    assert world.told() == ["churn 2"]


def test_a_letter_is_kept_for_a_person_if_its_reaction_is_in_a_dry_run_by_then() -> None:
    world = World(rules(""))
    world.channels.make_down("team")
    world.react.react(event(world, 1))
    world.reactions = rules("dry_run: true")
    world.start_app()
    world.channels.make_well("team")
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "reaction.gone")
    assert letter.reason == "reaction 'tell' is in a dry run now"
