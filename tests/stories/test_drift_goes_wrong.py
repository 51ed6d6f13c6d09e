"""Retrainings in trouble, late, doubled and out of order, as a person meets them at night."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.base.errors import ReactionsInvalid, TargetDenied, TargetUnreachable
from shared.base.ports import Row, RowChanged
from shared.events.model import DriftState, Workspace
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from shared.messages.notice import Text, notices_to
from shared.retraining.model import (
    Loop,
    LoopStatus,
    PolicyAnswer,
    Retraining,
    SignalSeen,
    Stage,
    Window,
)
from shared.retraining.notices import RetrainingNoticeKind, with_notice
from shared.retraining.targets import REFERENCE, Submission, TargetRun, TargetStatus
from shared.rollouts.state.rollout import Phase
from shared.workspaces.lineage import Retrainings
from tests.stories.kill import Kill, Killed, Ports, kill_at_every_call
from tests.stories.test_drift_is_retrained import DAY, STEP, Story, reactions
from tests.stories.world import (
    WORKSPACE,
    World,
    drift_detected,
    model_registered,
    run_completed,
    run_status_changed,
)

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
REACTION = "retrain-churn"


def watch_all(**options: Any) -> Story:
    """Return a story in which the reaction watches every monitor."""
    story = Story(**options)
    story.world.reactions = reactions(**options).replace(
        "    when: drift.monitor == 'churn-monitor'\n", ""
    )
    story.world.start_app()
    return story


def outcome_of(story: Story, window: str = "w1", monitor: str = "churn-monitor") -> Any:
    """Return the outcome of the step for a window."""
    return story.world.outcome_of(f"{monitor}:{window}:data_drift", STEP)


def last(story: Story) -> Retraining:
    """Return the newest retraining of the only loop."""
    found = story.world.loop().last
    assert found is not None
    return found


def loop_of(world: World, monitor: str) -> Loop:
    """Return the loop over a monitor."""
    return world.loops.store.get_for(REACTION, WORKSPACE, monitor).value


def running(world: World) -> list[str]:
    """Return the ids of the places that are taken."""
    budget = world.loops.store.budget(REACTION).value
    return [slot.id for slot in budget.slots if not slot.ended]


def deny(world: World) -> Callable[[], None]:
    """Have the target refuse everything until the returned function is called."""

    def refuse(request: str) -> None:
        if request == "submit":
            raise TargetDenied("the token is refused")

    world.targets.before = refuse

    def relent() -> None:
        world.targets.before = lambda _: None

    return relent


def replay(world: World, *, until: Callable[[], bool] = lambda: False) -> None:
    """Replay every letter that is parked, as a person does."""
    for letter in world.letters.all(LetterStatus.PARKED):
        world.letters.reopen(letter)
    world.settle(until=until)


def meanwhile(world: World, table: str, do: Callable[[], None]) -> None:
    """Have something else happen just before the next row of a table is replaced."""
    saved = world.tables.replace
    pending = [do]

    def replace_row(name: str, *args: Any, **kwargs: Any) -> str:
        if name == table and pending:
            pending.pop()()
        return saved(name, *args, **kwargs)

    world.tables.replace = replace_row  # type: ignore[method-assign]


# Retrainings that could not be started at first, and are started from their letters


def test_a_replayed_retraining_takes_its_place_anew_so_that_never_more_run_than_may() -> None:
    story = watch_all(policy="per_week: 9")
    world = story.world
    relent = deny(world)
    story.window(monitor="one")
    assert running(world) == [], "what was refused holds no place"
    relent()
    story.window(monitor="two", after=HOUR)
    assert len(world.targets.started) == 1
    soon = world.clock.now() + 2 * HOUR
    replay(world, until=lambda: world.clock.now() > soon)
    assert len(world.targets.started) == 1, "the other one still runs"
    (letter,) = [one for one in world.all_letters() if one.status is LetterStatus.WAITING]
    assert letter.code == "retrain.budget"


def test_a_replayed_retraining_has_its_whole_time_from_then_on() -> None:
    story = Story(policy="timeout: 4h")
    world = story.world
    relent = deny(world)
    story.window()
    relent()
    world.clock.pass_time(2 * DAY)
    replay(world)
    world.sweep.run()
    assert story.stage() is Stage.RUNNING
    world.clock.pass_time(5 * HOUR)
    world.sweep.run()
    assert story.stage() is Stage.FAILED


def be_down(world: World, *, until: datetime) -> None:
    """Let no target take a job before this time."""

    def refuse(request: str) -> None:
        if request == "submit" and world.clock.now() < until:
            raise TargetUnreachable("no answer")

    world.targets.before = refuse


def test_a_target_that_was_down_for_long_keeps_its_place_for_its_whole_time() -> None:
    story = watch_all(policy="timeout: 20h, per_week: 9")
    world = story.world
    back_at = world.clock.now() + DAY + 15 * HOUR
    be_down(world, until=back_at)
    story.window(monitor="one")
    world.settle()
    assert loop_of(world, "one").status is LoopStatus.RETRAINING
    story.window(monitor="two", after=10 * HOUR)
    assert len(world.targets.started) == 1, "the first one still runs"


def test_the_outcome_of_a_replayed_retraining_says_that_it_runs() -> None:
    story = Story(policy="timeout: 2h")
    world = story.world
    relent = deny(world)
    story.window()
    relent()
    world.clock.pass_time(3 * HOUR)
    world.sweep.run()
    replay(world)
    assert story.stage() is Stage.RUNNING
    assert outcome_of(story).status is OutcomeStatus.WAITING
    assert len(running(world)) == 1


def test_a_retraining_out_of_time_before_its_start_says_that_it_runs() -> None:
    story = Story(policy="timeout: 2h")
    world = story.world
    back_at = world.clock.now() + DAY + 4 * HOUR
    be_down(world, until=back_at)
    story.window()
    world.settle(until=lambda: world.clock.now() > back_at - HOUR)
    world.sweep.run()
    assert story.stage() is Stage.FAILED
    assert outcome_of(story).status is OutcomeStatus.FAILED
    world.settle()
    assert story.stage() is Stage.RUNNING
    assert outcome_of(story).status is OutcomeStatus.WAITING


def test_a_second_refusal_frees_its_place_again_and_is_told() -> None:
    story = Story()
    deny(story.world)
    story.window()
    replay(story.world)
    assert running(story.world) == []
    assert story.stage() is Stage.FAILED
    assert story.world.told() == ["churn: retraining failed"] * 2


def test_a_replayed_retraining_asks_the_target_that_it_was_started_with() -> None:
    story = Story()
    world = story.world
    relent = deny(world)
    story.window()
    relent()
    world.reactions = world.reactions.replace(
        "{job: {file: jobs/churn.yaml}}", "{copy_of: {experiment: churn}}"
    )
    world.start_app()
    replay(world)
    assert json.loads(last(story).target) == {"copy_of": {"experiment": "churn"}}


def test_drift_that_was_decided_since_wins() -> None:
    story = Story(policy="cooldown: 1h")
    world = story.world
    relent = deny(world)
    story.window()
    relent()
    story.window()
    replay(world)
    assert len(world.targets.started) == 1
    assert outcome_of(story, "w1").code == "superseded"
    assert running(world) == [last(story).id]


def test_a_place_that_was_taken_for_it_is_free_when_other_drift_won() -> None:
    story = Story(policy="cooldown: 1h, at_once: 2, per_week: 9")
    world = story.world
    relent = deny(world)
    story.window()
    relent()
    change = world.loops.store.change_budget

    def die(*args: Any) -> Any:
        if change(*args).saved:
            raise Killed

    world.loops.store.change_budget = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        replay(world)
    world.start_app()
    story.window()
    world.sweep.run()
    world.settle()
    assert outcome_of(story, "w1").code == "superseded"
    assert running(world) == [last(story).id]


def test_a_place_that_was_taken_for_what_has_run_is_free() -> None:
    story = Story(policy="timeout: 2h, per_week: 9")
    world = story.world
    lost = [True]

    def lose(request: str) -> None:
        if request == "submitted" and lost:
            raise TargetUnreachable("no answer")

    world.targets.before = lose
    story.window()
    world.settle(until=lambda: world.targets.submissions > 3)
    world.clock.pass_time(3 * HOUR)
    world.sweep.run()
    assert story.stage() is Stage.FAILED
    lost.clear()
    change = world.loops.store.change_budget

    def die(*args: Any) -> Any:
        if change(*args).saved:
            raise Killed

    world.loops.store.change_budget = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.settle()
    world.start_app()
    time = world.clock.now()
    world.react.react(model_registered("m", time, "churn", "1", story.tags()))
    world.clock.pass_time(3 * MINUTE)
    world.sweep.run()
    world.settle()
    assert story.stage() is Stage.REGISTERED
    assert running(world) == []


# Ends that come early, late, twice, or not at all


def test_a_run_that_ends_after_its_time_is_believed() -> None:
    story = Story(policy="timeout: 2h")
    story.window()
    story.world.clock.pass_time(3 * HOUR)
    story.world.sweep.run()
    assert story.stage() is Stage.FAILED
    story.run_ends()
    assert story.stage() is Stage.TRAINED
    assert outcome_of(story).status is OutcomeStatus.DONE
    story.run_ends()
    assert story.world.told()[1:] == ["churn: retraining failed", "churn was retrained"]


def test_a_model_that_is_registered_before_its_run_ends_frees_no_place() -> None:
    story = watch_all(policy="per_week: 9")
    world = story.world
    story.window(monitor="one")
    (submission,) = world.targets.started.values()
    tags = {REFERENCE: submission.reference}
    world.react.react(model_registered("m", world.clock.now(), "churn", "1", tags))
    assert loop_of(world, "one").last.stage is Stage.REGISTERED  # type: ignore[union-attr]
    story.window(monitor="two", after=HOUR)
    assert len(world.targets.started) == 1
    event = run_completed("end", world.clock.now(), submission.name, tags)
    world.react.react(event)
    assert running(world) == []
    assert loop_of(world, "one").last.stage is Stage.REGISTERED  # type: ignore[union-attr]


def test_the_end_of_a_run_whose_model_was_quicker_is_looked_for() -> None:
    story = Story()
    world = story.world
    story.window()
    (submission,) = world.targets.started.values()
    tags = {REFERENCE: submission.reference}
    world.react.react(model_registered("m", world.clock.now(), "churn", "1", tags))
    world.targets.runs[submission.id] = TargetRun(status=TargetStatus.SUCCEEDED)
    world.clock.pass_time(11 * MINUTE)
    world.sweep.run()
    assert running(world) == []
    assert story.stage() is Stage.REGISTERED


def test_a_run_that_ends_before_its_start_is_noted_is_over() -> None:
    story = Story()
    world = story.world

    def end_at_once(request: str) -> None:
        if request == "submitted":
            (submission,) = world.targets.started.values()
            event = run_status_changed("end", world.clock.now(), "Failed")
            event["data"] |= {
                "runId": submission.name,
                "runTags": {REFERENCE: submission.reference},
            }
            world.react.react(event)

    world.targets.before = end_at_once
    story.window()
    assert story.stage() is Stage.FAILED
    assert outcome_of(story).status is OutcomeStatus.FAILED
    assert running(world) == []
    assert "churn: retraining started after drift" not in world.told()


def test_a_retraining_that_a_window_finds_out_of_time_is_told_and_on_record() -> None:
    story = Story(policy="timeout: 2h, cooldown: 1h")
    story.window()
    story.window()
    assert story.world.told().count("churn: retraining failed") == 1
    assert outcome_of(story, "w1").code == "retrain.failed"
    assert running(story.world) == [last(story).id]


def test_a_retraining_that_a_window_finds_out_of_time_is_on_record_after_a_crash() -> None:
    def play(kill_at: Kill) -> tuple[Story, Ports]:
        story = Story(policy="timeout: 2h, cooldown: 1h")
        story.window()
        ports = Ports(story.world)
        ports.kill_at = kill_at
        story.world.clock.pass_time(DAY)
        event = drift_detected("w2", story.world.clock.now())
        try:
            story.world.react.react(event)
        except Killed:
            story.world.start_app()
            story.world.clock.pass_time(2 * MINUTE)
            story.world.react.react(event)
        return story, ports

    def expect_both_on_record(story: Story, _: Ports) -> None:
        assert outcome_of(story, "w1").code == "retrain.failed"
        assert len(story.world.targets.started) == 2

    kill_at_every_call(play, expect_both_on_record, at_least=5)


def test_an_end_that_was_told_while_another_was_noted_is_what_stays_on_record() -> None:
    story = Story(policy="timeout: 2h")
    story.window()
    story.world.clock.pass_time(3 * HOUR)
    meanwhile(story.world, "SignalboxEvents", story.run_ends)
    story.world.sweep.run()
    assert story.stage() is Stage.TRAINED
    assert outcome_of(story).status is OutcomeStatus.DONE


def test_a_run_of_another_workspace_ends_nothing() -> None:
    other = Workspace(subscription="5a2c-sub", resource_group="rg", name="other")
    story = Story()
    story.world.reactions = story.world.reactions.replace(
        f'["{WORKSPACE.id}"]', f'["{WORKSPACE.id}", "{other.id}"]'
    )
    story.world.start_app()
    story.window()
    event = run_completed("x", story.world.clock.now(), story.run_id(), story.tags())
    story.world.react.react({**event, "topic": other.id})
    assert story.stage() is Stage.RUNNING


def test_a_run_that_cannot_be_looked_at_ends_when_its_time_is_over() -> None:
    story = Story(policy="timeout: 2h")

    def fail(*_: Any) -> TargetRun:
        raise ValueError("nobody foresaw this")

    story.world.targets.look = fail  # type: ignore[method-assign]
    story.window()
    story.world.clock.pass_time(3 * HOUR)
    with pytest.raises(ValueError, match="nobody foresaw this"):
        story.world.sweep.run()
    assert story.stage() is Stage.FAILED


def test_one_loop_that_cannot_be_looked_after_keeps_no_other_from_it() -> None:
    story = watch_all(policy="at_once: 9, per_week: 9")
    world = story.world
    for monitor in ("one", "two", "three"):
        story.window(monitor=monitor, after=MINUTE)
    looked: list[str] = []
    look = world.targets.look

    def fail_once(params: Any, submission: Submission, run_id: str) -> TargetRun:
        looked.append(run_id)
        if len(looked) == 1:
            raise ValueError("nobody foresaw this")
        return look(params, submission, run_id)

    world.targets.look = fail_once  # type: ignore[method-assign]
    world.clock.pass_time(HOUR)
    with pytest.raises(ValueError, match="nobody foresaw this"):
        world.sweep.run()
    assert len(looked) == 3


# Answers of people: early, late, and from several places


def test_a_letter_that_was_closed_by_hand_is_opened_by_the_yes() -> None:
    story = Story(mode="approve")
    world = story.world
    story.window()
    (letter,) = world.all_letters()
    world.letters.close(letter, "by hand")
    world.approvals.approve(world.loop(), by="mia", why="it is real")
    world.settle()
    assert story.stage() is Stage.RUNNING


def test_a_yes_whose_sayer_died_before_the_letter_was_woken_is_heard() -> None:
    story = Story(mode="approve")
    world = story.world
    story.window()

    def die(_: str) -> None:
        raise Killed

    world.letters.replay_now = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.approvals.approve(world.loop(), by="mia", why="it is real")
    assert story.stage() is Stage.STARTING
    world.start_app()
    world.settle()
    assert world.targets.started == {}
    world.sweep.run()
    world.settle()
    assert story.stage() is Stage.RUNNING


def test_a_yes_that_comes_before_the_letter_is_written_is_heard() -> None:
    story = Story(mode="approve")
    world = story.world
    send = world.channels.send

    def answer(channel: str, **message: Any) -> None:
        send(channel, **message)
        world.approvals.approve(world.loop(), by="bot", why="always yes")

    world.channels.send = answer  # type: ignore[method-assign]
    story.window()
    world.channels.send = send  # type: ignore[method-assign]
    world.sweep.run()
    world.settle()
    assert story.stage() is Stage.RUNNING
    assert [one.status for one in world.all_letters()] == [LetterStatus.CLOSED]


def test_a_yes_to_what_cannot_be_started_any_more_is_refused() -> None:
    story = Story(mode="approve")
    world = story.world
    story.window()
    (letter,) = world.all_letters()
    world.letters.close(letter, "by hand")
    (letter,) = world.all_letters()
    world.letters.remove(letter)
    world.clock.pass_time(40 * DAY)
    with pytest.raises(Exception, match="no letter is there"):
        world.approvals.approve(world.loop(), by="mia", why="it is real")
    assert story.stage() is Stage.ASKED
    world.approvals.reject(world.loop(), by="mia", why="too late")
    assert story.stage() is Stage.REJECTED


def test_who_said_so_and_why_is_kept_whatever_comes_of_it() -> None:
    story = Story(mode="approve")
    world = story.world
    story.window()
    world.clock.pass_time(HOUR)
    said_at = world.clock.now()
    world.approvals.approve(world.loop(), by="mia", why="it is real")
    world.settle()
    world.clock.pass_time(HOUR)
    story.run_ends()
    assert (last(story).by, last(story).why) == ("mia", "it is real")
    assert last(story).answered_at == said_at


def test_the_cooldown_counts_from_the_yes() -> None:
    story = Story(mode="approve", policy="cooldown: 2d, per_week: 9")
    world = story.world
    story.window()
    world.clock.pass_time(9 * DAY)
    world.approvals.approve(world.loop(), by="mia", why="it is real")
    world.settle()
    story.run_ends()
    story.window()
    assert world.loop().decisions[-1].answer is PolicyAnswer.COOLDOWN


def test_a_yes_without_room_waits_for_it_and_is_never_parked() -> None:
    story = watch_all(mode="approve", policy="per_week: 1, timeout: 9d, cooldown: 1h")
    world = story.world
    for monitor in ("one", "two"):
        story.window(monitor=monitor, after=MINUTE)
        world.approvals.approve(loop_of(world, monitor), by="mia", why="it is real")
    world.settle(most=5000)
    first, second = world.targets.started.values()
    assert len(world.targets.started) == 2
    assert second.since < first.since + HOUR, "it was decided then, and started a week later"
    assert [one.status for one in world.all_letters()] == [LetterStatus.CLOSED] * 2


def test_a_tag_answers_no_question() -> None:
    story = Story(mode="approve")
    world = story.world
    story.window()
    time = world.clock.now()
    world.react.react(model_registered("m", time, "churn", "1", story.tags()))
    name = f"signalbox-{last(story).id}"
    world.react.react(run_completed("end", time, name, story.tags()))
    assert story.stage() is Stage.ASKED


def test_going_on_is_heard_from_a_clock_that_is_behind() -> None:
    story = Story(policy="give_up_after: 1, per_week: 9")
    world = story.world
    story.window()
    story.world.targets.runs[last(story).id] = TargetRun(status=TargetStatus.FAILED)
    world.clock.pass_time(HOUR)
    world.sweep.run()
    story.window()
    assert world.loop().has_given_up
    world.clock.pass_time(-HOUR)
    world.approvals.resume(world.loop(), by="mia", why="mended")
    assert not world.loop().has_given_up


# Windows that are told late, in the future, or at once


def test_an_old_window_that_is_told_late_starts_nothing() -> None:
    story = Story()
    world = story.world
    late = drift_detected("old", world.clock.now())
    story.window(after=3 * DAY, state="recovered", metrics=[])
    world.react.react(late)
    assert world.targets.started == {}
    assert outcome_of(story, "old").code == "superseded"
    assert [window.id for window in world.loop().windows] == ["old", "w1"]


def test_windows_of_one_moment_count_in_whatever_order_they_come() -> None:
    story = Story()
    world = story.world
    world.clock.pass_time(DAY)
    first = drift_detected("first", world.clock.now())
    world.clock.pass_time(MINUTE)
    second = drift_detected("second", world.clock.now(), state="recovered", metrics=[])
    for event in (second, first):
        world.react.react(event)
    assert len(world.targets.started) == 1


def test_a_window_of_the_future_keeps_none_after_it_from_being_decided() -> None:
    story = Story()
    world = story.world
    world.react.react(drift_detected("w0", world.clock.now() + 999 * DAY, state="recovered"))
    story.window()
    assert len(world.targets.started) == 1


def test_two_signals_at_once_use_up_one_place_of_the_week() -> None:
    story = Story(policy="at_once: 5, per_week: 2, cooldown: 1h")
    world = story.world
    world.clock.pass_time(DAY)
    time = world.clock.now()
    window = {"id": "w", "start": (time - DAY).isoformat(), "end": time.isoformat()}
    second = drift_detected("e2", time, signal="prediction_drift", window=window)
    inserted = world.tables.insert

    def tell_the_other(table: str, partition: str, key: str, values: Any) -> str:
        if table == "SignalboxLoops" and values["kind"] == "loop":
            world.tables.insert = inserted  # type: ignore[method-assign]
            world.react.react(second)
        return inserted(table, partition, key, values)

    world.tables.insert = tell_the_other  # type: ignore[method-assign]
    world.react.react(drift_detected("e1", time, window=window))
    assert len(world.targets.started) == 1
    budget = world.loops.store.budget(REACTION).value
    assert len(budget.slots) == 1


def test_of_two_workers_at_one_event_both_see_the_one_retraining() -> None:
    story = Story()
    world = story.world
    world.clock.pass_time(DAY)
    event = drift_detected("w1", world.clock.now())
    budget_of = world.loops.store.budget
    slow = [True]

    def be_slow(reaction: str) -> Any:
        if slow:
            slow.clear()
            world.clock.pass_time(2 * MINUTE)  # the lease is over: another takes the claim
            world.react.react(event)
        return budget_of(reaction)

    world.loops.store.budget = be_slow  # type: ignore[method-assign]
    world.react.react(event)
    world.settle()
    assert len(world.targets.started) == 1
    assert running(world) == [last(story).id]
    assert outcome_of(story).status is OutcomeStatus.WAITING


def test_a_letter_of_a_loop_that_went_on_starts_nothing() -> None:
    story = Story(policy="cooldown: 1h, per_week: 9")
    world = story.world
    broken = [True]
    read = world.workspaces.get_run

    def fail(_: str) -> None:
        if broken:
            raise TargetUnreachable("no answer")

    world.targets.before = fail
    story.window()
    broken.clear()
    assert read is not None
    story.window(state="recovered", metrics=[])
    world.settle()
    assert len(world.targets.started) == 1


# Models and rollouts of a retraining that don't go the usual way


@pytest.fixture
def story() -> Story:
    story = Story()
    story.window()
    story.run_ends()
    return story


@pytest.mark.parametrize(
    ("phase", "stage"),
    [
        (Phase.REFUSED, Stage.ROLLED_BACK),
        (Phase.ROLLED_BACK, Stage.ROLLED_BACK),
        (Phase.SUPERSEDED, Stage.REGISTERED),
        (Phase.LIVE, Stage.LIVE),
    ],
)
@pytest.mark.parametrize("is_quick", [False, True])
def test_a_rollout_that_ends_is_over_whatever_was_noted_first(
    story: Story, phase: Phase, stage: Stage, is_quick: bool
) -> None:
    world = story.world
    world.react.react(world.register("churn", "2", deploy="true", **story.tags()))
    (rollout,) = world.all_rollouts()
    reference = story.tags()[REFERENCE]
    ended = replace(rollout, phase=phase, reason="so it is")

    def told_first(loops: Retrainings) -> None:
        loops.deploying(WORKSPACE, reference, "churn:2", rollout.id)

    if is_quick:
        kept = world.loops.store.get_for(REACTION, WORKSPACE, "churn-monitor")
        before = replace(last(story), stage=Stage.TRAINED, rollout="", model="")
        world.loops.store.save(kept.value.with_retraining(before), kept.etag)
    world.loops.rollout_changed(ended)
    told_first(world.loops)
    assert story.stage() is stage
    assert last(story).model == "churn:2"


def test_a_second_model_of_the_run_is_not_taken_for_the_one_that_is_live(story: Story) -> None:
    story.model_is_registered("2")
    assert story.stage() is Stage.LIVE
    story.world.loops.compared(
        WORKSPACE, story.tags()[REFERENCE], "churn:3", "worse", is_enough=False
    )
    assert (story.stage(), last(story).model) == (Stage.LIVE, "churn:2")


def test_a_model_of_another_workspace_is_none_of_the_retraining_s(story: Story) -> None:
    before = story.world.loop()
    other = replace(WORKSPACE, name="other")
    story.world.react.react(
        model_registered(
            "event-a", story.world.clock.now(), "churn", "2", story.tags(), workspace=other
        )
    )
    story.world.loops.registered(other, story.tags()[REFERENCE], "churn:2")
    story.world.loops.deploying(other, story.tags()[REFERENCE], "churn:2", "f" * 32)
    assert story.world.loop() == before


def test_a_model_that_is_registered_twice_changes_nothing(story: Story) -> None:
    story.model_is_registered("2")
    before = story.world.loop()
    for version in ("2", "3"):
        event = model_registered(
            f"again-{version}", story.world.clock.now(), "churn", version, story.tags()
        )
        story.world.react.react(event)
    assert story.world.loop() == before


# Messages: each once where nothing crashes, whoever comes between


def test_a_loop_that_changes_while_people_are_told_is_told_of_once() -> None:
    story = Story()
    world = story.world
    send = world.channels.send

    def resume(channel: str, **message: Any) -> None:
        send(channel, **message)
        kept = world.loops.store.get_for(REACTION, WORKSPACE, "churn-monitor")
        world.loops.store.save(replace(kept.value, resumed_by="mia"), kept.etag)

    world.channels.send = resume  # type: ignore[method-assign]
    story.window()
    world.channels.send = send  # type: ignore[method-assign]
    world.sweep.run()
    assert world.told() == ["churn: retraining started after drift"]
    assert world.loop().notices == ()


def test_what_a_channel_does_not_take_is_told_in_order_when_it_does() -> None:
    story = Story()
    world = story.world
    world.channels.make_down("team")
    story.window()
    story.run_ends()
    world.channels.make_well("team")
    world.sweep.run()
    assert world.told() == ["churn: retraining started after drift", "churn was retrained"]


def test_more_messages_than_a_row_holds_keep_the_loop_going() -> None:
    story = Story()
    world = story.world
    story.window()
    kept = world.loops.store.get_for(REACTION, WORKSPACE, "churn-monitor")
    text = Text(title="churn has drifted", body="漂" * 4_000, good=None)
    many = 400 * notices_to(("team",), text)
    saved = world.loops.store.save(replace(kept.value, notices=many), kept.etag).value
    assert 0 < len(saved.notices) < 400
    assert "not told" in saved.given_up


def test_a_long_message_is_cut_at_its_end() -> None:
    story = Story()
    story.window()
    seen = SignalSeen(state=DriftState.BREACH, detail="漂" * 200)
    signals = {f"s{number}": seen for number in range(20)}
    window = Window(id="w", at=story.world.clock.now(), signals=signals)
    loop = with_notice(story.world.loop(), RetrainingNoticeKind.DRIFT, "psi", window=window)
    body = loop.notices[-1].text.body
    assert body.startswith("Reason: psi\nModel: churn\n")
    assert (len(body), body[-1]) == (4_000, "…")


def test_a_reaction_that_retrains_twice_is_refused_when_it_is_loaded() -> None:
    one = "      - retrain: {target: {copy_of: {experiment: churn}}}\n"
    text = (
        f'version: 1\nworkspaces: ["{WORKSPACE.id}"]\nchannels: []\nreactions:\n'
        f"  - name: retrain-churn\n    on: DriftDetected\n    do:\n{one}{one}"
    )
    with pytest.raises(ReactionsInvalid, match="one `retrain`") as caught:
        World(text)
    assert "reactions.yaml:9" in str(caught.value)


def test_a_row_that_is_changed_at_every_save_is_written_in_the_end() -> None:
    story = Story()
    world = story.world
    refused = [True] * 5
    saved = world.tables.replace

    def refuse(table: str, *args: Any, **kwargs: Any) -> str:
        if table == "SignalboxLoops" and refused:
            refused.pop()
            raise RowChanged("somebody else was quicker")
        return saved(table, *args, **kwargs)

    story.window()
    world.tables.replace = refuse  # type: ignore[method-assign]
    story.run_ends()
    assert refused == []
    assert story.stage() is Stage.TRAINED


def test_the_sweep_reads_only_loops_with_something_to_do() -> None:
    story = watch_all(policy="at_once: 9, per_week: 99")
    world = story.world
    for number in range(5):
        story.window(monitor=f"calm-{number}", state="recovered", metrics=[], after=MINUTE)
    story.window(monitor="drifting", after=MINUTE)
    read: list[Row] = []
    query = world.tables.query

    def count(table: str, **wanted: Any) -> Any:
        for row in query(table, **wanted):
            read.extend([row] if table == "SignalboxLoops" else [])
            yield row

    world.tables.query = count  # type: ignore[method-assign]
    world.clock.pass_time(MINUTE)
    world.sweep.run()
    assert {row.values["kind"] for row in read} == {"loop"}
    assert len({row.key for row in read}) == 1
