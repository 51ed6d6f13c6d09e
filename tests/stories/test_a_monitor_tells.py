"""A model monitor's run is read as a whole before anything is decided about its window."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import SignalboxError, WorkspaceDenied, WorkspaceRefused
from shared.events.model import DriftState
from shared.journal import records
from shared.retraining.model import PolicyAnswer
from shared.workspaces.model import RunRecord
from tests.stories.test_drift_is_retrained import reactions
from tests.stories.world import WORKSPACE, World

EVALUATOR = "model_monitor_evaluate_metrics_threshold"
TAG = "azureml_modelmonitor_threshold_breached"


def breach(signal: str, **metrics: tuple[float, float]) -> str:
    """Write the tag of a breach as the evaluating step does; value and threshold by metric."""
    items = [
        json.dumps({"metric_value": value, "metric_name": name, "threshold_value": threshold})
        for name, (value, threshold) in metrics.items()
    ]
    return (
        f"The signal '{signal}' has failed due to one or more features violating metric"
        " thresholds.\nThe feature names and their corresponding computed metric values violating"
        f" the threshold are \n{items}\n"
    )


class Monitor:
    """A monitor of two signals in the twin's workspace, and the events of its steps."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.status = "Completed"
        self.tags: dict[str, dict[str, str]] = {"churn_data_drift": {}, "churn_data_quality": {}}

    def run(self) -> None:
        """Put the monitor's run into the workspace as it stands now."""
        self._put("root", "", "", self.status, {}, {})
        window = {"data_window_start": "2026-03-01T00:00:00Z", "data_window_end": "2026-03-02"}
        self._put("pre", "root", "model_data_collector_preprocessor", "Completed", {}, window)
        for signal, tags in self.tags.items():
            literals = {"monitor_name": "churn-monitor", "signal_name": signal}
            self._put(signal, "root", "data_drift_signal_monitor", "Completed", {}, literals)
            self._put(f"{signal}-step", signal, EVALUATOR, "Completed", tags, {})

    def _put(
        self,
        run_id: str,
        parent: str,
        step: str,
        status: str,
        tags: dict[str, str],
        literals: dict[str, str],
    ) -> None:
        source = "azureml.StepRun" if run_id.endswith("-step") else "azureml.PipelineRun"
        self.world.workspaces.runs[WORKSPACE.key, run_id] = RunRecord(
            id=run_id,
            status=status,
            root_id="root",
            parent_id=parent,
            experiment="churn-monitor",
            step=step,
            tags=tags,
            properties={"azureml.runsource": source, "azureml.moduleName": step},
            parameters=literals,
        )

    def tell(
        self, signal: str, *, status: str = "Completed", kind: str = "RunStatusChanged"
    ) -> None:
        """Deliver the event of a signal's evaluating step."""
        self.world.react.react(
            {
                "id": f"{signal}-{status}-{kind}",
                "topic": WORKSPACE.id,
                "subject": f"experiments/e/runs/{signal}-step",
                "eventType": f"Microsoft.MachineLearningServices.{kind}",
                "eventTime": self.world.clock.now().isoformat(),
                "dataVersion": "2",
                "metadataVersion": "1",
                "data": {
                    "experimentId": "e",
                    "experimentName": "churn-monitor",
                    "runId": f"{signal}-step",
                    "runType": "azureml.StepRun",
                    "runStatus": status,
                    "runTags": self.tags[signal],
                    "runProperties": {
                        "azureml.runsource": "azureml.StepRun",
                        "azureml.moduleName": EVALUATOR,
                        "azureml.pipelinerunid": signal,
                        "azureml.rootpipelinerunid": "root",
                    },
                },
            }
        )


@pytest.fixture
def monitor() -> Monitor:
    world = World(reactions())
    world.clock.pass_time(timedelta(days=1))
    return Monitor(world)


def answers(world: World) -> list[PolicyAnswer]:
    """Return what was decided, by window."""
    return [decision.answer for decision in world.loop().decisions]


def test_a_signal_whose_step_failed_is_broken_whatever_the_step_is_called(
    monitor: Monitor,
) -> None:
    monitor.run()
    steps = monitor.world.workspaces.runs
    step = steps[WORKSPACE.key, "churn_data_quality-step"]
    named = replace(step, step="a_component_of_tomorrow", status="Failed")
    steps[WORKSPACE.key, "churn_data_quality-step"] = named
    monitor.tell("churn_data_drift")
    (window,) = monitor.world.loop().windows
    assert {name: seen.state for name, seen in window.signals.items()} == {
        "churn_data_drift": DriftState.RECOVERED,
        "churn_data_quality": DriftState.BROKEN,
    }


def test_drift_starts_retraining_with_the_window_that_the_monitor_read(monitor: Monitor) -> None:
    monitor.tags["churn_data_drift"] = {TAG: breach("churn_data_drift", psi=(0.4, 0.2))}
    monitor.run()
    monitor.tell("churn_data_drift")
    (submission,) = monitor.world.targets.started.values()
    assert submission.drift["window_start"] == "2026-03-01T00:00:00+00:00"
    (window,) = monitor.world.loop().windows
    assert {name: seen.state for name, seen in window.signals.items()} == {
        "churn_data_drift": DriftState.BREACH,
        "churn_data_quality": DriftState.RECOVERED,
    }


def test_bad_data_of_which_no_event_has_told_yet_keeps_it_from_retraining(
    monitor: Monitor,
) -> None:
    monitor.tags["churn_data_drift"] = {TAG: breach("churn_data_drift", psi=(0.4, 0.2))}
    monitor.tags["churn_data_quality"] = {
        TAG: breach("churn_data_quality", null_value_rate=(0.4, 0.1))
    }
    monitor.run()
    monitor.tell("churn_data_drift")
    assert monitor.world.targets.started == {}
    assert answers(monitor.world) == [PolicyAnswer.DATA_QUALITY]


def test_nothing_is_decided_until_the_monitors_run_has_ended(monitor: Monitor) -> None:
    world = monitor.world
    monitor.tags["churn_data_drift"] = {TAG: breach("churn_data_drift", psi=(0.4, 0.2))}
    monitor.status = "Running"
    monitor.run()
    monitor.tell("churn_data_drift")
    world.settle(until=lambda: world.clock.now().hour >= 10)
    assert world.targets.started == {}
    monitor.status = "Completed"
    monitor.run()
    world.settle()
    assert len(world.targets.started) == 1
    assert world.all_letters()[0].attempt == 0, "waiting for a monitor is no failure"


def test_a_monitor_that_never_ends_is_decided_about_with_what_it_told(monitor: Monitor) -> None:
    monitor.tags["churn_data_drift"] = {TAG: breach("churn_data_drift", psi=(0.4, 0.2))}
    monitor.status = "Running"
    monitor.run()
    monitor.tell("churn_data_drift")
    monitor.world.settle(most=2000)
    assert len(monitor.world.targets.started) == 1


def test_several_events_of_one_breach_are_one_drift(monitor: Monitor) -> None:
    monitor.tags["churn_data_drift"] = {TAG: breach("churn_data_drift", psi=(0.4, 0.2))}
    monitor.run()
    for status in ("Running", "Finalizing", "Completed", "Completed"):
        monitor.tell("churn_data_drift", status=status)
    assert monitor.world.targets.submissions == 1


def test_a_breach_told_by_both_kinds_of_event_has_one_record(monitor: Monitor) -> None:
    monitor.tags["churn_data_drift"] = {TAG: breach("churn_data_drift", psi=(0.4, 0.2))}
    monitor.run()
    monitor.tell("churn_data_drift")
    monitor.world.clock.pass_time(timedelta(milliseconds=300))
    monitor.tell("churn_data_drift", kind="RunCompleted")
    told = [row for row in monitor.world.rows(records.TABLE) if "Drift" in str(row.values["type"])]
    assert [row.values["deliveries"] for row in told] == [2]


def test_a_window_in_which_nothing_is_breached_is_no_drift(monitor: Monitor) -> None:
    monitor.run()
    monitor.tell("churn_data_drift")
    monitor.tell("churn_data_quality")
    assert answers(monitor.world) == [PolicyAnswer.NO_DRIFT]


@pytest.mark.parametrize("error", [WorkspaceDenied("no role"), WorkspaceRefused("no network")])
def test_where_runs_may_not_be_read_the_event_is_believed(
    monitor: Monitor, error: SignalboxError
) -> None:
    monitor.tags["churn_data_drift"] = {TAG: breach("churn_data_drift", psi=(0.4, 0.2))}
    monitor.run()

    def deny(request: str) -> None:
        if request in ("get_run", "list_children"):
            raise error

    monitor.world.workspaces.before = deny
    monitor.tell("churn_data_drift")
    assert len(monitor.world.targets.started) == 1


def test_accuracy_above_its_threshold_is_no_drift_whatever_the_monitor_says(
    monitor: Monitor,
) -> None:
    tags: dict[str, Any] = {TAG: breach("churn_data_drift", Accuracy=(0.97, 0.9))}
    monitor.tags["churn_data_drift"] = tags
    monitor.run()
    monitor.tell("churn_data_drift")
    assert monitor.world.targets.started == {}
    assert answers(monitor.world) == [PolicyAnswer.NO_DRIFT]
