"""Runs that fail are told once, with their reason, and without noise however many there are."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.base.errors import WorkspaceDenied, WorkspaceThrottled, WorkspaceUnreachable
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from shared.messages import repeats
from shared.workspaces.model import RunRecord
from tests.stories.kill import Kill, Killed, Ports, kill_at_every_call
from tests.stories.world import WORKSPACE, World, run_status_changed

SHIPPED = (
    (Path(__file__).parents[2] / "reactions.yaml")
    .read_text(encoding="utf-8")
    .replace("%SIGNALBOX_WORKSPACE%", WORKSPACE.id)
)
STEP = "tell-failed-runs/notify"
SENTENCE = "Pipeline has some failed steps. See child run or execution logs for more details."
SWEEPS = timedelta(minutes=5)

type Json = dict[str, Any]


@pytest.fixture
def world() -> World:
    """A world with the reactions that are shipped."""
    return World(SHIPPED)


def failed(world: World, run: str, *, parent: str = "", root: str = "", **values: Any) -> RunRecord:
    """Let a run fail in the workspace, after a quarter of an hour."""
    now = world.clock.now()
    known: Json = {
        "status": "Failed",
        "root_id": root or parent or run,
        "parent_id": parent,
        "experiment": "exp",
        "started_at": now - timedelta(minutes=15),
        "ended_at": now,
    }
    return world.workspaces.add_run(WORKSPACE, RunRecord(id=run, **{**known, **values}))


def event_of(world: World, run: RunRecord, *, shows_step: bool = True, **data: Any) -> Json:
    """Return the event of a run that failed; of a step, with what events show of steps or not."""
    event = run_status_changed(f"event-of-{run.id}", world.clock.now())
    properties = {"azureml.runsource": "azureml.PipelineRun"}
    if run.parent_id:
        properties = {"azureml.runsource": "azureml.StepRun", "azureml.pipelinerunid": run.root_id}
    shown = properties if shows_step else {}
    event["data"] |= {"runId": run.id, "runProperties": shown, **data}
    return event


def count_requests(world: World) -> Counter[str]:
    """Return what counts the requests to the workspace from now on."""
    found: Counter[str] = Counter()
    world.workspaces.before = lambda request: found.update([request])
    return found


def sweep_for(world: World, span: timedelta) -> None:
    """Let time pass, with a sweep every five minutes."""
    for _ in range(span // SWEEPS):
        world.clock.pass_time(SWEEPS)
        world.sweep.run()


def fail_pipeline(world: World, *, shows_step: bool = True) -> list[Json]:
    """Let 30 steps of a pipeline fail, the first of them in a pipeline of its own."""
    inner = failed(
        world,
        "inner",
        parent="prepare",
        root="root",
        step="train",
        error_code="UserError",
        error="ValueError: no column age\nThe rows are in abfss://x?sig=abcdef",
    )
    runs = [inner]
    names = ["prepare", *(f"a-step-{number}" for number in range(29))]
    for name in names:
        world.clock.pass_time(timedelta(seconds=1))
        is_pipeline = name == "prepare"
        error = SENTENCE if is_pipeline else f"reason of {name}"
        runs.append(failed(world, name, parent="root", display_name=name, error=error))
    runs.append(failed(world, "root", error=SENTENCE, display_name="nightly"))
    return [event_of(world, run, shows_step=shows_step) for run in runs]


def test_a_pipeline_with_thirty_failing_steps_is_one_message_with_the_deepest_error(
    world: World,
) -> None:
    events = fail_pipeline(world)
    asked = count_requests(world)
    for event in events:
        world.react.react(event)
    (message,) = world.channels.sent
    assert message.title == "Run root failed"
    assert message.good is False
    assert message.text.splitlines() == [
        "Workspace: ws",
        "Status: Failed",
        "Name: nightly",
        "Experiment: exp",
        "Duration: 15m",
        "Step: prepare / train",
        "Error: UserError: ValueError: no column age",
        "The rows are in abfss://x?sig=[redacted]",
        "https://ml.azure.com/runs/root?wsid=/subscriptions/5a2c-sub/resourcegroups/rg/workspaces/ws",
    ]
    assert asked == {"get_run": 1, "list_children": 2}
    sweep_for(world, timedelta(hours=2))
    assert len(world.channels.sent) == 1
    assert world.outcome_of("root:Failed", STEP).detail == "told team"


def test_steps_whose_events_do_not_show_that_they_are_steps_are_found_out(world: World) -> None:
    for event in fail_pipeline(world, shows_step=False):
        world.react.react(event)
    assert world.told() == ["Run root failed"]
    outcome = world.outcome_of("a-step-3:Failed", STEP)
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "superseded")
    assert outcome.detail == "run a-step-3 is a step of root"
    sweep_for(world, timedelta(hours=2))
    assert world.told() == ["Run root failed"]


def test_the_shipped_reaction_tells_of_no_run_that_did_not_fail(world: World) -> None:
    run = failed(world, "run-1", status="Canceled")
    world.react.react(event_of(world, run, runStatus="Canceled"))
    assert world.told() == []


def test_fifty_failed_runs_within_an_hour_are_two_messages(world: World) -> None:
    asked = count_requests(world)
    for number in range(50):
        world.react.react(event_of(world, failed(world, f"run-{number}")))
        world.clock.pass_time(timedelta(minutes=1))
        world.sweep.run()
    assert world.told() == ["Run run-0 failed"]
    sweep_for(world, timedelta(hours=1))
    assert world.told() == ["Run run-0 failed", "49 more like: Run run-0 failed"]
    assert world.channels.sent[-1].text.endswith("- Run run-48 failed\n- Run run-49 failed")
    assert (
        world.outcome_of("run-2:Failed", STEP).detail == "folded: the 3rd of 'exp' since 09:00 UTC"
    )
    assert world.all_letters() == []
    assert asked["get_run"] == 1, "what is only counted is not read"
    world.react.react(event_of(world, failed(world, "run-50")))
    assert world.told()[2:] == ["Run run-50 failed"], "the next one begins anew"


def test_runs_of_other_experiments_are_told_at_once(world: World) -> None:
    for number in range(3):
        event = event_of(world, failed(world, f"run-{number}"), experimentName=f"exp-{number}")
        world.react.react(event)
    assert len(world.told()) == 3


def _live_through_a_bad_hour(kill_at: Kill) -> tuple[World, Ports]:
    """Let four runs fail within an hour and one after it, with the process killed at one call."""
    world = World(SHIPPED)
    ports = Ports(world)
    ports.kill_at = kill_at
    for number in range(4):
        event = event_of(world, failed(world, f"run-{number}"))
        _deliver(world, lambda event=event: world.react.react(event))
    for _ in range(3):
        world.clock.pass_time(timedelta(hours=1, minutes=1))
        _deliver(world, lambda: world.sweep.run())
    late = event_of(world, failed(world, "run-late"))
    _deliver(world, lambda: world.react.react(late))
    world.clock.time = (world.clock.time + timedelta(days=40)).replace(hour=3)
    _deliver(world, lambda: world.sweep.run())
    return world, ports


def _deliver(world: World, task: Callable[[], None]) -> None:
    """Do it as Event Grid, queues and timers do: again, for as long as it is not acknowledged."""
    for _ in range(5):
        try:
            task()
            world.settle()
        except Killed:
            world.start_app()
            world.clock.pass_time(timedelta(seconds=70))
        else:
            return
    raise AssertionError("it is killed again and again")


def test_killed_at_any_call_no_failure_is_lost_and_none_is_counted_twice() -> None:
    kill_at_every_call(_live_through_a_bad_hour, _expect_told_once, at_least=20)


def _expect_told_once(world: World, _: Ports) -> None:
    told = Counter(world.told())
    assert told.keys() == {
        "Run run-0 failed",
        "3 more like: Run run-0 failed",
        "Run run-late failed",
    }
    assert sum(told.values()) <= 4, "one message may be repeated: the one that was under way"
    assert all(letter.status is LetterStatus.CLOSED for letter in world.all_letters())
    assert world.rows(repeats.TABLE) == [], "what is over and told is forgotten"


def test_a_channel_that_is_down_gets_the_first_message_and_the_count_when_it_is_back(
    world: World,
) -> None:
    world.channels.make_down("team")
    for number in range(5):
        world.react.react(event_of(world, failed(world, f"run-{number}")))
    (letter,) = world.all_letters()
    assert letter.code == "channel.down"
    sweep_for(world, timedelta(hours=2))
    world.react.react(event_of(world, failed(world, "run-5")))
    assert world.told() == []
    world.channels.make_well("team")
    world.settle()
    world.sweep.run()
    assert world.told() == ["Run run-0 failed", "5 more like: Run run-0 failed"]
    assert world.all_letters()[0].status is LetterStatus.CLOSED


def test_a_first_message_whose_letter_comes_after_the_summary_is_told_all_the_same(
    world: World,
) -> None:
    world.channels.make_down("team")
    for number in range(2):
        world.react.react(event_of(world, failed(world, f"run-{number}")))
    world.clock.pass_time(timedelta(hours=2))
    assert world.queues.take("dead-letter"), "its message is lost"
    world.channels.make_well("team")
    for chore in world.folds.summaries():
        chore()
    world.react.react(event_of(world, failed(world, "run-2")))
    world.sweep.run()
    world.settle()
    titles = ["1 more like: Run run-0 failed", "Run run-2 failed", "Run run-0 failed"]
    assert world.told() == titles


def test_a_channel_that_never_comes_back_keeps_what_was_counted_until_the_retention_is_over(
    world: World,
) -> None:
    for number in range(2):
        world.react.react(event_of(world, failed(world, f"run-{number}")))
    world.channels.make_down("team")
    sweep_for(world, timedelta(hours=3))
    assert world.folds.all()[0].count == 1
    world.clock.time = (world.clock.time + timedelta(days=31)).replace(hour=3)
    world.sweep.run()
    assert world.folds.all() == []


def test_a_workspace_that_does_not_answer_is_waited_for_and_then_done_without(
    world: World,
) -> None:
    def be_down(_: str) -> None:
        raise WorkspaceUnreachable("connection refused")

    event = event_of(world, failed(world, "run-1", error="out of memory"))
    world.workspaces.before = be_down
    began = world.clock.now()
    world.react.react(event)
    assert world.told() == []
    assert world.outcome_of("run-1:Failed", STEP).code == "workspace.unreachable"
    world.settle()
    assert world.told() == ["Run run-1 failed"]
    assert timedelta(minutes=10) <= world.clock.now() - began < timedelta(minutes=25)
    text = world.channels.sent[0].text
    assert "The run could not be read: workspace.unreachable: connection refused" in text
    assert "https://ml.azure.com/runs/run-1?" in text


def test_a_workspace_that_answers_again_soon_costs_nothing_but_time(world: World) -> None:
    event = event_of(world, failed(world, "run-1", error="out of memory"))
    answers = iter([WorkspaceThrottled("slow down", retry_after=timedelta(minutes=2))])

    def throttle_once(_: str) -> None:
        for error in answers:
            raise error

    world.workspaces.before = throttle_once
    world.react.react(event)
    other = event_of(world, failed(world, "run-2"))
    world.react.react(other)
    world.settle()
    assert world.told() == ["Run run-1 failed"]
    assert "Error: out of memory" in world.channels.sent[0].text
    sweep_for(world, timedelta(hours=2))
    assert world.told()[1:] == ["1 more like: Run run-1 failed"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("get_run", "The run could not be read: workspace.denied: no role"),
        ("list_children", "Part of the run could not be read: workspace.denied: no role"),
    ],
)
def test_a_run_that_may_not_be_read_is_told_at_once_and_says_why(
    world: World, request_: str, words: str
) -> None:
    def deny(request: str) -> None:
        if request == request_:
            raise WorkspaceDenied("no role")

    world.workspaces.before = deny
    world.react.react(event_of(world, failed(world, "run-1", error=SENTENCE)))
    assert words in world.channels.sent[0].text
    assert world.all_letters() == []


def test_a_run_that_is_not_there_is_told_at_once(world: World) -> None:
    event = event_of(world, failed(world, "run-1"))
    world.workspaces.runs.clear()
    world.react.react(event)
    assert "could not be read: the workspace has no such run" in world.channels.sent[0].text


def test_what_nobody_foresaw_while_a_run_is_read_loses_no_message(world: World) -> None:
    event = event_of(world, failed(world, "run-1"))

    def stumble(_: str) -> None:
        raise KeyError("secret-looking")

    world.workspaces.before = stumble
    world.react.react(event)
    world.settle()
    assert world.told() == ["Run run-1 failed"]
    assert "unexpected: unexpected KeyError" in world.channels.sent[0].text


def test_an_event_from_the_future_waits_for_nobody(world: World) -> None:
    ahead = world.clock.now() + timedelta(hours=20)  # what is dated further ahead is refused
    event = event_of(world, failed(world, "run-1")) | {"eventTime": ahead.isoformat()}

    def be_down(_: str) -> None:
        raise WorkspaceUnreachable("connection refused")

    world.workspaces.before = be_down
    world.react.react(event)
    assert world.told() == ["Run run-1 failed"]


def test_pipelines_are_looked_into_four_levels_deep_and_for_a_few_seconds(world: World) -> None:
    for depth in range(7):
        parent = f"level-{depth - 1}" if depth else ""
        failed(world, f"level-{depth}", parent=parent, root="level-0", error=SENTENCE)
    asked = count_requests(world)
    world.react.react(event_of(world, world.workspaces.runs[WORKSPACE.key, "level-0"]))
    assert asked == {"get_run": 1, "list_children": 4}
    assert "Step: level-1 / level-2 / level-3 / level-4" in world.channels.sent[0].text
    sweep_for(world, timedelta(hours=2))
    world.workspaces.before = lambda _: world.clock.pass_time(timedelta(seconds=5))
    again = event_of(world, world.workspaces.runs[WORKSPACE.key, "level-0"])
    world.react.react({**again, "id": "another", "eventTime": world.clock.now().isoformat()})
    text = world.channels.sent[-1].text
    assert "Step: level-1 / level-2\n" in text
    assert "there was no time to look at all of its steps" in text


PLAIN = SHIPPED[: SHIPPED.index("          run_details: true")]


@pytest.mark.parametrize(
    ("values", "first", "second"),
    [
        # The ceiling takes two requests for the first message that is sent, and then one.
        (
            "",
            {"insert": 3, "replace": 1, "get": 1},
            {"insert": 2, "replace": 2},
        ),
        (
            "run_details: true",
            {"insert": 3, "replace": 1, "get": 1},
            {"insert": 2, "replace": 2},
        ),
        (
            "fold: {key: x}",
            {"insert": 4, "replace": 1, "get": 2},
            {"insert": 2, "replace": 2, "get": 1},
        ),
    ],
)
def test_what_a_message_costs_of_the_storage(
    values: str, first: dict[str, int], second: dict[str, int]
) -> None:
    world = World(PLAIN + (f"          {values}\n" if values else ""))
    asked = count_requests(world)
    for number, expected in enumerate((first, second)):
        event = event_of(world, failed(world, f"run-{number}"))
        assert _storage(world, lambda event=event: world.react.react(event)) == expected
    assert len(world.told()) == (1 if "fold" in values else 2)
    assert asked["get_run"] == (2 if "run_details" in values else 0)


def _storage(world: World, task: Callable[[], None]) -> dict[str, int]:
    found: Counter[str] = Counter()
    kept = {name: getattr(world.tables, name) for name in ("insert", "get", "replace")}

    def counted(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            found[name] += 1
            return kept[name](*args, **kwargs)

        return call

    for name in kept:
        setattr(world.tables, name, counted(name))
    task()
    for name, method in kept.items():
        setattr(world.tables, name, method)
    return dict(found)


def test_a_message_of_full_length_leaves_room_for_the_details() -> None:
    text = "          text: ${{ run.tags.text }}\n          run_details: true\n"
    world = World(PLAIN.replace('          text: "Workspace: ${{ workspace.name }}"\n', "") + text)
    run = failed(world, "run-1", error="out of memory")
    world.react.react(event_of(world, run, runTags={"text": "x" * 6000}))
    (message,) = world.channels.sent
    assert len(message.text) <= 4000
    assert message.text.startswith("xxx")
    assert "…\nStatus: Failed\n" in message.text
    assert message.text.endswith("/workspaces/ws")


def test_a_completed_run_can_be_told_with_its_duration() -> None:
    world = World(
        PLAIN.replace("run.status == 'Failed' && run.is_root", "run.status == 'Completed'")
        + "          run_details: true\n"
    )
    run = failed(world, "run-1", status="Completed")
    world.react.react(event_of(world, run, runStatus="Completed"))
    (message,) = world.channels.sent
    assert message.good is True
    assert "Status: Completed\nExperiment: exp\nDuration: 15m" in message.text


def test_a_value_that_only_the_event_decides_is_refused_where_there_is_no_run() -> None:
    world = World(
        PLAIN[: PLAIN.index("  - name: tell-failed-runs")]
        + "  - name: tell\n    on: ModelRegistered\n    do:\n      - notify:\n"
        "          channel: team\n          title: it\n"
        "          run_details: ${{ is_true(model.tags.loud) }}\n"
    )
    world.react.react(world.register("quiet", "1", loud="no"))
    world.react.react(world.register("loud", "1", loud="yes"))
    assert world.told() == ["it"]
    (letter,) = (item for item in world.all_letters() if item.reaction == "tell")
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "action.params")
    assert "only RunCompleted and RunStatusChanged events are of a run" in letter.reason
