"""Drift that a model monitor finds is retrained, deployed if it is better, and proved."""

from datetime import UTC, datetime, timedelta

from shared.journal.outcomes import OutcomeStatus
from shared.retraining.model import Loop, Stage
from shared.retraining.store import LoopStore
from tests.app.stage import Stage as App

DRIFT = [
    {"metric_name": "JensenShannonDistance", "metric_value": 0.31, "threshold_value": 0.1}
    | {"group": "amount"}
]
CALM = [
    {"metric_name": "JensenShannonDistance", "metric_value": 0.02, "threshold_value": 0.1}
    | {"group": "amount"}
]


def loop_of(app: App, monitor: str) -> Loop | None:
    """Return the loop over a monitor."""
    found = (kept.value for kept in LoopStore(tables=app.tables).all())
    return next((loop for loop in found if loop.monitor == monitor), None)


def stage_of(app: App, monitor: str) -> Stage | None:
    """Return how far the newest retraining of a monitor has come."""
    loop = loop_of(app, monitor)
    return loop.last.stage if loop is not None and loop.last is not None else None


def test_a_model_that_is_registered_is_evaluated_by_a_run_that_is_followed(stage: App) -> None:
    stage.arm.put_components("evaluate", "model")
    stage.control.training(experiment="evaluation", seconds=5)
    event = stage.register("to-evaluate", "3", evaluate="true")
    step = "evaluate-tagged/start"

    def has_ended() -> bool:
        record = stage.record(event)
        return record is not None and record.outcomes[step].status is OutcomeStatus.DONE

    stage.wait_for("the run has ended, and that is recorded", has_ended)
    record = stage.record(event)
    assert record is not None
    outcome = record.outcomes[step]
    assert outcome.detail == f"run signalbox-{outcome.launch} completed"
    job = stage.arm.job(f"signalbox-{outcome.launch}")
    assert job is not None
    assert job["properties"]["tags"]["signalbox_reaction"] == "evaluate-tagged"
    assert job["properties"]["inputs"]["model"]["value"] == "to-evaluate"
    told = stage.wait_for("people are told", lambda: stage.told("evaluate-tagged"))
    assert told == ["evaluate-tagged: the run completed"]


def test_drift_becomes_a_better_model_and_the_next_window_says_that_it_helped(
    stage: App,
) -> None:
    stage.arm.put_components("fraud_train", "window_start", "window_end")
    monitor = "fraud-monitor"
    stage.control.training(experiment="fraud", seconds=30, metrics={"auc": 0.91}, times=1)
    run = stage.control.monitor_run(
        monitor,
        signals={"fraud-monitor_data_drift": DRIFT},
        seconds=5,
        window_start="2026-03-01T00:00:00Z",
        window_end="2026-03-02T00:00:00Z",
    )

    def started() -> Loop | None:
        loop = loop_of(stage, monitor)
        return loop if loop and loop.last and loop.last.run_id else None

    loop = stage.wait_for("the retraining starts", started)
    assert loop is not None
    assert loop.last is not None
    job = stage.arm.job(loop.last.run_id)
    assert job is not None
    assert job["properties"]["tags"]["signalbox_retraining"] == loop.reference(loop.last.id)
    sent = job["properties"]["inputs"]["window_start"]["value"]
    assert sent.startswith("2026-03-01T00:00:00")
    assert loop.windows[-1].id == run["run"]

    rollout = stage.wait_live("fraud", "1")
    stage.wait_for("the loop knows", lambda: stage_of(stage, monitor) is Stage.LIVE)
    assert stage.serving("fraud") == "1"
    loop = loop_of(stage, monitor)
    assert loop is not None
    assert loop.last is not None
    assert (loop.last.model, loop.last.rollout) == ("fraud:1", rollout.id)
    record = stage.records.get(loop.last.ref)
    assert record is not None
    outcome = record.outcomes["retrain-on-drift/retrain"]
    assert outcome.status is OutcomeStatus.DONE
    assert "is live" in outcome.detail

    # Of data that the retrained model has scored; what was scored before says nothing of it.
    start = datetime.now(UTC) + timedelta(hours=1)
    stage.control.monitor_run(
        monitor,
        signals={"fraud-monitor_data_drift": CALM},
        seconds=5,
        window_start=start,
        window_end=start + timedelta(days=1),
    )

    def has_helped() -> bool:
        loop = loop_of(stage, monitor)
        return bool(loop and loop.last and loop.last.helped)

    stage.wait_for("the next window says that it helped", has_helped)
    stage.wait_for("it is told", lambda: stage.told("fraud has recovered"))
    assert stage.told("fraud has recovered") == ["fraud has recovered"]
