"""From drift to a retrained model and back to no drift, and what keeps it from going wrong."""

from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import TargetDenied, TargetUnreachable
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from shared.retraining.model import PolicyAnswer, Stage
from shared.retraining.targets import REFERENCE, TargetRun, TargetStatus
from tests.stories.kill import Kill, Ports, kill_at_every_call, live_through
from tests.stories.world import (
    WORKSPACE,
    World,
    drift_detected,
    model_registered,
    run_completed,
)

STEP = "retrain-churn/retrain"
DAY = timedelta(days=1)


def reactions(*, mode: str = "auto", policy: str = "", better: str = "") -> str:
    return f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: retrain-churn
    on: DriftDetected
    when: drift.monitor == 'churn-monitor'
    do:
      - retrain:
          target: {{job: {{file: jobs/churn.yaml}}}}
          inputs: {{window_start: "${{{{ drift.window_start }}}}"}}
          model: churn
          mode: {mode}
          policy: {{{policy}}}
          notify: [team]
  - name: deploy-tagged-models
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do:
      - deploy:
          endpoint: ${{{{ model.name }}}}
          instance_type: Standard_DS3_v2
          keep_old: 30m
          {better}
"""


class Story:
    """A world in which model churn is watched, with what happens to it as verbs."""

    def __init__(self, **options: Any) -> None:
        self.world = World(reactions(**options))
        self.windows = 0

    def window(self, *, after: timedelta = DAY, **data: Any) -> dict[str, Any]:
        """Let time pass, and have the monitor tell of its next window."""
        self.world.clock.pass_time(after)
        self.windows += 1
        event = drift_detected(f"w{self.windows}", self.world.clock.now(), **data)
        self.world.react.react(event)
        return event

    def run_id(self) -> str:
        """Return the run of the newest retraining."""
        last = self.world.loop().last
        assert last is not None
        return last.run_id

    def tags(self) -> dict[str, str]:
        """Return what ties a run, or a model, to the newest retraining."""
        loop = self.world.loop()
        assert loop.last is not None
        return {REFERENCE: loop.reference(loop.last.id)}

    def run_ends(self) -> None:
        """Have the newest retraining's run complete."""
        time = self.world.clock.now()
        event = run_completed(f"end-{self.run_id()}", time, self.run_id(), self.tags())
        self.world.react.react(event)

    def model_is_registered(self, version: str, **tags: str) -> None:
        """Have the run register its model, with the tag that has it deployed."""
        named = {"deploy": "true", **self.tags(), **tags}
        event = self.world.register("churn", version, **named)
        self.world.react.react(event)
        self.world.settle()

    def stage(self) -> Stage:
        """Return how far the newest retraining has come."""
        last = self.world.loop().last
        assert last is not None
        return last.stage


def test_drift_retrains_deploys_and_the_next_window_says_that_it_helped() -> None:
    story = Story()
    world = story.world
    story.window()
    (submission,) = world.targets.started.values()
    assert submission.inputs["window_start"]
    assert submission.tags["signalbox_event"] == "w1"
    assert world.outcome_of("churn-monitor:w1:data_drift", STEP).status is OutcomeStatus.WAITING
    assert world.told() == ["churn: retraining started after drift"]

    story.run_ends()
    assert story.stage() is Stage.TRAINED
    tied = world.outcome_of("churn-monitor:w1:data_drift", STEP)
    assert tied.status is OutcomeStatus.DONE
    assert "completed" in tied.detail

    story.model_is_registered("2")
    assert story.stage() is Stage.LIVE
    assert world.serving() == "2"
    assert "is live" in world.outcome_of("churn-monitor:w1:data_drift", STEP).detail

    story.window(after=2 * DAY, state="recovered", metrics=[])
    last = world.loop().last
    assert last is not None
    assert last.helped is True
    assert world.told()[-1] == "churn has recovered"


def test_what_happens_while_a_message_is_sent_has_nothing_told_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = Story()
    world = story.world
    story.window()
    send = world.channels.send

    def slowly(*message: Any, **options: Any) -> None:
        monkeypatch.setattr(world.channels, "send", send)
        story.model_is_registered("2")  # another worker takes that event, which adds a message
        world.sweep.run()
        send(*message, **options)

    monkeypatch.setattr(world.channels, "send", slowly)
    story.run_ends()
    assert story.stage() is Stage.LIVE
    assert world.told().count("churn was retrained") == 1
    assert world.loop().notices == ()
    assert world.loop().telling_until is None


def test_what_did_not_help_is_tried_again_and_given_up_in_the_end() -> None:
    story = Story(policy="give_up_after: 2, per_week: 9")
    world = story.world
    for version in ("2", "3"):
        story.window(after=2 * DAY)
        story.run_ends()
        story.model_is_registered(version)
        world.settle()
    story.window(after=2 * DAY)
    assert world.loop().decisions[-1].answer is PolicyAnswer.GAVE_UP
    assert [item.helped for item in world.loop().retrainings] == [False, False]
    assert world.told()[-1] == "churn: retraining stopped, because it does not help"
    story.window(after=2 * DAY)
    assert world.told().count("churn: retraining stopped, because it does not help") == 1

    world.approvals.resume(world.loop(), by="mia", why="new features")
    story.window(after=2 * DAY)
    assert world.loop().decisions[-1].answer is PolicyAnswer.RETRAIN


def test_a_decision_not_to_retrain_is_recorded_with_its_reason() -> None:
    story = Story(policy="windows: {breached: 2, of: 3}")
    story.window()
    outcome = story.world.outcome_of("churn-monitor:w1:data_drift", STEP)
    assert outcome.status is OutcomeStatus.SKIPPED
    assert outcome.code == "retrain.too_few_windows"
    assert "1 of the last 1 windows drifted" in outcome.detail
    assert story.world.targets.started == {}


def test_bad_data_is_told_once_and_never_trained_on() -> None:
    story = Story()
    for _ in range(2):
        story.window(
            signal="churn_data_quality",
            metrics=[{"name": "null_value_rate", "value": 0.4, "threshold": 0.1}],
        )
    assert story.world.targets.started == {}
    assert story.world.told() == ["churn: its data is broken, so it is not retrained"]


def test_a_monitor_that_is_broken_is_told_and_is_no_drift() -> None:
    story = Story()
    story.window(state="broken", metrics=[], detail="no data")
    assert story.world.targets.started == {}
    assert story.world.told() == ["churn: its monitor does not work"]


def test_a_drift_told_twice_is_retrained_once() -> None:
    story = Story()
    event = story.window()
    story.world.react.react(event)
    story.world.settle()
    assert len(story.world.targets.started) == 1
    assert story.world.targets.submissions == 1


def test_the_second_signal_of_a_window_starts_nothing_more() -> None:
    story = Story(policy="cooldown: 1s, at_once: 5, per_week: 9")
    time = story.world.clock.now()
    window = {"id": "w", "start": time.isoformat(), "end": time.isoformat()}
    for signal in ("data_drift", "prediction_drift"):
        story.world.clock.pass_time(timedelta(minutes=1))
        story.world.react.react(
            drift_detected(f"e-{signal}", story.world.clock.now(), signal=signal, window=window)
        )
    assert len(story.world.targets.started) == 1
    second = story.world.outcome_of("churn-monitor:w:prediction_drift", STEP)
    assert second.code == "retrain.decided"


# `mode: approve`: a person says yes or no


def test_nothing_starts_until_a_person_says_yes() -> None:
    story = Story(mode="approve")
    world = story.world
    story.window()
    world.settle()
    assert world.targets.started == {}
    assert world.told() == ["churn has drifted: approve its retraining?"]
    waiting = world.outcome_of("churn-monitor:w1:data_drift", STEP)
    assert (waiting.status, waiting.code) == (OutcomeStatus.WAITING, "retrain.approval")
    (letter,) = world.all_letters()
    assert letter.status is LetterStatus.PARKED

    world.approvals.approve(world.loop(), by="mia", why="looks real")
    world.settle()
    assert len(world.targets.started) == 1
    last = world.loop().last
    assert last is not None
    assert (last.stage, last.by) == (Stage.RUNNING, "mia")
    (letter,) = world.all_letters()
    assert letter.status is LetterStatus.CLOSED


def test_how_to_answer_comes_before_the_window_which_may_be_cut() -> None:
    story = Story(mode="approve")
    story.window()
    loop_id = story.world.loop().id
    (message,) = story.world.channels.sent
    assert message.text.startswith("Reason: ")
    before, _ = message.text.split("\nWindow: ")
    for order in ("approve", "reject"):
        assert f'To {order}: signalbox loops {order} {loop_id} --why "reason"' in before


def test_a_no_closes_the_letter_and_starts_nothing() -> None:
    story = Story(mode="approve")
    story.window()
    story.world.approvals.reject(story.world.loop(), by="mia", why="a holiday")
    story.world.settle()
    assert story.world.targets.started == {}
    outcome = story.world.outcome_of("churn-monitor:w1:data_drift", STEP)
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "retrain.rejected")
    (letter,) = story.world.all_letters()
    assert letter.status is LetterStatus.CLOSED


def test_a_further_window_asks_nobody_again() -> None:
    story = Story(mode="approve")
    for _ in range(3):
        story.window()
    assert story.world.told() == ["churn has drifted: approve its retraining?"]


def test_mode_notify_tells_and_starts_nothing() -> None:
    story = Story(mode="notify")
    story.window()
    story.window(after=timedelta(hours=1))
    assert story.world.told() == ["churn has drifted"]
    assert story.world.targets.started == {}


# Targets that are down, refuse, lose answers, or never end


def test_a_target_that_is_down_is_tried_again_from_the_letter() -> None:
    story = Story()
    failing = [True, True, True]

    def be_down(request: str) -> None:
        if request == "submit" and failing:
            failing.pop()
            raise TargetUnreachable("no answer")

    story.world.targets.before = be_down
    story.window()
    assert story.stage() is Stage.STARTING
    story.world.settle()
    assert story.stage() is Stage.RUNNING
    assert len(story.world.targets.started) == 1


def test_a_lost_answer_starts_nothing_twice() -> None:
    story = Story()
    lost = [True]

    def lose(request: str) -> None:
        if request == "submitted" and lost:
            lost.pop()
            raise TargetUnreachable("no answer")

    story.world.targets.before = lose
    story.window()
    story.world.settle()
    assert len(story.world.targets.started) == 1
    assert story.world.targets.submissions == 2


def test_a_refusal_is_told_and_parked_and_its_replay_starts_it() -> None:
    story = Story()
    world = story.world
    denied = [True]

    def deny(request: str) -> None:
        if request == "submit" and denied:
            raise TargetDenied("the token is refused")

    world.targets.before = deny
    story.window()
    assert story.stage() is Stage.FAILED
    assert world.told() == ["churn: retraining failed"]
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "target.denied")
    denied.clear()
    world.letters.reopen(letter)
    world.settle()
    assert story.stage() is Stage.RUNNING


def test_a_run_whose_end_was_never_told_is_looked_at() -> None:
    story = Story()
    story.window()
    (submission_id,) = story.world.targets.started
    story.world.targets.runs[submission_id] = TargetRun(
        status=TargetStatus.FAILED, reason="no compute"
    )
    story.world.clock.pass_time(timedelta(minutes=11))
    story.world.sweep.run()
    assert story.stage() is Stage.FAILED
    outcome = story.world.outcome_of("churn-monitor:w1:data_drift", STEP)
    assert (outcome.status, outcome.code) == (OutcomeStatus.FAILED, "retrain.failed")
    assert "no compute" in outcome.detail


def test_a_run_that_never_ends_counts_as_failed_and_frees_its_place() -> None:
    story = Story(policy="timeout: 2h, cooldown: 1h")
    story.window()
    story.world.clock.pass_time(timedelta(hours=3))
    story.world.sweep.run()
    assert story.stage() is Stage.FAILED
    story.window()
    assert len(story.world.targets.started) == 2


def test_a_channel_that_is_down_delays_no_retraining() -> None:
    story = Story()
    story.world.channels.down = {"team"}
    story.window()
    assert story.stage() is Stage.RUNNING
    story.world.channels.down = set()
    story.world.sweep.run()
    assert story.world.told() == ["churn: retraining started after drift"]


def test_a_loop_is_forgotten_when_its_monitor_has_long_been_silent() -> None:
    story = Story()
    story.window(state="recovered", metrics=[])
    story.world.clock.time = story.world.clock.time.replace(hour=3) + 20 * DAY
    story.world.sweep.run()
    assert story.world.loop().windows
    story.world.clock.pass_time(20 * DAY)
    story.world.sweep.run()
    assert list(story.world.loops.store.all()) == []


# A run or a model with our tag that is not ours changes nothing


def test_a_run_that_claims_to_be_the_retraining_is_not_believed() -> None:
    story = Story()
    story.window()
    event = run_completed("x", story.world.clock.now(), "somebody-elses", story.tags())
    story.world.react.react(event)
    assert story.stage() is Stage.RUNNING


@pytest.mark.parametrize("text", ["", "x", "0" * 32, "'; --", f"{'0' * 32}-{'0' * 32}"])
def test_a_reference_that_leads_nowhere_is_ignored(text: str) -> None:
    story = Story()
    story.window()
    event = run_completed("x", story.world.clock.now(), "r", {REFERENCE: text})
    story.world.react.react(event)
    story.world.react.react(
        model_registered("y", story.world.clock.now(), "m", "1", {REFERENCE: text})
    )
    assert story.stage() is Stage.RUNNING


def test_a_model_that_is_not_better_ends_the_retraining_there() -> None:
    story = Story(better="when_better: {metric: auc, source: tags}")
    world = story.world
    world.react.react(world.register("churn", "1", deploy="true", auc="0.9"))
    world.settle()
    story.window()
    story.run_ends()
    story.model_is_registered("2", auc="0.8")
    last = world.loop().last
    assert last is not None
    assert last.stage is Stage.NOT_BETTER
    assert "0.8" in last.verdict
    assert world.serving() == "1"


def test_a_rollout_of_the_model_that_is_under_way_keeps_it_quiet() -> None:
    story = Story()
    story.world.workspaces.behaviour.takes = timedelta(minutes=20)
    story.world.react.react(story.world.register("churn", "1", deploy="true"))
    story.window(after=timedelta(minutes=1))
    assert story.world.loop().decisions[-1].answer is PolicyAnswer.ROLLOUT


def _loop(kill_at: Kill) -> tuple[Story, Ports]:
    """From drift to live, with the process killed at one call of a port."""
    story = Story()
    world = story.world
    ports = Ports(world)
    ports.kill_at = kill_at
    world.clock.pass_time(DAY)
    live_through(world, drift_detected("w1", world.clock.now()))
    live_through(world, run_completed("end", world.clock.now(), story.run_id(), story.tags()))
    tags = {"deploy": "true", **story.tags()}
    live_through(world, world.register("churn", "2", **tags))
    return story, ports


def test_killed_at_any_call_it_is_retrained_once_and_the_loop_knows() -> None:
    kill_at_every_call(_loop, _expect_retrained_once, at_least=45)


def _expect_retrained_once(story: Story, _: Ports) -> None:
    world = story.world
    assert len(world.targets.started) == 1
    assert world.serving() == "2"
    (retraining,) = world.loop().retrainings
    assert retraining.stage is Stage.LIVE
    assert retraining.model == "churn:2"
    outcome = world.outcome_of("churn-monitor:w1:data_drift", STEP)
    assert (outcome.status, "is live" in outcome.detail) == (OutcomeStatus.DONE, True)
    assert [one for one in world.all_letters() if one.status is not LetterStatus.CLOSED] == []
    budget = world.loops.store.budget("retrain-churn").value
    assert [slot.ended for slot in budget.slots] == [True]
    world.clock.pass_time(timedelta(minutes=1))  # for which the one that died had the messages
    world.sweep.run()
    told = world.told()
    assert told.count("churn: retraining started after drift") in (1, 2), "told at least once"
    assert "churn was retrained" in told
