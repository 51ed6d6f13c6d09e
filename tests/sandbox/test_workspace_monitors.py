"""Runs of model monitors: what their steps find, and what they leave in runs and events."""

import ast
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.workspace.breaches import BREACH_TAG, breach_text
from sandbox.workspace.monitor_graphs import KINDS, kind_of, nodes_of

DRIFT = {
    "metric_name": "JensenShannonDistance",
    "metric_value": 0.3,
    "threshold_value": 0.1,
    "group": "age",
}
CALM = DRIFT | {"metric_value": 0.01, "group": "income"}
EVALUATOR = "model_monitor_evaluate_metrics_threshold"


def metric(name, value, threshold, **more):
    return {"metric_name": name, "metric_value": value, "threshold_value": threshold} | more


def rows_of(text):
    return [json.loads(row) for row in ast.literal_eval(text.split("\n")[2])]


@pytest.mark.parametrize(
    ("name", "value", "threshold", "is_breach"),
    [
        ("JensenShannonDistance", 0.2, 0.1, True),
        ("JensenShannonDistance", 0.1, 0.1, False),
        ("NormalizedWassersteinDistance", 0.05, 0.1, False),
        ("TwoSampleKolmogorovSmirnovTest", 0.01, 0.05, True),
        ("TwoSampleKolmogorovSmirnovTest", 0.2, 0.05, False),
        ("PearsonsChiSquaredTest", 0.01, 0.05, True),
        ("NormalizedDiscountedCumulativeGain", 0.8, 0.9, True),
        ("AggregatedFluencyPassRate", 0.6, 0.7, True),
        ("AverageCoherenceScore", 3, 4, True),
        # Upside down, and so it is in the component.
        ("Accuracy", 0.95, 0.9, True),
        ("Accuracy", 0.5, 0.9, False),
        ("RootMeanSquaredError", 3, 2, True),
        ("NullValueRate", None, 0.1, False),
        ("NullValueRate", 0.2, None, False),
        ("NullValueRate", "", 0.1, False),
        ("NullValueRate", 0.2, "", False),
        ("NullValueRate", "0.2", "0.1", True),
        ("NullValueRate", "high", "0.1", False),
        ("AggregatedFluencyPassRate", "NaN", "0.7", False),
        ("NullValueRate", "NaN", "0.7", True),
    ],
)
def test_a_breach_is_decided_as_the_component_does(name, value, threshold, is_breach):
    text = breach_text("a_signal", [metric(name, value, threshold)])
    assert (text is not None) == is_breach


def test_a_breach_is_told_in_the_words_of_the_component():
    assert breach_text("name", [metric("metics", 5.6, 4.6, group="1"), CALM]) == (
        "The signal 'name' has failed due to one or more features violating metric thresholds.\n"
        "The feature names and their corresponding computed metric values violating the threshold "
        'are \n[\'{"metric_value":5.6,"metric_name":"metics","threshold_value":4.6,"group":"1"}\']'
        "\n"
    )
    assert '"threshold_value":1.0E-5}' in breach_text("s", [metric("m", 2, 0.00001)])
    assert '"metric_value":1.23456789E9,' in breach_text("s", [metric("m", 1234567890, 1)])


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1),
            st.floats(allow_nan=False, allow_infinity=False, min_value=0),
        ),
        min_size=1,
    )
)
def test_every_breach_can_be_read_back_from_the_tag(features):
    rows = [metric("NullValueRate", value, -1.0, group=group) for group, value in features]
    text = breach_text("s", rows)
    assert rows_of(text) == rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_ends_with_its_evaluation_and_goes_by_its_name(kind):
    whole, short = nodes_of(kind, is_whole=True), nodes_of(kind, is_whole=False)
    assert whole[-3:] == short
    assert short[-1].component == EVALUATOR
    assert kind_of(f"churn-{kind.replace('_', '-')}".upper()) == kind


def test_a_monitor_runs_a_preprocessor_and_a_pipeline_for_each_signal(arm, control):
    told = control.monitor_run(
        "churn-monitor",
        signals={"churn_data_drift": [DRIFT, CALM], "quality": {"kind": "data_quality"}},
        window_start=datetime(2026, 1, 1, tzinfo=UTC),
        window_end=datetime(2026, 1, 2, tzinfo=UTC),
        at=datetime(2026, 1, 2, 3, 15, tzinfo=UTC),
    )
    arm.pass_time()
    runs = Runs(control)
    root, (preprocessor,) = runs[told["run"]], told["preprocessors"]
    assert root.statuses == ["Preparing", "Running", "Finalizing", "Completed"]
    assert root.properties["azureml.runsource"] == "azureml.PipelineRun"
    assert root.properties["azureml.DevPlatv2"] == "true"
    assert runs[preprocessor].properties["azureml.moduleName"] == (
        "model_data_collector_preprocessor"
    )
    drift = told["signals"]["churn_data_drift"]
    pipeline = runs[drift["pipeline"]]
    assert pipeline.properties["azureml.pipelinerunid"] == root.id
    assert pipeline.properties["azureml.moduleName"] == "data_drift_signal_monitor"
    assert json.loads(pipeline.properties["azureml.parameters"]) == {
        "monitor_name": "churn-monitor",
        "signal_name": "churn_data_drift",
        "monitor_current_time": "2026-01-02T03:15:00Z",
        "notification_emails": "",
    }
    evaluation = runs[drift["evaluation"]]
    assert evaluation.properties["azureml.moduleName"] == EVALUATOR
    assert evaluation.properties["azureml.pipelinerunid"] == drift["pipeline"]
    assert evaluation.properties["azureml.rootpipelinerunid"] == root.id
    assert evaluation.properties["azureml.runsource"] == "azureml.StepRun"
    quality = runs[told["signals"]["quality"]["pipeline"]]
    assert quality.properties["azureml.moduleName"] == "data_quality_signal_monitor"
    names = [run.properties.get("azureml.moduleName") for run in runs.children_of(pipeline)]
    assert names == ["data_drift_compute_metrics", "model_monitor_output_metrics", EVALUATOR]


def test_a_breach_is_a_tag_on_the_evaluation_which_completes(arm, control):
    told = control.monitor_run("m", signals={"drift": [DRIFT, CALM], "calm": [CALM]})
    arm.pass_time()
    runs = Runs(control)
    evaluation = runs[told["signals"]["drift"]["evaluation"]]
    tagged = [event for event in evaluation.events if BREACH_TAG in event["data"]["runTags"]]
    assert [kind_and_status(event) for event in tagged] == [
        ("RunStatusChanged", "Finalizing"),
        ("RunStatusChanged", "Completed"),
        ("RunCompleted", None),
    ]
    assert [row["group"] for row in rows_of(evaluation.tags[BREACH_TAG])] == ["age"]
    assert BREACH_TAG not in runs[told["signals"]["calm"]["evaluation"]].tags
    assert runs[told["run"]].tags == {}
    assert runs[told["run"]].statuses[-1] == "Completed"


def test_a_breach_tags_the_root_run_too_where_somebody_gets_mail(arm, control):
    told = control.monitor_run("m", signals={"drift": [DRIFT]}, emails=["a@x.org", "b@x.org"])
    arm.pass_time()
    runs = Runs(control)
    assert runs[told["run"]].tags == {
        "azureml.notification.email.address": "a@x.org,b@x.org",
        "azureml.modelmonitor.threshold.breached.drift": runs[
            told["signals"]["drift"]["evaluation"]
        ].tags[BREACH_TAG],
    }


def test_a_window_without_data_is_told_by_a_tag_on_the_root_run_which_fails(arm, control):
    told = control.monitor_run("m", signals={"drift": "no data", "quality": [CALM]})
    arm.pass_time()
    runs = Runs(control)
    good, bad = (runs[run_id] for run_id in told["preprocessors"])
    assert (good.statuses[-1], bad.statuses[-1]) == ("Completed", "Failed")
    assert bad.tags == {}
    assert runs[told["run"]].statuses[-1] == "Failed"
    assert runs[told["run"]].tags == {
        "azureml.modelmonitor.error": "No data found for the given time window."
    }
    assert list(told["signals"]) == ["quality"]
    assert runs[told["signals"]["quality"]["evaluation"]].statuses[-1] == "Completed"


def test_a_signal_that_fails_is_never_evaluated_and_the_others_are(arm, control):
    told = control.monitor_run(
        "m", signals={"drift": {"error": "out of memory"}, "quality": [DRIFT]}
    )
    arm.pass_time()
    runs = Runs(control)
    assert runs[told["signals"]["drift"]["pipeline"]].statuses[-1] == "Failed"
    assert told["signals"]["drift"]["evaluation"] not in runs
    assert BREACH_TAG in runs[told["signals"]["quality"]["evaluation"]].tags
    assert runs[told["run"]].statuses[-1] == "Failed"


def test_evaluations_fail_on_a_breach_where_they_are_told_to(arm, control):
    told = control.monitor_run("m", signals={"a": [DRIFT], "b": [DRIFT]}, fail_on_breach=True)
    arm.pass_time()
    runs = Runs(control)
    for signal in told["signals"].values():
        evaluation = runs[signal["evaluation"]]
        assert kind_and_status(evaluation.events[-1]) == ("RunStatusChanged", "Failed")
        assert BREACH_TAG in evaluation.tags
    assert runs[told["run"]].statuses[-1] == "Failed"


def test_events_of_evaluations_are_raised_again_under_their_ids(arm, control):
    told = control.monitor_run("m", signals={"drift": [DRIFT]}, repeat_events=2)
    arm.pass_time()
    events = Runs(control)[told["signals"]["drift"]["evaluation"]].events
    ids = [event["id"] for event in events]
    assert len(ids) == 3 * len(set(ids))
    assert all(ids.count(one) == 3 for one in ids)


def test_steps_may_hide_their_root_and_monitor_and_be_all_of_them(arm, control):
    told = control.monitor_run(
        "m", signals={"a": []}, experiment="monitoring", tell_root=False, every_step=True
    )
    arm.pass_time()
    runs = Runs(control)
    evaluation = runs[told["signals"]["a"]["evaluation"]]
    assert "azureml.rootpipelinerunid" not in evaluation.properties
    assert {event["data"]["experimentName"] for event in evaluation.events} == {"monitoring"}
    assert len(runs.children_of(runs[told["signals"]["a"]["pipeline"]])) == 8


def test_a_dataset_monitor_raises_its_event_in_the_captured_shape(arm, control):
    told = control.dataset_drift("churn-drift", coefficient=0.83, id="d-1", run_id="d-1_7")
    (event,) = (entry["event"] for entry in control.events())
    assert event == told
    assert event["eventType"] == "Microsoft.MachineLearningServices.DatasetDriftDetected"
    assert event["subject"] == "datadrift/d-1/run/d-1_7"
    assert event["data"].keys() == {
        "dataDriftId",
        "dataDriftName",
        "runId",
        "baseDatasetId",
        "targetDatasetId",
        "driftCoefficient",
        "startTime",
        "endTime",
    }
    assert event["data"]["driftCoefficient"] == 0.83


@pytest.mark.parametrize(
    "wrong",
    [
        {"signals": {"a": "nothing"}},
        {"signals": {"a": [{"metric_value": 1}]}},
        {"signals": {"a": {"kind": "gossip"}}},
        {"signals": {"a": {"metric": []}}},
        {"window_start": "yesterday"},
        {"workspace": "ws-z"},
        {"signals": []},
    ],
)
def test_a_monitor_that_nobody_understands_is_refused(control, wrong):
    with pytest.raises(ValueError, match=r".+"):
        control.monitor_run("m", **wrong)
    with pytest.raises(ValueError, match="monitor"):
        control.monitor_run("")


class Runs:
    """The runs that events told of; each has its events, and what the last of them said."""

    def __init__(self, control):
        self._runs = {}
        for entry in control.events():
            event = entry["event"]
            run_id = event["data"]["runId"]
            self._runs.setdefault(run_id, Told(run_id)).events.append(event)

    def __getitem__(self, run_id):
        return self._runs[run_id]

    def __contains__(self, run_id):
        return run_id in self._runs

    def children_of(self, run):
        parent = "azureml.pipelinerunid"
        return [r for r in self._runs.values() if r.properties.get(parent) == run.id]


class Told:
    def __init__(self, run_id):
        self.id = run_id
        self.events = []

    @property
    def statuses(self):
        told = (event["data"].get("runStatus") for event in self.events)
        return [status for status in told if status]

    @property
    def tags(self):
        return self.events[-1]["data"]["runTags"]

    @property
    def properties(self):
        return self.events[-1]["data"]["runProperties"]


def kind_and_status(event):
    return event["eventType"].rpartition(".")[2], event["data"].get("runStatus")
