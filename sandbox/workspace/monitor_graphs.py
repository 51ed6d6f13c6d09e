"""The steps of a model monitor's run, for each kind of signal.

Source: Azure/azureml-assets, assets/model_monitoring/components, the `spec.yaml` of each
`…_signal_monitor`.
"""

from dataclasses import dataclass

PREPROCESSOR = "model_data_collector_preprocessor"
EVALUATOR = "model_monitor_evaluate_metrics_threshold"


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a pipeline: its name there, and the component that it runs."""

    name: str
    component: str


_IMPORTANCES = Node("compute_feature_importances", "feature_importance_metrics")
_SELECTION = Node("feature_selection", "model_monitor_feature_selector")
_DRIFT = Node("compute_drift_metrics", "data_drift_compute_metrics")
_HISTOGRAMS = (
    Node("compute_histogram_buckets", "model_monitor_compute_histogram_buckets"),
    Node("compute_baseline_histogram", "model_monitor_compute_histogram"),
    Node("compute_target_histogram", "model_monitor_compute_histogram"),
)
_QUALITY = Node("join_data_quality_metrics", "data_quality_metrics_joiner")
_ATTRIBUTION = Node("compute_feature_attribution", "feature_attribution_drift_compute_metrics")
_OUTPUT = Node("output_signal_metrics", "model_monitor_output_metrics")
_EVALUATION = Node("evaluate_metric_thresholds", EVALUATOR)

#: The steps between the data and the metrics of a signal, in the order in which they run.
_STEPS: dict[str, tuple[Node, ...]] = {
    "data_drift": (_IMPORTANCES, _SELECTION, *_HISTOGRAMS, _DRIFT),
    "data_quality": (
        _IMPORTANCES,
        _SELECTION,
        Node("compute_baseline_data_statistics", "data_quality_data_statistics"),
        Node("compute_baseline_data_quality", "data_quality_compute_metrics"),
        Node("compute_target_data_quality", "data_quality_compute_metrics"),
        _QUALITY,
    ),
    "prediction_drift": (_SELECTION, *_HISTOGRAMS, _DRIFT),
    "model_performance": (Node("compute_metrics", "model_performance_compute_metrics"),),
    "feature_attribution_drift": (
        Node("compute_baseline_explanations", "feature_importance_metrics"),
        Node("compute_production_explanations", "feature_importance_metrics"),
        _ATTRIBUTION,
    ),
}

KINDS = tuple(_STEPS)


def component_of(kind: str) -> str:
    """Return the pipeline component that measures a kind of signal."""
    return f"{kind}_signal_monitor"


def nodes_of(kind: str, *, is_whole: bool) -> tuple[Node, ...]:
    """Return the steps of a kind of signal: all of them, or the three that matter.

    The three are the step that yields the metrics, the one that writes them, the evaluation.
    """
    steps = _STEPS[kind]
    return (*(steps if is_whole else steps[-1:]), _OUTPUT, _EVALUATION)


def kind_of(signal: str) -> str:
    """Guess the kind of a signal from its name, in any casing."""
    plain = signal.lower().replace("_", "").replace("-", "").replace(" ", "")
    # The longest first: feature attribution drift is no prediction drift.
    kinds = sorted(KINDS, key=len, reverse=True)
    return next((k for k in kinds if k.replace("_", "") in plain), "data_drift")
