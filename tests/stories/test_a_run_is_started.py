"""`start` starts a run on any event, once, and its outcome is what becomes of the run."""

from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import TargetDenied, TargetUnreachable
from shared.base.ids import REFERENCE
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.launches.model import Launch
from shared.retraining.targets import TargetRun, TargetStatus
from shared.workspaces.model import RunRecord
from tests.stories.kill import Kill, Ports, kill_at_every_call, live_through
from tests.stories.world import WORKSPACE, World, run_status_changed

STEP = "evaluate/start"
MINUTE = timedelta(minutes=1)


class Starting(World):
    """A world in which a registered model is evaluated by a component."""

    def __init__(
        self,
        more: str = "",
        target: str = "component: {name: evaluate}",
        on: str = "ModelRegistered",
        when: str = "is_true(model.tags.evaluate)",
    ) -> None:
        evaluate = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: evaluate
    on: {on}
    when: {when}
    do: [start: {{target: {{{target}}}, notify: [team]{more}}}]
"""
        super().__init__(evaluate)
        self.workspaces.behaviour.takes = timedelta(0)

    def happen(self, version: str = "1", **tags: str) -> dict[str, Any]:
        """Have a model be registered; return its event."""
        event = self.register("churn", version, **{"evaluate": "true", **tags})
        self.react.react(event)
        return event

    def launches(self) -> list[Launch]:
        """Return every launch."""
        found = self.services.launches.store
        return [kept.value for kept in (*found.open(), *found.old(self.clock.now() + 9 * MINUTE))]

    def of(self, version: str = "1") -> Outcome:
        """Return what came of the step for a version."""
        return self.outcome_of(f"churn:{version}", STEP)

    def end(self, launch: Launch, status: str = "Completed", run_id: str = "") -> None:
        """Have the run of a launch end, and its event arrive."""
        name = run_id or f"signalbox-{launch.id}"
        tags = {REFERENCE: launch.reference}
        self.workspaces.add_run(
            WORKSPACE, RunRecord(id=name, root_id=name, status=status, tags=tags)
        )
        event = run_status_changed(f"end-{name}", self.clock.now(), status)
        event["data"] |= {"runId": name, "runTags": tags}
        self.react.react(event)

    def sweep_after(self, span: timedelta) -> None:
        """Let time pass, and sweep."""
        self.clock.pass_time(span)
        self.sweep.run()


def _run(name: str, tags: dict[str, str]) -> RunRecord:
    return RunRecord(id=name, root_id=name, status="Completed", tags=tags)


@pytest.mark.parametrize(
    ("status", "outcome", "told"),
    [
        ("Completed", OutcomeStatus.DONE, "evaluate: the run completed"),
        ("Failed", OutcomeStatus.FAILED, "evaluate: the run failed"),
        ("Canceled", OutcomeStatus.FAILED, "evaluate: the run failed"),
    ],
)
def test_the_outcome_follows_the_run_to_its_end(
    status: str, outcome: OutcomeStatus, told: str
) -> None:
    world = Starting(", inputs: {model: '${{ model.name }}', version: '${{ model.version }}'}")
    world.happen("8")
    (submission,) = world.targets.started.values()
    assert submission.inputs == {"model": "churn", "version": "8"}
    assert submission.tags == {
        "signalbox_event": "event-1",
        "signalbox_reaction": "evaluate",
        "signalbox_depth": "1",
    }
    waiting = world.of("8")
    assert waiting.status is OutcomeStatus.WAITING
    assert waiting.detail == f"run signalbox-{submission.id} is started"
    world.end(world.launches()[0], status)
    assert world.of("8").status is outcome
    assert world.of("8").code == ("" if status == "Completed" else "start.failed")
    assert world.told() == [told]
    assert [message.good for message in world.channels.sent] == [status == "Completed"]
    world.sweep_after(timedelta(hours=1))
    assert world.told() == [told], "the sweep tells nothing twice"


def test_a_run_whose_end_no_event_reports_is_asked_for() -> None:
    world = Starting()
    world.happen()
    (launch,) = world.launches()
    world.sweep_after(9 * MINUTE)
    assert world.of().status is OutcomeStatus.WAITING
    world.targets.runs[launch.id] = TargetRun(status=TargetStatus.FAILED, reason="no data")
    world.sweep_after(2 * MINUTE)
    assert world.of().detail == f"run signalbox-{launch.id} failed: no data"


def test_a_run_that_never_ends_counts_as_failed_until_it_turns_up() -> None:
    world = Starting(", timeout: 2h")
    world.happen()
    (launch,) = world.launches()
    world.sweep_after(timedelta(hours=2, minutes=1))
    assert world.of().detail.endswith("it is not known to have ended within 2 hours")
    world.end(launch)
    assert world.of().status is OutcomeStatus.DONE
    assert world.told() == ["evaluate: the run failed", "evaluate: the run completed"]


def test_somebody_s_run_with_the_tag_of_ours_ends_nothing() -> None:
    world = Starting()
    world.happen()
    (launch,) = world.launches()
    world.end(launch, run_id="forged")
    assert world.of().status is OutcomeStatus.WAITING


def test_no_more_run_at_once_than_the_reaction_allows() -> None:
    world = Starting(", at_once: 2")
    for version in ("1", "2", "3"):
        world.happen(version)
    assert len(world.targets.started) == 2
    assert world.of("3").code == "retrain.budget"
    world.end(world.launches()[0])
    world.clock.pass_time(timedelta(minutes=11))
    world.deliver()
    assert len(world.targets.started) == 3
    assert world.of("3").status is OutcomeStatus.WAITING


def test_where_a_run_that_finds_no_place_is_not_wanted_later_it_is_skipped() -> None:
    world = Starting(", at_once: 1, when_full: skip")
    world.happen("1")
    world.happen("2")
    skipped = world.of("2")
    assert (skipped.status, skipped.code) == (OutcomeStatus.SKIPPED, "start.at_once")
    world.settle()
    assert len(world.targets.started) == 1


def test_a_target_that_refuses_parks_the_letter_and_a_replay_starts_it() -> None:
    world = Starting(", at_once: 1")

    def refuse(request: str) -> None:
        if request == "submit":
            raise TargetDenied("the app may not start it")

    world.targets.before = refuse
    world.happen("1")
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "target.denied")
    world.targets.before = lambda _: None
    world.happen("2")
    assert world.of("2").status is OutcomeStatus.WAITING, "the refused one has left its place"
    world.end(next(launch for launch in world.launches() if launch.run_id))
    world.letters.replay_now(letter.id)
    world.deliver()
    assert world.of("1").status is OutcomeStatus.WAITING
    (started,) = (one for key, one in world.targets.started.items() if key in world.of("1").launch)
    assert not started.is_first, "the replay looks for a run first"


def test_a_target_that_is_down_is_tried_again_and_started_once() -> None:
    world = Starting()
    down = iter([True, False])

    def lose(request: str) -> None:
        if request == "submitted" and next(down, False):
            raise TargetUnreachable("the answer was lost")

    world.targets.before = lose
    world.happen()
    world.settle()
    assert (len(world.targets.started), world.targets.submissions) == (1, 2)
    assert world.of().status is OutcomeStatus.WAITING


def test_a_webhook_is_done_when_it_has_taken_the_message() -> None:
    world = Starting(target="webhook: {name: evaluate}")
    world.happen()
    assert (world.of().status, world.of().detail) == (OutcomeStatus.DONE, "the message was taken")
    assert world.told() == []


def test_a_webhook_gets_a_body_of_one_s_own_made_from_the_event() -> None:
    body = "body: {model: '${{ model.name }}', tags: '${{ model.tags }}', fixed: 1}"
    world = Starting(target=f"webhook: {{name: evaluate, {body}}}")
    world.happen("7", note="$(free text; of anybody)")
    assert world.of("7").status is OutcomeStatus.DONE
    (params,) = world.targets.params
    assert params.body == {
        "model": "churn",
        "tags": {"evaluate": "true", "note": "$(free text; of anybody)"},
        "fixed": 1,
    }


def test_a_tag_chooses_within_the_target_only_what_is_allowed() -> None:
    by_tag = "component: {name: '${{ model.tags.by }}', experiment: nightly}"
    world = Starting(", allow: {target: [evaluate-*]}", target=by_tag)
    world.happen("1", by="train-for-a-week")
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "deploy.tag_forbidden")
    world.happen("2", by="evaluate-small")
    assert world.of("2").status is OutcomeStatus.WAITING


def test_an_input_that_a_shell_could_take_for_a_command_is_refused() -> None:
    world = Starting(", inputs: {note: '${{ model.tags.note }}'}")
    world.happen(note="$(curl evil)")
    (letter,) = world.all_letters()
    assert letter.code == "action.params"
    assert world.targets.started == {}


def test_a_run_is_started_and_followed_once_whatever_kills_the_worker() -> None:
    def play(kill: Kill) -> tuple[Starting, Ports]:
        world = Starting(", at_once: 1")
        event = world.register("churn", "1", evaluate="true")
        ports = Ports(world)
        ports.kill_at = kill
        live_through(world, event)
        (submission,) = world.targets.started.values()
        name = f"signalbox-{submission.id}"
        tags = {REFERENCE: submission.reference}
        world.workspaces.add_run(WORKSPACE, _run(name, tags))
        ended = run_status_changed("end", world.clock.now(), "Completed")
        ended["data"] |= {"runId": name, "runTags": tags}
        live_through(world, ended)
        world.sweep_after(2 * MINUTE)
        return world, ports

    def check(world: Starting, _: Ports) -> None:
        assert world.of().status is OutcomeStatus.DONE
        assert set(world.told()) == {"evaluate: the run completed"}
        assert len(world.told()) <= 2, "a crash after the message may tell it again"
        assert not any(launch.is_open for launch in world.launches())
        assert world.loops.store.budget("evaluate").value.slots == ()

    kill_at_every_call(play, check, at_least=9)
