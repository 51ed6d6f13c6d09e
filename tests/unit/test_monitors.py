"""Three kinds of event become drifts of one shape, and most events of runs become none."""

import dataclasses
import json
import re
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.base.errors import EventMalformed
from shared.events.breaches import METRICS_MAX, TEXT_MAX, judge_metric
from shared.events.envelopes import parse_envelope, parse_events, read_body
from shared.events.model import (
    Drift,
    DriftDetected,
    DriftSource,
    DriftState,
    Event,
    RunCompleted,
    RunStatusChanged,
    UnknownEvent,
    as_data,
)
from shared.events.monitors import BREACH_TAG, ERROR_TAG, has_breach_tag
from tests.searching import examples
from tests.unit.test_envelopes import EVENTS, body_of, event_of, raw_of, with_data, with_top

ROOT = "5e0c7b1a-3d2f-4a86-b9c4-7f1e2d3c4b5a"
RUN = "8f2c1f0e-6a57-4a2f-9c1b-3c9d8a7b6e5d"
MONITOR = "credit_card_fraud_monitor"
EVALUATE = "model_monitor_evaluate_metrics_threshold"


def events_of(name: str) -> list[tuple[Event | UnknownEvent, ...]]:
    """The events of each envelope in a payload file."""
    return [parse_events(parse_envelope(raw)) for raw in read_body(body_of(name))]


def run_event(
    status: str = "Completed",
    *,
    step: str = EVALUATE,
    tags: dict[str, object] | None = None,
    completed: bool = False,
    **properties: object,
) -> dict[str, Any]:
    """An event of a step of a monitor."""
    raw = read_body(body_of("model_monitor.breach.event_grid"))[2]
    data = {key: value for key, value in raw["data"].items() if key != "RunTags"}
    raw["data"] = data | {"runStatus": status, "runTags": tags or {}}
    raw["data"]["RunProperties"] |= {"azureml.moduleName": step} | properties
    if completed:
        raw["eventType"] = raw["eventType"].replace("RunStatusChanged", "RunCompleted")
        del raw["data"]["runStatus"]
    return raw


def drift_in(raw: dict[str, Any]) -> DriftDetected | None:
    """Return the drift events in an envelope, besides the event that arrived."""
    arrived, *more = parse_events(parse_envelope(raw))
    assert isinstance(arrived, RunCompleted | RunStatusChanged)
    assert len(more) <= 1
    assert all(isinstance(event, DriftDetected) for event in more)
    return next((event for event in more if isinstance(event, DriftDetected)), None)


def known_drift(raw: dict[str, Any]) -> DriftDetected:
    """The drift of which an envelope tells."""
    event = drift_in(raw)
    assert event is not None
    return event


# Breach


@pytest.mark.parametrize("schema", ["event_grid", "cloud_event"])
def test_a_breach_told_several_times_is_one_event(schema: str) -> None:
    told = events_of(f"model_monitor.breach.{schema}")
    kinds = [[type(event).__name__ for event in events] for events in told]
    assert kinds == [
        ["RunStatusChanged"],
        ["RunStatusChanged"],
        ["RunStatusChanged", "DriftDetected"],
        ["RunCompleted", "DriftDetected"],
    ]
    drifts = [event for events in told for event in events if isinstance(event, DriftDetected)]
    assert {event.key for event in drifts} == {drifts[0].key}
    assert drifts[0].id == RUN
    assert drifts[0].drift == drifts[1].drift


def test_a_breach_tells_all_that_the_event_shows() -> None:
    (_, event) = events_of("model_monitor.breach.event_grid")[2]
    assert isinstance(event, DriftDetected)
    assert event.drift == Drift(
        monitor=MONITOR,
        signal=f"{MONITOR}_data_drift",
        state=DriftState.BREACH,
        source=DriftSource.MODEL_MONITOR,
        window=ROOT,
        run_id=RUN,
        metrics=(
            judge_metric("NormalizedWassersteinDistance", 0.3127, 0.1, "credit_limit"),
            judge_metric("JensenShannonDistance", 0.2204, 0.1, "cardholder's state"),
        ),
        features=("credit_limit", "cardholder's state"),
    )


@pytest.mark.parametrize("key", [BREACH_TAG, BREACH_TAG.upper(), BREACH_TAG.title()])
@pytest.mark.parametrize("status", ["Completed", "completed", "Failed", "Canceled"])
def test_a_run_that_ended_with_the_tag_is_a_breach_whatever_became_of_it(
    status: str, key: str
) -> None:
    event = known_drift(run_event(status, tags={key: "has failed"}))
    assert (event.drift.state, event.drift.metrics) == (DriftState.BREACH, ())
    assert event.drift.detail == "no metric can be read from the monitor's tag"


@pytest.mark.parametrize(
    "status",
    ["NotStarted", "Running", "Finalizing", "CancelRequested", "Paused", "Unheard-of"],
)
def test_the_time_of_a_run_that_has_not_ended_will_come(status: str) -> None:
    tags: dict[str, object] = {BREACH_TAG: "has failed", ERROR_TAG: "No data"}
    assert drift_in(run_event(status, tags=tags)) is None


def test_a_completed_run_needs_no_status() -> None:
    event = known_drift(run_event(completed=True, tags={BREACH_TAG: "has failed"}))
    assert event.drift.state is DriftState.BREACH


def test_a_tag_on_any_step_is_a_breach() -> None:
    event = known_drift(run_event(step="a_signal_of_ours", tags={BREACH_TAG: "has failed"}))
    assert event.drift.state is DriftState.BREACH


def test_a_breach_whose_metrics_are_all_fine_is_none() -> None:
    ((_, event),) = events_of("model_monitor.inverted_accuracy")
    assert isinstance(event, DriftDetected)
    assert event.drift.state is DriftState.RECOVERED
    assert event.drift.signal == f"{MONITOR}_performance"
    assert [metric.breached for metric in event.drift.metrics] == [False]
    assert event.drift.features == ()
    assert "every metric is on its good side: Accuracy" in event.drift.detail


def test_one_metric_that_breaches_makes_a_breach() -> None:
    items = [
        json.dumps({"metric_name": name, "metric_value": 0.95, "threshold_value": 0.9})
        for name in ("Accuracy", "MeanAbsoluteError")
    ]
    drift = known_drift(run_event(tags={BREACH_TAG: f"The signal 's' has failed {items}"})).drift
    assert drift.state is DriftState.BREACH
    assert [metric.breached for metric in drift.metrics] == [False, True]


def test_a_tag_that_is_cut_off_stays_a_breach() -> None:
    ((_, event),) = events_of("model_monitor.truncated_tag")
    assert isinstance(event, DriftDetected)
    assert event.drift.state is DriftState.BREACH
    assert event.drift.features == ("credit_limit",)
    assert "cut off" in event.drift.detail
    item = json.dumps({"metric_name": "Accuracy", "metric_value": 1, "threshold_value": 0.9})
    cut = known_drift(run_event(tags={BREACH_TAG: f"['{item}', '{{"}))
    assert cut.drift.state is DriftState.BREACH, "who knows what comes after the cut"


def test_a_hostile_tag_is_a_breach_of_which_nothing_is_known() -> None:
    ((_, event),) = events_of("model_monitor.hostile_tag")
    assert isinstance(event, DriftDetected)
    assert (event.drift.state, event.drift.metrics) == (DriftState.BREACH, ())
    assert event.about.isprintable()
    assert "hunter2" not in str(event.drift)


@settings(max_examples=examples(200))
@given(st.text(st.characters() | st.sampled_from("[]{}'\"\\")), st.sampled_from(["Failed", ""]))
def test_any_tag_is_read_or_left(text: str, step: str) -> None:
    raw = run_event(step=step, tags={BREACH_TAG: text, ERROR_TAG: text})
    try:
        events = parse_events(parse_envelope(raw))
    except EventMalformed:
        raise AssertionError("a tag's text is no reason to refuse an event") from None
    for event in events:
        assert isinstance(event, Event)
        assert event.about.isprintable()
        assert json.dumps(as_data(event), allow_nan=False)


# Monitors and windows


@pytest.mark.parametrize(
    ("properties", "monitor"),
    [
        ({}, ROOT),
        ({"azureml.parameters": '{"monitor_name": "fraud"}'}, "fraud"),
        ({"AzureML.Parameters": '{"Monitor_Name": "fraud"}'}, "fraud"),
        ({"azureml.parameters": '{"monitor_name": 5}'}, ROOT),
        ({"azureml.parameters": '{"monitor_name": ""}'}, ROOT),
        ({"azureml.parameters": "[]"}, ROOT),
        ({"azureml.parameters": "{"}, ROOT),
        ({"azureml.parameters": '{"a":' * 5_000}, ROOT),
    ],
)
def test_a_monitor_is_known_by_its_experiment_else_by_its_input(
    properties: dict[str, object], monitor: str
) -> None:
    raw = run_event(tags={BREACH_TAG: "x"}, **properties)
    assert known_drift(raw).drift.monitor == MONITOR
    raw["data"]["experimentName"] = None
    assert known_drift(raw).drift.monitor == monitor


def test_without_an_experiment_a_monitor_is_its_signal_or_its_window() -> None:
    raw = run_event(tags={BREACH_TAG: "The signal 's' has failed"})
    raw["data"]["experimentName"] = None
    assert known_drift(raw).drift.monitor == "s"
    raw["data"]["runTags"] = {BREACH_TAG: "?"}
    assert known_drift(raw).drift.monitor == ROOT


def test_a_signal_that_the_tag_does_not_tell_is_the_input() -> None:
    literals = json.dumps({"signal_name": "data_drift"})
    raw = run_event(tags={BREACH_TAG: "?"}, **{"azureml.parameters": literals})
    assert known_drift(raw).drift.signal == "data_drift"


def test_the_window_is_bounded_where_the_event_shows_it() -> None:
    ((_, event),) = events_of("model_monitor.no_data")
    assert isinstance(event, DriftDetected)
    assert event.drift.window_start == datetime(2026, 5, 13, tzinfo=UTC)
    assert event.drift.window_end == datetime(2026, 5, 14, tzinfo=UTC)


def test_two_signals_of_a_window_are_two_events_of_it() -> None:
    raws = [run_event(tags={BREACH_TAG: f"The signal '{name}' has failed"}) for name in "ab"]
    raws[1]["data"]["runId"] = "another-step"
    one, other = (known_drift(raw) for raw in raws)
    assert one.key != other.key
    assert one.drift.window == other.drift.window == ROOT


# Recovered


def test_a_window_without_a_breach_is_told_once_whatever_number_of_signals_it_has() -> None:
    told = [event for events in events_of("model_monitor.recovered") for event in events[1:]]
    one, other = told
    assert isinstance(one, DriftDetected)
    assert isinstance(other, DriftDetected)
    assert one.key == other.key
    assert (one.id, one.drift.state, one.drift.signal) == (ROOT, DriftState.RECOVERED, "")
    assert dataclasses.replace(one.drift, run_id=other.drift.run_id) == other.drift


@pytest.mark.parametrize(
    "step",
    [
        EVALUATE,
        f"{EVALUATE}:0.3.24",
        f"{EVALUATE}@latest",
        f"azureml:{EVALUATE}:0.3.24",
        f"azureml://registries/azureml/components/{EVALUATE}/versions/0.3.24",
        "Model Monitor - Evaluate Metrics Threshold",
        "ModelMonitorEvaluateMetricsThreshold",
    ],
)
def test_the_evaluating_step_is_known_in_every_spelling(step: str) -> None:
    assert known_drift(run_event(step=step)).drift.state is DriftState.RECOVERED


@pytest.mark.parametrize(
    ("status", "step"),
    [
        ("Canceled", EVALUATE),
        ("Completed", "data_drift_compute_metrics"),
        ("Completed", "data_drift_signal_monitor"),
        ("Completed", "train"),
        ("Failed", "train"),
        ("Completed", ""),
        ("Failed", ""),
    ],
)
def test_other_runs_tell_nothing_of_drift(status: str, step: str) -> None:
    assert drift_in(run_event(status, step=step)) is None


def test_a_blank_tag_is_none() -> None:
    blank = run_event(tags={BREACH_TAG: " ", ERROR_TAG: ""})
    assert known_drift(blank).drift.state is DriftState.RECOVERED


# Broken


def test_a_window_without_data_is_a_broken_monitor() -> None:
    ((_, event),) = events_of("model_monitor.no_data")
    assert isinstance(event, DriftDetected)
    assert event.id == f"{ROOT}:broken"
    assert (event.drift.state, event.drift.monitor) == (DriftState.BROKEN, MONITOR)
    assert event.drift.detail == "No data found for the given time window."


@pytest.mark.parametrize(
    "step",
    [
        "data_drift_compute_metrics",
        "data_quality_signal_monitor",
        "model_data_collector_preprocessor:0.4.5",
        "Feature Attribution Drift - Signal Monitor",
        "a_signal_of_tomorrow_signal_monitor",
        "gsq_annotation_compute_histogram",
        "gsq_input_schema_adaptor",
        "data_quality_data_statistics",
        "token_statistics_compute_metrics",
        "action_analyzer_output_actions",
        EVALUATE,
    ],
)
def test_a_step_of_a_monitor_that_failed_is_a_broken_monitor(step: str) -> None:
    event = known_drift(run_event("Failed", step=step))
    assert event.id == f"{RUN}:broken"
    assert event.drift.state is DriftState.BROKEN
    assert event.drift.detail == f"the monitor's step {step} failed"
    assert (event.drift.window, event.drift.run_id) == (ROOT, RUN)


def test_a_step_that_is_given_a_signal_is_a_monitor_s_whatever_it_is_called() -> None:
    literals = {"monitor_name": "churn-monitor", "signal_name": "churn_custom", "x": "1"}
    event = known_drift(
        run_event("Failed", step="my_signal", **{"azureml.parameters": json.dumps(literals)})
    )
    assert (event.drift.state, event.drift.signal) == (DriftState.BROKEN, "churn_custom")


def test_a_failed_step_is_found_in_a_payload() -> None:
    ((_, event),) = events_of("model_monitor.failed_step")
    assert isinstance(event, DriftDetected)
    assert "data_drift_compute_metrics" in event.drift.detail


def test_a_breach_is_told_before_an_error() -> None:
    tags: dict[str, object] = {BREACH_TAG: "?", ERROR_TAG: "odd"}
    assert known_drift(run_event("Failed", tags=tags)).drift.state is DriftState.BREACH


def test_an_error_s_text_is_kept_clean_and_short() -> None:
    tags: dict[str, object] = {"AzureML.ModelMonitor.Error": "sig\x1b=?sig=abc\n" + "x" * 90_000}
    detail = known_drift(run_event("Failed", tags=tags)).drift.detail
    assert len(detail) == 1_000
    assert detail.isprintable()
    assert "abc" not in detail


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({BREACH_TAG: "x"}, True),
        ({BREACH_TAG.upper(): "x"}, True),
        ({"azureml.modelmonitor.threshold.breached.data_drift": "x"}, True),
        ({BREACH_TAG: ""}, False),
        ({ERROR_TAG: "x"}, False),
        ({f"{BREACH_TAG}2": "x"}, False),
        ({}, False),
    ],
)
def test_a_run_in_which_a_breach_was_found_says_so(tags: dict[str, str], told: bool) -> None:
    assert has_breach_tag(tags) is told


# Dataset drift


def test_a_drift_told_twice_is_one_event() -> None:
    one = event_of(raw_of("dataset_drift_detected.event_grid"))
    again = event_of(with_top("dataset_drift_detected.event_grid", id="another"))
    assert one.key == again.key


def test_without_a_run_the_event_is_its_own_window() -> None:
    event = event_of(with_data("dataset_drift_detected", runId=None))
    assert (event.id, event.drift.window, event.drift.run_id) == (
        "2684de79-b145-4dcf-ad2e-6a1db798585f",
        "2684de79-b145-4dcf-ad2e-6a1db798585f",
        "",
    )


def test_a_monitor_without_a_name_is_known_by_its_id() -> None:
    event = event_of(with_data("dataset_drift_detected", dataDriftName=None))
    assert event.drift.monitor == "01d29aa4-e6a4-470a-9ef3-66660d21f8ef"


@pytest.mark.parametrize("key", ["workspace", "workspaceId", "WorkspaceID"])
@pytest.mark.parametrize("name", ["dataset_drift_detected", "drift_detected"])
def test_a_custom_topic_s_event_names_its_workspace(name: str, key: str) -> None:
    expected = event_of(raw_of(f"{name}.event_grid"))
    topic = "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/t"
    changes: dict[str, object] = {"workspace": ..., key: expected.workspace.id}
    assert event_of(with_data(name, **changes) | {"topic": topic}) == expected


@pytest.mark.parametrize("name", ["dataset_drift_detected", "drift_detected"])
@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (..., "source is not the ARM id of a workspace, and the data has no workspace"),
        ("ws", "workspace in the data is not the ARM id of a workspace"),
        (5, "workspace is not a string"),
    ],
)
def test_without_a_workspace_it_is_refused(name: str, told: object, reason: str) -> None:
    with pytest.raises(EventMalformed, match=reason):
        event_of(with_data(name, workspace=told) | {"topic": "/topics/t"})


# Own drift


@pytest.mark.parametrize(
    "type_", ["Signalbox.DriftDetected", "signalbox.driftdetected", "SIGNALBOX.DRIFTDETECTED"]
)
def test_the_type_of_drift_is_known_in_any_casing(type_: str) -> None:
    assert event_of(with_top("drift_detected.event_grid", eventType=type_)) == event_of(
        raw_of("drift_detected.cloud_event")
    )


def test_a_monitor_is_all_that_it_has_to_name() -> None:
    raw = raw_of("drift_detected.cloud_event") | {"data": {"monitor": "churn"}}
    drift = event_of(raw).drift
    assert drift == Drift(
        monitor="churn",
        signal="",
        state=DriftState.BREACH,
        source=DriftSource.CUSTOM,
        window=raw["id"],
    )


@pytest.mark.parametrize("told", ["breach", "Recovered", "BROKEN"])
def test_the_state_of_drift_is_what_its_publisher_says(told: str) -> None:
    for metrics in ([], [{"name": "psi", "value": 0.1, "threshold": 0.2}]):
        event = event_of(with_data("drift_detected", state=told, metrics=metrics))
        assert event.drift.state == told.lower()
        assert not any(metric.breached for metric in event.drift.metrics)


@pytest.mark.parametrize(("state", "breached"), [("breach", True), ("recovered", False)])
def test_a_metric_without_a_threshold_is_what_the_state_is(state: str, breached: bool) -> None:
    metrics = [{"name": "psi", "value": 0.1, "feature": "age"}]
    drift = event_of(with_data("drift_detected", state=state, metrics=metrics)).drift
    assert [metric.breached for metric in drift.metrics] == [breached]
    assert drift.features == (("age",) if breached else ())


@pytest.mark.parametrize(
    ("changes", "window"),
    [
        ({}, "2026-05-13"),
        ({"window": {"id": 17}}, "17"),
        ({"window": {"id": ""}, "run": "run-1"}, "run-1"),
        (
            {"window": {"start": "2026-05-13T00:00:00Z", "end": "2026-05-14"}},
            "2026-05-13T00:00:00+00:00 2026-05-14T00:00:00+00:00",
        ),
        ({"window": {"start": "2026-05-13"}}, "churn-2026-05-13-prediction_drift"),
        ({"window": None}, "churn-2026-05-13-prediction_drift"),
    ],
)
def test_the_window_of_drift_is_named_by_the_best_that_there_is(
    changes: dict[str, object], window: str
) -> None:
    assert event_of(with_data("drift_detected", **changes)).drift.window == window


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"monitor": ...}, "Signalbox.DriftDetected has no monitor; it has workspace, signal"),
        ({"monitor": ""}, "monitor is empty"),
        ({"monitor": ["churn"]}, "monitor is not a string"),
        ({"monitor": "a\nb"}, "monitor holds a character"),
        ({"signal": 5}, "signal is not a string"),
        ({"state": "drifted"}, "state is none of breach, recovered, broken"),
        ({"state": True}, "state is not a string"),
        ({"metrics": {}}, "metrics is not a list"),
        ({"metrics": [{}] * (METRICS_MAX + 1)}, "metrics has 501 items; 500 are allowed"),
        ({"metrics": [5]}, r"metrics\[0\] is not an object"),
        ({"metrics": [{"name": "psi"}]}, r"metrics\[0\] has no value; it has name"),
        ({"metrics": [{"value": 1}]}, r"metrics\[0\] has no name"),
        ({"metrics": [{"name": "psi", "value": "x"}]}, r"metrics\[0\].value is not a finite"),
        (
            {"metrics": [{"name": "psi", "value": 1, "threshold": "nan"}]},
            r"metrics\[0\].threshold is not a finite number",
        ),
        (
            {"metrics": [{"name": "psi", "value": 1, "worse": "up"}]},
            r"metrics\[0\].worse is neither higher nor lower",
        ),
        ({"window": "2026"}, "window is not an object"),
        ({"window": {"start": "soon"}}, "window.start is not a time"),
        (
            {"window": {"start": "2026-05-14", "end": "2026-05-13"}},
            "window.end is before window.start",
        ),
        ({"run": "a/b"}, "run holds a '/'"),
        ({"detail": 5}, "detail is not a string"),
    ],
)
def test_what_can_t_be_used_is_refused_with_the_reason(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(EventMalformed, match=reason):
        event_of(with_data("drift_detected", **changes))


@pytest.mark.parametrize("data", [None, {}, [], "text"])
def test_without_data_it_is_refused(data: object) -> None:
    with pytest.raises(EventMalformed, match="DriftDetected whose data is no object"):
        event_of(with_top("drift_detected.cloud_event", data=data))


def test_a_detail_is_kept_without_secrets() -> None:
    drift = event_of(with_data("drift_detected", detail="password=hunter2\nrow 5")).drift
    assert drift.detail == "password=[redacted] row 5"


def test_every_payload_of_a_monitor_is_there() -> None:
    names = {path.stem for path in EVENTS.glob("model_monitor.*.json")}
    assert names == {
        f"model_monitor.{name}"
        for name in (
            *("breach.event_grid", "breach.cloud_event", "inverted_accuracy", "truncated_tag"),
            *("hostile_tag", "no_data", "failed_step", "recovered"),
        )
    }


def test_the_documented_event_is_what_it_says() -> None:
    page = (EVENTS.parents[1] / "docs" / "explanation" / "drift.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    drift = event_of(json.loads(example)).drift
    assert (drift.monitor, drift.window, drift.run_id) == ("churn", "2026-05-13", "weekly-check-31")
    assert [metric.breached for metric in drift.metrics] == [True, True]
    assert all(f"{item.name}`" in page for item in fields(Drift))
    assert f"{METRICS_MAX} metrics" in page
    assert f"{TEXT_MAX:,} characters" in page
