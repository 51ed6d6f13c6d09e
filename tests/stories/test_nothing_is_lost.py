"""Nothing is lost and nothing is done twice after any failure, or a kill at any point."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import ClaimHeld, WorkspaceThrottled, WorkspaceUnreachable, failure_of
from shared.events.model import Workspace
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.engine import advance
from tests.stories.kill import Kill, Ports, kill_at_every_call, live_through
from tests.stories.world import (
    LEASE,
    REACTIONS,
    WORKSPACE,
    World,
    model_registered,
    run_status_changed,
)


def _be_down(_: str) -> None:
    raise WorkspaceUnreachable("connection refused")


def _switch(kill_at: Kill) -> tuple[World, Ports]:
    """Roll out version 2 beside version 1, with the process killed at one call of a port."""
    world = World()
    world.react.react(world.register("churn", "1"))
    world.settle()
    world.workspaces.behaviour.takes = timedelta(seconds=8)
    ports = Ports(world)
    ports.kill_at = kill_at
    live_through(world, world.register("churn", "2"))
    return world, ports


def test_a_switch_takes_a_known_number_of_writes() -> None:
    _, ports = _switch(None)
    writes = Counter(call for call in ports.calls if call.startswith("MemoryWorkspaces"))
    assert writes == {
        "MemoryWorkspaces.create_deployment": 1,
        "MemoryWorkspaces.set_traffic": 1,
        "MemoryWorkspaces.delete_deployment": 1,
    }


def test_killed_at_any_call_the_new_version_still_goes_live_once() -> None:
    kill_at_every_call(_switch, _expect_live_once, at_least=40)


def _expect_live_once(world: World, _: Ports) -> None:
    assert world.serving() == "2"
    assert list(world.deployments().values()) == ["2"], "and the old one is gone"
    assert len(world.all_rollouts()) == 2
    assert world.told().count("churn 2 is live on churn") in (1, 2), "told at least once"
    letters = [letter for letter in world.all_letters() if letter.status is not LetterStatus.CLOSED]
    assert letters == []
    (record,) = [row for row in world.rows("SignalboxEvents") if row.values["about"] == "churn:2"]
    outcome = json.loads(str(record.values["outcomes"]))["deploy-tagged-models/deploy"]
    assert outcome["status"] == OutcomeStatus.DONE


def test_of_two_simultaneous_deliveries_one_acts_and_the_other_looks_again_later(
    world: World,
) -> None:
    event = world.register("churn", "1")
    second_delivery = [lambda: world.react.react(event)]

    def deliver_again(request: str) -> None:
        if second_delivery:
            second_delivery.pop()()

    world.workspaces.before = deliver_again
    world.react.react(event)
    (letter,) = world.all_letters()
    assert letter.code == "claim.held"
    assert letter.due_at == world.clock.now() + LEASE
    world.settle()
    assert len(world.all_rollouts()) == 1
    assert world.all_letters()[0].status is LetterStatus.CLOSED
    assert world.outcome().status is OutcomeStatus.DONE


def test_a_delivery_that_was_held_out_delays_no_letter_of_whoever_held_the_claim(
    world: World,
) -> None:
    body = json.dumps(world.register("churn", "1"))
    down = failure_of(WorkspaceUnreachable("no answer"))
    held = failure_of(ClaimHeld("another worker is at it", retry_after=LEASE))
    letter = world.letters.bury(body, down, reaction="deploy-tagged-models")
    kept = world.letters.bury(body, held, reaction="deploy-tagged-models")
    assert (kept.code, kept.due_at, kept.turn) == (letter.code, letter.due_at, letter.turn)
    world.settle()
    assert world.all_letters()[0].status is LetterStatus.CLOSED


def test_an_unreachable_workspace_is_tried_again_until_it_is_back(world: World) -> None:
    back_at = world.clock.now() + timedelta(hours=5)

    def be_down(_: str) -> None:
        if world.clock.now() < back_at:
            raise WorkspaceUnreachable("connection refused")

    world.workspaces.before = be_down
    world.react.react(world.register("churn", "1"))
    assert world.outcome().status is OutcomeStatus.WAITING
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.WAITING, "workspace.unreachable")
    world.settle()
    assert world.serving() == "1"
    assert world.all_letters()[0].status is LetterStatus.CLOSED
    assert world.outcome().status is OutcomeStatus.DONE


def test_a_throttled_letter_waits_as_long_as_the_service_asks(world: World) -> None:
    def throttle(_: str) -> None:
        raise WorkspaceThrottled("slow down", retry_after=timedelta(minutes=25))

    world.workspaces.before = throttle
    world.react.react(world.register("churn", "1"))
    assert world.all_letters()[0].due_at == world.clock.now() + timedelta(minutes=25)


def test_a_letter_that_never_succeeds_is_parked_with_its_reason(world: World) -> None:
    def be_down(_: str) -> None:
        raise WorkspaceUnreachable("connection refused")

    world.workspaces.before = be_down
    began = world.clock.now()
    world.react.react(world.register("churn", "1"))
    world.settle()
    (letter,) = world.all_letters()
    assert letter.status is LetterStatus.PARKED
    assert letter.reason == "connection refused"
    assert world.clock.now() - began > timedelta(days=1)
    assert world.outcome().status is OutcomeStatus.FAILED


def test_a_parked_letter_can_be_replayed_by_a_person(world: World) -> None:
    event = world.register("churn", "1", kind="custom_model")
    world.react.react(event)
    (letter,) = world.all_letters()
    assert letter.status is LetterStatus.PARKED
    assert "needs a scoring script" in letter.reason
    world.register("churn", "1", kind="mlflow_model")
    world.letters.reopen(letter)
    world.settle()
    assert world.serving() == "1"
    assert world.all_letters()[0].status is LetterStatus.CLOSED


def test_a_letter_of_a_reaction_that_is_gone_is_parked_until_it_is_back(world: World) -> None:
    def be_down(_: str) -> None:
        raise WorkspaceUnreachable("connection refused")

    world.workspaces.before = be_down
    world.react.react(world.register("churn", "1"))
    reactions = world.reactions
    world.reactions = reactions.replace("deploy-tagged-models", "renamed")
    world.start_app()
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "reaction.gone")
    world.reactions = reactions
    world.start_app()
    world.workspaces.before = lambda _: None
    world.letters.reopen(letter)
    world.settle()
    assert world.serving() == "1"


def test_an_expression_that_gave_no_answer_is_mended_and_the_letter_replayed(
    world: World,
) -> None:
    reactions = world.reactions
    world.reactions = reactions.replace(
        "endpoint: ${{ model.name }}", "endpoint: churn-${{ model.tags.absent }}"
    )
    world.start_app()
    world.react.react(world.register("churn", "1"))
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "reaction.expression")
    world.reactions = reactions
    world.start_app()
    world.letters.reopen(letter)
    world.settle()
    assert world.serving() == "1"


def test_a_replay_whose_condition_no_longer_holds_is_closed_and_says_so(world: World) -> None:
    world.react.react(world.register("churn", "1", kind="custom_model"))
    (letter,) = world.all_letters()
    world.reactions = world.reactions.replace("is_true(model.tags.deploy)", "model.name == 'x'")
    world.start_app()
    world.letters.reopen(letter)
    world.settle()
    assert world.all_letters()[0].status is LetterStatus.CLOSED
    assert world.outcome("deploy-tagged-models/*").status is OutcomeStatus.SKIPPED


def test_a_letter_that_a_person_closed_stays_closed_when_a_replay_under_way_fails(
    world: World,
) -> None:
    def close_and_fail(_: str) -> None:
        (letter,) = world.all_letters()
        world.letters.close(letter, "closed by mia: a test")
        raise WorkspaceUnreachable("connection refused")

    world.workspaces.before = _be_down
    world.react.react(world.register("churn", "1"))
    world.workspaces.before = close_and_fail
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.order) == (LetterStatus.CLOSED, "closed by mia: a test")


def test_a_model_that_cannot_be_read_just_yet_is_waited_for(world: World) -> None:
    event = world.register("churn", "1")
    (key,) = world.workspaces.models
    model = world.workspaces.models.pop(key)
    world.react.react(event)
    assert world.outcome().code == "deploy.model_absent"
    world.workspaces.models[key] = model
    world.settle()
    assert world.serving() == "1"


def test_a_model_that_is_gone_for_long_is_superseded(world: World) -> None:
    event = world.register("churn", "1")
    world.workspaces.models.clear()
    world.clock.pass_time(timedelta(minutes=11))
    world.react.react(event)
    assert world.outcome().status is OutcomeStatus.SKIPPED
    assert world.all_letters() == []


def test_a_megabyte_of_properties_is_kept_to_the_last_character(world: World) -> None:
    event = world.register("churn", "1", kind="custom_model")
    event["data"]["modelProperties"] = {"spec": "é" * 450_000}
    world.react.react(event)
    (letter,) = world.all_letters()
    assert json.loads(letter.body) == event
    world.register("churn", "1")
    world.letters.reopen(letter)
    ((_, message),) = world.queues.waiting("dead-letter")
    assert len(message) < 1000
    world.settle()
    assert world.serving() == "1"
    assert all(
        len(str(value)) <= 32_000
        for row in world.rows("SignalboxLetters")
        for value in row.values.values()
    )


def test_what_is_no_event_becomes_a_parked_letter_with_a_clear_reason(world: World) -> None:
    world.react.react_to_body("this is no event")
    world.react.react({"id": "1", "eventType": "x"})
    letters = world.all_letters()
    assert {letter.status for letter in letters} == {LetterStatus.PARKED}
    assert {letter.code for letter in letters} == {"event.malformed"}
    assert all(letter.reason for letter in letters)


def test_an_event_of_a_foreign_workspace_is_refused_and_recorded(world: World) -> None:
    foreign = Workspace(subscription="x", resource_group="y", name="z")
    world.react.react(model_registered("e", world.clock.now(), workspace=foreign))
    assert world.outcome("*").status is OutcomeStatus.SKIPPED
    assert world.outcome("*").code == "event.foreign_workspace"
    assert not world.workspaces.endpoints


def test_an_event_type_that_nobody_knows_is_recorded_and_skipped(world: World) -> None:
    event = model_registered("e", world.clock.now())
    world.react.react({**event, "eventType": "Microsoft.Storage.BlobCreated"})
    assert world.outcome("*").status is OutcomeStatus.SKIPPED


def test_if_not_even_the_letter_can_be_written_the_trigger_fails(world: World) -> None:
    event = world.register("churn", "1", kind="custom_model")

    def be_down(*args: object, **kwargs: object) -> str:
        raise ConnectionError("no storage")

    world.tables.insert = be_down  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        world.react.react(event)


def test_a_channel_that_was_down_gets_its_message_when_it_is_back(world: World) -> None:
    world.channels.make_down("team")
    world.react.react(run_status_changed("e1", world.clock.now()))
    assert world.outcome("tell-failed-runs/notify").status is OutcomeStatus.WAITING
    world.channels.make_well("team")
    world.settle()
    assert world.told() == ["run-1 failed"]
    assert world.outcome("tell-failed-runs/notify").status is OutcomeStatus.DONE


def test_a_lost_tick_and_a_lost_letter_are_found_by_the_sweep(world: World) -> None:
    world.react.react(world.register("churn", "1"))
    assert world.queues.take(advance.QUEUE)  # lost
    world.channels.make_down("team")
    world.react.react(run_status_changed("e1", world.clock.now()))
    world.clock.pass_time(timedelta(minutes=1))
    assert world.queues.take("dead-letter")  # lost
    world.channels.make_well("team")
    world.clock.pass_time(timedelta(minutes=5))
    world.sweep.run()
    world.settle()
    assert world.serving() == "1"
    assert "run-1 failed" in world.told()


def test_what_event_grid_could_not_deliver_is_found_in_its_blobs_by_the_sweep(
    world: World,
) -> None:
    undelivered = [{**world.register("churn", "1"), "deadLetterReason": "MaxDeliveryAttempts"}]
    body = json.dumps(undelivered).encode()
    world.blobs.put("event-grid-dead-letters", "SUB/2026/3/2/9/a.json", body)
    world.sweep.run()
    world.settle()
    assert world.serving() == "1"
    assert world.blobs.names("event-grid-dead-letters") == ()


def test_what_the_host_gave_up_on_is_found_in_the_poison_queue_by_the_sweep(
    world: World,
) -> None:
    world.queues.send("workspace-events-poison", json.dumps(world.register("churn", "1")))
    world.sweep.run()
    world.settle()
    assert world.serving() == "1"
    assert world.queues.receive("workspace-events-poison") == ()


def test_what_is_older_than_the_retention_is_forgotten(world: World) -> None:
    world.react.react(world.register("churn", "1"))
    world.react.react_to_body("no event")
    world.settle()
    world.clock.time = (world.clock.time + timedelta(days=31)).replace(hour=3)
    world.sweep.run()
    for table in ("SignalboxEvents", "SignalboxLedger", "SignalboxRollouts"):
        assert world.rows(table) == [], table
    assert len(world.all_letters()) == 1, "a parked letter waits for a person, however long"


def test_a_step_that_waiting_can_help_is_not_parked_with_one_that_it_cannot() -> None:
    world = World(
        REACTIONS.replace(
            "    do:\n      - deploy:",
            "    do:\n      - notify: {channel: team, title: 'to ${{ model.tags.owner }}'}\n"
            "      - deploy:",
        )
    )
    back_at = world.clock.now() + timedelta(minutes=5)

    def be_down(_: str) -> None:
        if world.clock.now() < back_at:
            raise WorkspaceUnreachable("connection refused")

    world.workspaces.before = be_down
    world.react.react(world.register("churn", "1"))
    world.settle()
    assert world.serving() == "1"
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "reaction.expression")


def test_an_event_that_hundreds_of_reactions_are_for_is_recorded() -> None:
    others = "".join(
        f"""
  - name: tell-{number:03d}-{"x" * 50}
    on: RunStatusChanged
    when: run.status == 'Paused'
    do:
      - notify: {{channel: team, title: paused}}
"""
        for number in range(500)
    )
    world = World(REACTIONS + others)
    world.react.react(run_status_changed("e1", world.clock.now()))
    assert world.outcome("tell-failed-runs/notify").status is OutcomeStatus.DONE
    (row,) = world.rows("SignalboxEvents")
    assert len(str(row.values["outcomes"])) <= 32_000


def test_one_thing_that_the_sweep_cannot_do_keeps_nothing_else_from_being_done(
    world: World,
) -> None:
    for name in ("a", "b"):
        event = world.register("churn", name)
        world.blobs.put("event-grid-dead-letters", name, json.dumps([event]).encode())
    get = world.blobs.get

    def fail(container: str, name: str) -> bytes | None:
        if name == "a":
            raise ValueError("nobody foresaw this")
        return get(container, name)

    world.blobs.get = fail  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="nobody foresaw this"):
        world.sweep.run()
    world.settle()
    assert world.serving() == "b"
    assert world.blobs.names("event-grid-dead-letters") == ("a",)


def test_an_event_of_a_time_long_past_is_kept_as_long_as_any(world: World) -> None:
    world.react.react(run_status_changed("e1", world.clock.now() - timedelta(days=90)))
    world.clock.time = (world.clock.time + timedelta(days=1)).replace(hour=3)
    world.sweep.run()
    assert len(world.rows("SignalboxEvents")) == 1
    world.clock.pass_time(timedelta(days=31))
    world.sweep.run()
    assert world.rows("SignalboxEvents") == []


def test_a_letter_is_kept_for_the_retention_from_when_it_was_closed() -> None:
    world = World()
    world.react.react_to_body("no event")
    world.clock.time = (world.clock.time + timedelta(days=40)).replace(hour=3)
    (letter,) = world.all_letters()
    world.letters.close(letter, "closed by hand")
    world.sweep.run()
    assert [letter.order for letter in world.all_letters()] == ["closed by hand"]
    world.clock.pass_time(timedelta(days=31))
    world.sweep.run()
    assert world.all_letters() == []


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59Z", "2027-03-04T09:00:00Z"])
def test_an_event_of_a_time_to_come_is_forgotten_as_others_are(world: World, time: str) -> None:
    event = run_status_changed("e1", world.clock.now()) | {"eventTime": time}
    world.react.react(event)
    world.react.react(event)
    (row,) = world.rows("SignalboxEvents")
    assert row.values["deliveries"] == 2
    world.clock.time = (world.clock.time + timedelta(days=20)).replace(hour=3)
    world.sweep.run()
    assert len(world.rows("SignalboxEvents")) == len(world.rows("SignalboxLedger")) == 1
    world.clock.pass_time(timedelta(days=11))
    world.sweep.run()
    assert world.rows("SignalboxEvents") == world.rows("SignalboxLedger") == []


def test_forgetting_takes_a_request_for_many_rows_of_a_day() -> None:
    world = World()
    for number in range(250):
        world.react.react(run_status_changed(f"e{number}", world.clock.now()))
    world.clock.time = (world.clock.time + timedelta(days=31)).replace(hour=3)
    deletions = []
    delete_all = world.tables.delete_all
    world.tables.delete_all = lambda *given: deletions.append(given) or delete_all(*given)  # type: ignore[method-assign,func-returns-value]
    delete = world.tables.delete

    def delete_ceiling(table: str, *given: Any, **how: Any) -> None:
        """Delete the one row that counts the channel's messages; others come in batches."""
        assert table == "SignalboxFolds", "one by one"
        delete(table, *given, **how)

    world.tables.delete = delete_ceiling  # type: ignore[method-assign]
    world.sweep.run()
    assert world.rows("SignalboxEvents") == world.rows("SignalboxLedger") == []
    assert len(deletions) == 6


def test_while_a_letter_waits_for_a_person_what_was_done_is_not_forgotten() -> None:
    world = World(
        REACTIONS.replace(
            '      - notify: {channel: team, title: "${{ run.id }} failed"}',
            "      - notify: {channel: team, title: told once}\n"
            "      - notify: {channel: team, title: 'to ${{ run.tags.owner }}'}",
        )
    )
    world.react.react(run_status_changed("e1", world.clock.now()))
    world.clock.time = (world.clock.time + timedelta(days=40)).replace(hour=3)
    world.sweep.run()
    (letter,) = world.all_letters()
    world.letters.reopen(letter)
    world.settle()
    assert world.told().count("told once") == 1
    world.letters.close(world.all_letters()[0], "by hand")
    world.clock.time = (world.clock.time + timedelta(days=40)).replace(hour=3)
    world.sweep.run()
    assert world.rows("SignalboxLedger") == []


def test_a_closed_letter_that_is_opened_while_it_is_forgotten_stays(world: World) -> None:
    world.react.react(world.register("churn", "1", kind="custom_model"))
    (letter,) = world.all_letters()
    world.letters.close(letter)
    (closed,) = world.all_letters()
    world.letters.reopen(closed)
    world.letters.remove(closed)
    assert [letter.status for letter in world.all_letters()] == [LetterStatus.WAITING]


def test_a_letter_whose_body_is_gone_is_parked(world: World) -> None:
    event = world.register("churn", "1", kind="custom_model")
    event["data"]["modelProperties"] = {"spec": "x" * 40_000}
    world.react.react(event)
    (letter,) = world.all_letters()
    world.letters.reopen(letter)
    world.blobs.delete("letters", letter.id)
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "event.malformed")


def _replay_notify(kill_at: Kill) -> tuple[World, Ports]:
    """Replay the letter of a message that a channel did not take, killed at one call of a port."""
    world = World()
    world.channels.make_down("team")
    world.react.react(run_status_changed("event-a", world.clock.now()))
    world.channels.make_well("team")
    ports = Ports(world)
    ports.kill_at = kill_at
    live_through(world, run_status_changed("event-b", world.clock.now()))
    return world, ports


def test_killed_at_any_call_of_a_replay_the_record_says_what_came_of_it() -> None:
    kill_at_every_call(_replay_notify, _expect_done_and_closed, at_least=5)


def _expect_done_and_closed(world: World, _: Ports) -> None:
    for row in world.rows("SignalboxEvents"):
        outcomes = json.loads(str(row.values["outcomes"]))
        assert {outcome["status"] for outcome in outcomes.values()} == {OutcomeStatus.DONE}
    assert {letter.status for letter in world.all_letters()} == {LetterStatus.CLOSED}


TWO = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team, other]
reactions:
  - name: first
    on: RunStatusChanged
    do: [notify: {{channel: team, title: one}}]
  - name: second
    on: RunStatusChanged
    do: [notify: {{channel: other, title: two}}]
"""


def test_a_replay_that_comes_before_its_event_is_recorded_stays_on_record() -> None:
    world = World(TWO)
    world.channels.make_down("team")
    send = world.channels.send

    def be_slow(channel: str, **message: Any) -> None:
        """Take so long for the second message that the first one's letter is due."""
        if channel == "other":
            world.channels.make_well("team")
            world.clock.pass_time(timedelta(minutes=1))
            for text in world.queues.take("dead-letter"):
                letter = world.letters.due(text)
                assert letter is not None
                world.react.replay(letter)
        send(channel, **message)

    world.channels.send = be_slow  # type: ignore[method-assign]
    world.react.react(run_status_changed("event-a", world.clock.now()))
    assert world.outcome("first/notify").status is OutcomeStatus.DONE
    assert world.outcome("second/notify").status is OutcomeStatus.DONE


def test_a_replay_that_comes_too_late_and_has_no_time_changes_no_record() -> None:
    world = World(TWO)
    world.channels.make_down("team")
    world.react.react(run_status_changed("event-a", world.clock.now()))
    (stale,) = world.all_letters()
    world.channels.make_well("team")
    world.settle()
    assert world.outcome("first/notify").status is OutcomeStatus.DONE
    world.start_app(budget=timedelta(0))
    world.react.replay(stale)
    assert world.outcome("first/notify").status is OutcomeStatus.DONE


def test_a_workspace_has_the_name_that_the_file_gives_it_in_whatever_casing_it_is_told() -> None:
    world = World(
        f"""
version: 1
workspaces: ["{WORKSPACE.id.replace("/ws", "/Churn-Prod")}"]
channels: [team]
reactions:
  - name: tell
    on: RunStatusChanged
    when: workspace.name == 'Churn-Prod'
    do: [notify: {{channel: team, title: "${{{{ workspace.name }}}} ${{{{ run.id }}}}"}}]
"""
    )
    event = run_status_changed("event-1", world.clock.now())
    event["topic"] = event["topic"].replace("/ws", "/churn-prod").lower()
    world.react.react(event)
    assert world.told() == ["Churn-Prod run-1"]
