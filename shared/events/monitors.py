"""Reports of monitors, as drifts: from a model monitor's runs, a dataset monitor, and own events.

Source on a model monitor (v2): Azure/azureml-assets, assets/model_monitoring/components.
Its last step of each signal gets a tag when a metric breaches, and still completes. Several events
carry the tag; only the one in which the run has ended counts.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from shared.base.incoming import parse_time
from shared.events.breaches import METRICS_MAX, Side, bare, features_of, judge_metric, read_breach
from shared.events.fields import Fields, one_line, refuse
from shared.events.model import (
    Drift,
    DriftDetected,
    DriftSource,
    DriftState,
    Metric,
    Run,
    RunCompleted,
    RunStatusChanged,
)
from shared.events.runs import find_literals, has_ended, lowered

#: The tags of a step that found a breach, and of a failure of the monitor.
BREACH_TAG = "azureml_modelmonitor_threshold_breached"
ERROR_TAG = "azureml.modelmonitor.error"
#: The root run gets this and the signal's name, if the monitor sends e-mail.
_ROOT_BREACH_TAG = "azureml.modelmonitor.threshold.breached."
#: A dataset monitor measures one thing.
DATASET_SIGNAL = "data_drift"
DETAIL_MAX = 1_000

_EVALUATE = bare("model_monitor_evaluate_metrics_threshold")
#: The name of the pipeline of any one signal; it fails with any of its steps.
_SIGNAL = bare("signal_monitor")
#: The inputs of every pipeline of a signal, and of the steps that write its metrics.
_OF_A_SIGNAL = frozenset({"monitor_name", "signal_name"})
#: The other components of a model monitor's run, by all names that they were published under.
#: Source: Azure/azureml-assets at 4b41f8cc (July 2026), and its earlier names.
_COMPONENTS = frozenset(
    bare(name)
    for name in (
        *("model_monitor_evaluate_metrics_threshold", "model_data_collector_preprocessor"),
        *("genai_mdc_preprocessor", "data_drift_compute_metrics", "data_quality_compute_metrics"),
        *("data_quality_metrics_joiner", "data_quality_statistics"),
        *("data_quality_data_statistics", "feature_attribution_drift_compute_metrics"),
        *("feature_importance_metrics", "genai_token_statistics_compute_metrics"),
        *("token_statistics_compute_metrics", "model_performance_compute_metrics"),
        *("annotation_compute_histogram", "annotation_compute_metrics"),
        *("gsq_annotation_compute_histogram", "gsq_annotation_compute_metrics"),
        *("gsq_input_schema_adaptor", "input_schema_adaptor"),
        *("model_monitor_compute_histogram", "model_monitor_compute_histogram_buckets"),
        *("model_monitor_create_manifest", "model_monitor_data_joiner"),
        *("model_monitor_feature_selector", "model_monitor_metric_outputter"),
        *("model_monitor_output_metrics", "model_monitor_azmon_metric_publisher"),
        *("model_monitor_action_analyzer", "model_monitor_action_detector"),
        *("action_analyzer_correlation_test", "action_analyzer_identify_problem_traffic"),
        *("action_analyzer_metrics_calculation", "action_analyzer_output_actions"),
    )
)
_REGISTERED = re.compile(r"/components/([^/]+)", re.IGNORECASE)


def has_breach_tag(tags: Mapping[str, str]) -> bool:
    """Say whether a run's tags say that a model monitor found a breach in it, or below it."""
    return any(
        value.strip() and (key == BREACH_TAG or key.startswith(_ROOT_BREACH_TAG))
        for key, value in lowered(tags).items()
    )


def find_drift(
    event: RunCompleted | RunStatusChanged, *, is_of_monitor: bool = False
) -> DriftDetected | None:
    """Return the drift that the event of a run reports; None for nearly every run.

    A run that has ended with the tag of a breach is a breach, whether it completed or failed. An
    evaluating step that completed without the tag found no breach; the whole window has one such
    event. A monitor's step that failed, or any run with the tag of an error, means that the monitor
    is broken. With `is_of_monitor` the run is known to be a part of a monitor's run. The window is
    the root run, as far as the event knows it: see Run.
    """
    run = event.run
    status = run.status or ("Completed" if isinstance(event, RunCompleted) else "")
    if not has_ended(status):
        return None
    tags = lowered(run.tags)
    component = _component(run.step)
    if breach := tags.get(BREACH_TAG, "").strip():
        return _drift_event(event, run.id, _breach(run, breach))
    if error := tags.get(ERROR_TAG, "").strip():
        return _drift_event(event, _broken_id(run), _broken(run, error))
    if status == "Failed" and (is_of_monitor or _is_of_monitor(run, component)):
        step = run.step or "without a name"
        return _drift_event(
            event, _broken_id(run), _broken(run, f"the monitor's step {step} failed")
        )
    if status == "Completed" and component == _EVALUATE:
        drift = _drift(run, DriftState.RECOVERED, signal="")
        return _drift_event(event, drift.window, drift)
    return None


def _is_of_monitor(run: Run, component: str) -> bool:
    if component in _COMPONENTS or component.endswith(_SIGNAL):
        return True
    return find_literals(run).keys() >= _OF_A_SIGNAL


def _drift_event(event: RunCompleted | RunStatusChanged, id_: str, drift: Drift) -> DriftDetected:
    # To the minute: a run's several events are moments apart, and have to share one record.
    time = event.time.replace(second=0, microsecond=0)
    return DriftDetected(id=id_, time=time, workspace=event.workspace, drift=drift)


def _component(step: str) -> str:
    """Return the component that a step runs, without version, registry, case and punctuation."""
    registered = _REGISTERED.search(step)
    name = registered[1] if registered else step.removeprefix("azureml:")
    return bare(name.partition(":")[0].partition("@")[0])


def _broken_id(run: Run) -> str:
    return f"{run.id}:{DriftState.BROKEN}"


def _broken(run: Run, why: str) -> Drift:
    signal = one_line(find_literals(run).get("signal_name", ""))
    detail = one_line(why, most=DETAIL_MAX)
    return replace(_drift(run, DriftState.BROKEN, signal=signal), detail=detail)


def _breach(run: Run, text: str) -> Drift:
    found = read_breach(text)
    signal = found.signal or one_line(find_literals(run).get("signal_name", ""))
    state, detail = DriftState.BREACH, ""
    if not found.metrics:
        detail = "no metric can be read from the monitor's tag"
    elif not found.is_whole:
        detail = "the monitor's tag is cut off, or some of its metrics can't be read"
    elif not any(metric.breached for metric in found.metrics):
        # Source: since 7fafa57b0c (#2869) of May 2024 evaluate_metrics_threshold.py reports
        # accuracy above its threshold as a breach.
        state = DriftState.RECOVERED
        names = ", ".join(dict.fromkeys(metric.name for metric in found.metrics))
        detail = f"the monitor reports a breach, but every metric is on its good side: {names}"
    return replace(
        _drift(run, state, signal=signal),
        metrics=found.metrics,
        features=features_of(found.metrics),
        detail=one_line(detail, most=DETAIL_MAX),
    )


def _drift(run: Run, state: DriftState, *, signal: str) -> Drift:
    literals = find_literals(run)
    # Evaluating steps have no other name, and all runs of a monitor must give the same one.
    monitor = run.experiment_name or one_line(literals.get("monitor_name", ""))
    return Drift(
        monitor=monitor or signal or run.root_id,
        signal=signal,
        state=state,
        source=DriftSource.MODEL_MONITOR,
        window=run.root_id,
        window_start=parse_time(literals.get("data_window_start", "")[:64]),
        window_end=parse_time(literals.get("data_window_end", "")[:64]),
        run_id=run.id,
    )


def parse_dataset_drift(data: Fields, event_id: str) -> tuple[str, Drift]:
    """Read the data of DatasetDriftDetected (SDK v1); return the drift after its event's id.

    The event's id is the run's, if there is one, so a drift that is reported twice is one event.
    Raises: EventMalformed.
    """
    if data.get("dataDriftName") in (None, ""):
        data.require("dataDriftId")
    monitor = data.name_or_empty("dataDriftName") or data.name("dataDriftId")
    run_id = data.name_or_empty("runId", forbidden="/")
    metric = judge_metric("drift_coefficient", data.number("driftCoefficient"), None)
    drift = Drift(
        monitor=monitor,
        signal=DATASET_SIGNAL,
        state=DriftState.BREACH,
        source=DriftSource.DATASET_MONITOR,
        window=run_id or event_id,
        window_start=data.time_or_none("startTime"),
        window_end=data.time_or_none("endTime"),
        run_id=run_id,
        metrics=(metric,),
        baseline=data.name_or_empty("baseDatasetId"),
        target=data.name_or_empty("targetDatasetId"),
    )
    return run_id or event_id, drift


def parse_own_drift(data: Fields, event_id: str) -> Drift:
    """Read the data of Signalbox.DriftDetected, an event that people publish themselves.

    Its own state holds, even against its metrics. Its window is named by `window.id`, else by the
    run, else by its bounds; without any of these it is the event's own.

    Raises: EventMalformed.
    """
    state = _state(data)
    metrics = tuple(
        _own_metric(item, f"metrics[{number}]", state)
        for number, item in enumerate(_listed(data, "metrics"))
    )
    window = _object(data, "window")
    start, end = window.time_or_none("start"), window.time_or_none("end")
    if start is not None and end is not None and end < start:
        window.refuse("end", "is before window.start")
    run_id = data.name_or_empty("run", forbidden="/")
    named = window.label("id") if window.get("id") not in (None, "") else ""
    detail = data.get("detail")
    if detail is not None and not isinstance(detail, str):
        data.refuse("detail", "is not a string")
    return Drift(
        monitor=data.name("monitor"),
        signal=data.name_or_empty("signal"),
        state=state,
        source=DriftSource.CUSTOM,
        window=named or run_id or _bounds(start, end) or event_id,
        window_start=start,
        window_end=end,
        run_id=run_id,
        metrics=metrics,
        features=features_of(metrics),
        detail=one_line(detail or "", most=DETAIL_MAX),
    )


def _bounds(start: datetime | None, end: datetime | None) -> str:
    return f"{start.isoformat()} {end.isoformat()}" if start and end else ""


def _state(data: Fields) -> DriftState:
    state = data.name_or_empty("state") or DriftState.BREACH
    try:
        return DriftState(state.lower())
    except ValueError:
        data.refuse("state", f"is none of {', '.join(DriftState)}")


def _listed(data: Fields, key: str) -> list[object]:
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        data.refuse(key, "is not a list")
    if len(value) > METRICS_MAX:
        data.refuse(key, f"has {len(value):,} items; {METRICS_MAX:,} are allowed")
    return value


def _object(data: Fields, key: str) -> Fields:
    value = data.get(key)
    if value is not None and not isinstance(value, Mapping):
        data.refuse(key, "is not an object")
    return Fields(key, value or {}, prefix=f"{key}.")


def _own_metric(item: object, where: str, state: DriftState) -> Metric:
    if not isinstance(item, Mapping):
        refuse(where, "is not an object")
    data = Fields(where, item, prefix=f"{where}.")
    data.require("name", "value")
    metric = judge_metric(
        data.name("name"),
        data.number("value"),
        data.number_or_none("threshold"),
        data.name_or_empty("feature"),
        _worse(data),
    )
    has_no_say = metric.threshold is None and state is not DriftState.BREACH
    return replace(metric, breached=False) if has_no_say else metric


def _worse(data: Fields) -> Side | None:
    side = data.name_or_empty("worse").lower()
    if side == "higher":
        return "higher"
    if side == "lower":
        return "lower"
    return data.refuse("worse", "is neither higher nor lower") if side else None
