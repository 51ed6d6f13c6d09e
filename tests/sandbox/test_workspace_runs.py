"""How runs live by themselves: their statuses, steps, metrics, ends and events."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.workspace.cloud import Cloud
from sandbox.workspace.entities import Workspace
from sandbox.workspace.runs import PIPELINE_RUN, STEP_RUN, Run, RunPlan, cancel, start
from sandbox.workspace.settings import Settings
from tests.searching import examples

WAY = ["Starting", "Preparing", "Queued", "Running", "Finalizing", "Completed"]
PIPELINES_WAY = ["Preparing", "Running", "Finalizing", "Completed"]
SENTENCE = "Pipeline has some failed steps. See child run or execution logs for more details."


class Engine:
    """A cloud without a server, whose time moves when it is told to."""

    def __init__(self) -> None:
        settings = Settings(ca_folder=Path(), speed=1e-9)
        self.cloud = Cloud(settings, "https://localhost:1")
        [self.workspace] = self.cloud.workspaces()
        self.ended: list[str] = []

    def start(self, plan: RunPlan) -> Run:
        return start(self.cloud, self.workspace, plan)

    def pass_time(self, seconds: float = 36000) -> None:
        self.cloud.clock.advance(seconds)
        self.cloud.settle()

    def cancel(self, run: Run) -> None:
        cancel(self.cloud, self.workspace, run)

    def events(self, *, of: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield the run and its status for RunStatusChanged, the run and "" for RunCompleted."""
        for published in self.cloud.events.log:
            data = published.event["data"]
            if of in {None, data["runId"]}:
                yield data["runId"], data.get("runStatus", "")

    def statuses(self, run_id: str) -> list[str]:
        return [status for _, status in self.events(of=run_id) if status]

    def at(self, run_id: str, status: str) -> str:
        events = (published.event for published in self.cloud.events.log)
        return next(
            event["eventTime"]
            for event in events
            if (event["data"]["runId"], event["data"].get("runStatus")) == (run_id, status)
        )


@pytest.fixture
def engine() -> Engine:
    return Engine()


def plan(run_id="train", **changes) -> RunPlan:
    return RunPlan(**({"id": run_id, "experiment": "churn"} | changes))


def step(run_id="step", **changes) -> RunPlan:
    return plan(run_id, run_type=STEP_RUN, **changes)


def pipeline(*steps: RunPlan, **changes) -> RunPlan:
    return plan("pipeline", run_type=PIPELINE_RUN, steps=steps, **changes)


def test_a_run_comes_from_status_to_status_and_completes(engine):
    run = engine.start(plan())
    assert run.status == "NotStarted"
    engine.pass_time()
    assert engine.statuses("train") == WAY
    assert list(engine.events())[-1] == ("train", "")
    assert run.ended_at is not None
    assert run.started_at is not None
    # A second to finalise.
    assert (run.ended_at - run.started_at).total_seconds() == pytest.approx(61)


def test_a_run_takes_its_time(engine):
    run = engine.start(plan(seconds=600, queued=300))
    engine.pass_time(200)
    assert run.status == "Queued"
    engine.pass_time(200)
    assert run.status == "Running"
    engine.pass_time(600)
    assert run.status == "Completed"


def test_an_event_tells_what_the_run_is(engine):
    engine.start(plan(tags={"team": "churn"}, properties={"p": "1"}))
    engine.pass_time()
    *_, changed, completed = [published.event for published in engine.cloud.events.log]
    assert changed["eventType"] == "Microsoft.MachineLearningServices.RunStatusChanged"
    assert completed["eventType"] == "Microsoft.MachineLearningServices.RunCompleted"
    told = {
        "experimentName": "churn",
        "experimentId": engine.workspace.experiments["churn"].id,
        "runId": "train",
        "runType": "azureml.commandjob",
        "runTags": {"team": "churn"},
        "runProperties": {"p": "1"},
    }
    assert changed["data"] == told | {"runStatus": "Completed"}
    assert completed["data"] == told
    assert completed["subject"] == f"experiments/{told['experimentId']}/runs/train"
    assert changed["id"] != completed["id"]


def test_steps_run_one_after_the_other_inside_their_pipeline(engine):
    inner = plan("inner", run_type=PIPELINE_RUN, steps=(step("b"),))
    run = engine.start(pipeline(step("a"), inner))
    engine.pass_time()
    assert engine.statuses("a") == WAY
    assert engine.statuses("inner") == engine.statuses("pipeline") == PIPELINES_WAY
    ends = [run_id for run_id, status in engine.events() if not status]
    assert ends == ["a", "b", "inner", "pipeline"]
    assert [child.id for child in run.children] == ["a", "inner"]
    last = engine.workspace.runs["b"]
    assert (last.parent_id, last.root_id) == ("inner", "pipeline")


def test_a_step_that_fails_fails_its_pipeline_and_later_steps_do_not_run(engine):
    error = {"code": "UserError", "message": "No such column."}
    run = engine.start(pipeline(step("a", outcome="Failed", error=error), step("b")))
    engine.pass_time()
    assert engine.workspace.runs["a"].error == error
    assert (run.status, run.error) == ("Failed", {"code": "UserError", "message": SENTENCE})
    assert "b" not in engine.workspace.runs
    assert not [run_id for run_id, status in engine.events() if not status]


def test_metrics_and_late_tags_come_shortly_before_the_end(engine):
    run = engine.start(plan(metrics={"auc": 0.9}, tags={"a": "1"}, late_tags={"b": "2"}))
    engine.pass_time(30)
    assert (run.metrics, run.tags) == ([], {"a": "1"})
    engine.pass_time(30)
    assert run.status == "Running"
    assert [(metric.key, metric.value) for metric in run.metrics] == [("auc", 0.9)]
    engine.pass_time()
    tagged = [e.event["data"] for e in engine.cloud.events.log if "b" in e.event["data"]["runTags"]]
    assert [data.get("runStatus") for data in tagged] == ["Finalizing", "Completed", None]


@pytest.mark.parametrize("outcome", ["Completed", "Failed", "Canceled"])
def test_a_run_says_once_that_it_has_ended(engine, outcome):
    engine.start(plan(outcome=outcome, on_end=lambda run: engine.ended.append(run.status)))
    engine.pass_time()
    engine.pass_time()
    assert engine.ended == [outcome]
    assert engine.statuses("train")[-1] == outcome


def test_a_pipeline_is_cancelled_with_the_step_that_runs(engine):
    told = {"on_end": lambda run: engine.ended.append(run.id)}
    run = engine.start(pipeline(step("a"), step("b", **told), step("c"), **told))
    engine.pass_time(80)
    assert engine.workspace.runs["b"].status == "Running"
    engine.cancel(run)
    engine.cancel(run)
    assert run.status == "CancelRequested"
    engine.pass_time()
    assert engine.workspace.runs["a"].status == "Completed"
    assert engine.statuses("b")[-2:] == ["CancelRequested", "Canceled"]
    assert engine.statuses("pipeline")[-2:] == ["CancelRequested", "Canceled"]
    assert engine.ended == ["b", "pipeline"]
    assert "c" not in engine.workspace.runs


def test_a_cancelled_step_fails_its_pipeline(engine):
    run = engine.start(pipeline(step("a")))
    engine.pass_time(10)
    engine.cancel(run.children[0])
    engine.pass_time()
    assert (run.children[0].status, run.status) == ("Canceled", "Failed")


def test_a_pipeline_can_be_cancelled_while_its_step_is_being_cancelled(engine):
    run = engine.start(pipeline(step("a")))
    engine.pass_time(10)
    engine.cancel(run.children[0])
    engine.cancel(run)
    engine.pass_time()
    assert (run.children[0].status, run.status) == ("Canceled", "Canceled")


def test_what_has_ended_cannot_be_cancelled(engine):
    run = engine.start(plan())
    engine.pass_time()
    engine.cancel(run)
    assert run.status == "Completed"


def test_an_id_is_taken_once(engine):
    engine.start(plan())
    with pytest.raises(ValueError, match="TRAIN"):
        engine.start(plan("TRAIN"))


def test_a_jump_of_the_clock_plays_everything_at_its_own_moment(engine):
    engine.start(plan("slow", seconds=100))
    engine.start(plan("quick", seconds=10))
    engine.pass_time()
    assert [run_id for run_id, status in engine.events() if not status] == ["quick", "slow"]
    assert engine.at("quick", "Completed") < engine.at("slow", "Finalizing")


def test_what_a_run_starts_at_its_end_begins_at_that_moment(engine):
    engine.start(plan("first", on_end=lambda run: engine.start(plan("second"))))
    engine.pass_time(66)
    assert engine.workspace.runs["second"].created_at == engine.workspace.runs["first"].ended_at


def test_a_reset_forgets_the_runs_under_way(engine):
    engine.start(plan())
    engine.cloud.reset()
    engine.pass_time()
    assert engine.cloud.events.log == []


def _plans(ids: Iterator[int]) -> st.SearchStrategy[RunPlan]:
    outcomes = st.sampled_from(["Completed", "Completed", "Completed", "Failed", "Canceled"])
    leaves = st.builds(
        lambda seconds, outcome: (seconds, outcome, ()),
        st.floats(0, 100),
        outcomes,
    )
    trees = st.recursive(
        leaves,
        lambda inner: st.builds(
            lambda outcome, steps: (0.0, outcome, tuple(steps)),
            outcomes,
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=6,
    )

    def build(tree) -> RunPlan:
        seconds, outcome, steps = tree
        return plan(
            f"run-{next(ids)}",
            run_type=PIPELINE_RUN if steps else STEP_RUN,
            seconds=seconds,
            outcome=outcome,
            steps=tuple(build(inner) for inner in steps),
        )

    return trees.map(build)


@settings(max_examples=examples(60), deadline=None)
@given(data=st.data(), moments=st.lists(st.floats(0.1, 200), max_size=4))
def test_every_run_ends_and_each_change_of_it_is_told_once(data, moments):
    engine = Engine()
    root = engine.start(data.draw(_plans(iter(range(1000)))))
    for moment in moments:
        engine.pass_time(moment)
        engine.cancel(data.draw(st.sampled_from(list(root.family()))))
    engine.pass_time()
    check_all_ended(engine.workspace, list(engine.events()))


def check_all_ended(workspace: Workspace, events: list[tuple[str, str]]) -> None:
    assert len(events) == len(set(events))
    for run in workspace.runs.values():
        assert run.is_over
        told = [status for run_id, status in events if run_id == run.id]
        assert [status for status in told if status][-1] == run.status
        assert told.count("") == (run.status == "Completed")
        for child in run.children:
            assert child.ended_at <= run.ended_at
            assert run.status != "Completed" or child.status == "Completed"
