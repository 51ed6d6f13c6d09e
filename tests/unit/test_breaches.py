"""A metric is held against its threshold on its own bad side; a breach's text is read safely."""

import json
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.events.breaches import (
    EFFECT_MAX,
    METRICS_MAX,
    TEXT_MAX,
    Side,
    features_of,
    judge_metric,
    read_breach,
    worse_side,
)
from shared.events.model import Metric
from tests.searching import examples
from tests.timing import cpu_seconds

HEAD = (
    "The signal '{signal}' has failed due to one or more features violating metric thresholds.\n"
    "The feature names and their corresponding computed metric values violating the threshold are "
    "\n{items}\n"
)
#: The most that reading the worst text may take: a hundred times what it does take.
SECONDS = 0.5


def text_of(*rows: dict[str, object], signal: str = "drift") -> str:
    """Return the text of a breach as the monitor writes it."""
    return HEAD.format(signal=signal, items=[json.dumps(row) for row in rows])


def row_of(name: str, value: object, threshold: object = 0.1, **more: object) -> dict[str, object]:
    """Return a metric as the monitor writes it."""
    return {"metric_value": value, "metric_name": name, "threshold_value": threshold} | more


# Directions


@pytest.mark.parametrize(
    "name",
    [
        *("Accuracy", "Precision", "Recall", "accuracy", "balanced_accuracy", "F1", "f1_score"),
        *("f1-score-macro", "macro_f1", "R2", "r2_score", "R-squared", "AUC_weighted"),
        *("roc_auc", "norm_macro_recall", "average_precision_score_micro"),
        *("NormalizedDiscountedCumulativeGain", "ndcg@10", "matthews_correlation"),
        *("TwoSampleKolmogorovSmirnovTest", "two_sample_kolmogorov_smirnov_test"),
        *("PearsonsChiSquaredTest", "pearsons_chi_squared_test", "p_value", "ks p-value"),
        *("AggregatedCoherencePassRate", "aggregated_groundedness_pass_rate"),
        *("AverageFluencyScore", "AverageRelevanceScore", "cosine_similarity"),
        *("AcceptableSimilarityScorePerInstance", "explained_variance"),
    ],
)
def test_what_says_how_good_something_is_gets_worse_downwards(name: str) -> None:
    assert worse_side(name) == "lower"


@pytest.mark.parametrize(
    "name",
    [
        *("JensenShannonDistance", "NormalizedWassersteinDistance", "PopulationStabilityIndex"),
        *("psi", "drift_coefficient", "NullValueRate", "DataTypeErrorRate", "OutOfBoundsRate"),
        *("MeanAbsoluteError", "RootMeanSquaredError", "rmse", "MAPE", "log_loss"),
        *("GroundednessPassRateViolationCounts", "CoherenceAverageScoreViolationCounts"),
        *("accuracy_drop", "recall_loss", "ks_statistic", "AccuracyDrift", "dissimilarity"),
        *("", "latency", "TotalTokens", "??"),
    ],
)
def test_everything_else_gets_worse_upwards(name: str) -> None:
    assert worse_side(name) == "higher"


# Judging


@pytest.mark.parametrize(
    ("name", "value", "threshold", "worse", "breached", "effect"),
    [
        ("psi", 0.3, 0.2, None, True, 0.5),
        ("psi", 0.2, 0.2, None, False, 0.0),
        ("psi", 0.1, 0.2, None, False, -0.5),
        ("accuracy", 0.8, 0.9, None, True, 1 / 9),
        ("accuracy", 0.9, 0.9, None, False, 0.0),
        ("accuracy", 0.99, 0.9, None, False, -0.1),
        ("accuracy", 0.99, 0.9, "higher", True, 0.1),
        ("psi", 0.1, 0.2, "lower", True, 0.5),
        ("score", -3, -2, "lower", True, 0.5),
        ("loss", -1, -2, None, True, 0.5),
        ("psi", 0.3, 0, None, True, None),
        ("psi", 0, 0, None, False, None),
        ("psi", 0.3, None, None, True, None),
        ("psi", 1e308, -1e308, None, True, 2.0),
        ("psi", 1.0, 5e-324, None, True, EFFECT_MAX),
        ("psi", -1.0, 5e-324, None, False, -EFFECT_MAX),
    ],
)
def test_a_metric_breaches_strictly_beyond_its_threshold(
    name: str,
    value: float,
    threshold: float | None,
    worse: Side | None,
    breached: bool,
    effect: float | None,
) -> None:
    metric = judge_metric(name, value, threshold, "age", worse)
    assert (metric.name, metric.value, metric.threshold) == (name, value, threshold)
    assert metric.feature == "age"
    assert metric.breached is breached
    if effect is None or math.isinf(value - (threshold or 0)):
        assert effect is None or metric.effect == EFFECT_MAX
    else:
        assert metric.effect == pytest.approx(effect)


@given(
    st.sampled_from(["psi", "accuracy"]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["higher", "lower", None]),
)
def test_an_effect_is_on_the_side_that_the_breach_is(
    name: str, value: float, threshold: float, worse: Side | None
) -> None:
    metric = judge_metric(name, value, threshold, worse=worse)
    assert metric.breached is (
        value > threshold if (worse or worse_side(name)) == "higher" else value < threshold
    )
    if metric.effect is not None:
        assert math.isfinite(metric.effect)
        assert metric.effect >= 0 if metric.breached else metric.effect <= 0


@given(st.floats(-100, 100), st.floats(0.01, 100), st.floats(0.01, 10))
def test_the_two_sides_mirror_each_other(value: float, threshold: float, more: float) -> None:
    assume(value != threshold)
    one = judge_metric("x", value, threshold, worse="higher")
    other = judge_metric("x", value, threshold, worse="lower")
    assert one.breached is not other.breached
    assert one.effect == -(other.effect or 0)
    further = judge_metric("x", value + more, threshold, worse="higher")
    assert (further.effect or 0) >= (one.effect or 0)


def test_the_features_that_breach_are_told_once() -> None:
    metrics = (
        judge_metric("psi", 0.3, 0.2, "age"),
        judge_metric("jsd", 0.3, 0.2, "age"),
        judge_metric("psi", 0.1, 0.2, "job"),
        judge_metric("psi", 0.3, 0.2),
        judge_metric("psi", 0.4, 0.2, "city"),
    )
    assert features_of(metrics) == ("age", "city")


# Breach text


def test_the_text_of_a_breach_names_the_signal_and_every_metric() -> None:
    told = read_breach(
        text_of(
            row_of("NormalizedWassersteinDistance", 0.3, group="credit_limit"),
            row_of("Accuracy", 0.8, 0.9),
            signal="fraud_data_drift",
        )
    )
    assert (told.signal, told.is_whole) == ("fraud_data_drift", True)
    assert told.metrics == (
        judge_metric("NormalizedWassersteinDistance", 0.3, 0.1, "credit_limit"),
        judge_metric("Accuracy", 0.8, 0.9),
    )


@pytest.mark.parametrize(
    "group",
    [
        "it's",
        'a "quoted" one',
        "both ' and \"",
        "back\\slash",
        "größe",
        "数量",
        "a]b",
        "{x}",
        "a,b",
    ],
)
def test_a_feature_may_be_called_anything(group: str) -> None:
    first, second = row_of("psi", 0.3, group=group), row_of("psi", 0.4, group="age")
    for ascii_ in (True, False):
        items = [json.dumps(row, ensure_ascii=ascii_) for row in (first, second)]
        told = read_breach(HEAD.format(signal="s", items=items))
        assert [metric.feature for metric in told.metrics] == [group, "age"]
        assert told.is_whole


@given(
    st.lists(
        st.tuples(st.text(max_size=20), st.floats(allow_nan=False, allow_infinity=False)),
        min_size=1,
        max_size=8,
    )
)
def test_what_python_wrote_is_read_back(rows: list[tuple[str, float]]) -> None:
    told = read_breach(text_of(*(row_of("psi", value, group=name) for name, value in rows)))
    assert told.is_whole
    assert [metric.value for metric in told.metrics] == [value for _, value in rows]


@pytest.mark.parametrize(
    "items",
    [
        '[{"metric_name": "psi", "metric_value": 0.3, "threshold_value": 0.1}]',
        '["{\\"metric_name\\":\\"psi\\",\\"metric_value\\": 0.3, \\"threshold_value\\": 0.1}"]',
        '[\'{"METRIC_NAME": "psi", "metricValue": "0.3", "Threshold": "1e-1"}\']',
        '[ \'{"name": "psi", "value": 0.3, "threshold": 0.1}\' , ]',
    ],
)
def test_other_spellings_of_the_list_are_read_too(items: str) -> None:
    told = read_breach(HEAD.format(signal="s", items=items))
    assert told.metrics == (judge_metric("psi", 0.3, 0.1),)
    assert told.is_whole


@pytest.mark.parametrize(
    ("row", "known"),
    [
        (row_of("psi", None), False),
        (row_of("psi", "NaN"), False),
        (row_of("psi", True), False),
        (row_of("psi", [0.3]), False),
        (row_of("psi", 10**400), False),
        (row_of("", 0.3), False),
        (row_of("\u202e\x00", 0.3), False),
        (row_of("psi", 0.3, None), True),
        (row_of("psi", 0.3, "NaN"), True),
        (row_of("psi", 0.3, group=None), True),
        (row_of("psi", 0.3, group=7), True),
        (row_of("psi", 0.3, group={"a": 1}), True),
    ],
)
def test_a_metric_without_a_name_or_a_value_is_none(row: dict[str, object], known: bool) -> None:
    told = read_breach(text_of(row, row_of("jsd", 0.5)))
    assert len(told.metrics) == 1 + known
    assert told.is_whole is known


@pytest.mark.parametrize("value", [math.inf, "Infinity", "inf"])
def test_a_value_without_an_end_is_as_far_beyond_as_can_be(value: float | str) -> None:
    told = read_breach(text_of(row_of("psi", value), row_of("psi", 0.1)))
    assert told.is_whole
    assert told.metrics[0].effect == EFFECT_MAX
    assert json.loads(json.dumps(told.metrics[0].value, allow_nan=False)) > 1e308


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("The signal 'it's' has failed due to", "it's"),
        ("SIGNAL 'a' HAS FAILED", "a"),
        ("the signal\n'a'\nhas failed", "a"),
        ("The signal 'a@example.com,b@example.com' has failed due to", ""),
        ("The signal '' has failed", ""),
        ("The signal 'a' is fine", ""),
        ("The signal '" + "x" * 500 + "' has failed", ""),
        ("The signal 'a\u202eb\x00c\nd' has failed", "abc d"),
        ("The signal 'password=hunter2' has failed", "password=[redacted]"),
        ("has failed due to one or more features violating metric thresholds", ""),
        ("", ""),
    ],
)
def test_the_signal_is_what_stands_in_quotes(text: str, signal: str) -> None:
    told = read_breach(text)
    assert (told.signal, told.metrics, told.is_whole) == (signal, (), False)


def test_a_text_cut_off_anywhere_gives_the_metrics_before_the_cut() -> None:
    whole = text_of(*(row_of("psi", number, group=f"it's {number}") for number in range(1, 6)))
    metrics = read_breach(whole).metrics
    for length in range(len(whole) - 2):
        told = read_breach(whole[:length])
        assert told.metrics == metrics[: len(told.metrics)]
        assert not told.is_whole


def test_no_more_is_read_than_the_limits() -> None:
    rows = [row_of("psi", 0.3, group=f"f{number}") for number in range(METRICS_MAX + 1)]
    told = read_breach(text_of(*rows))
    assert (len(told.metrics), told.is_whole) == (METRICS_MAX, False)
    assert not read_breach(text_of(row_of("psi", 0.3, group="x" * TEXT_MAX))).metrics
    row = json.dumps(row_of("psi", 0.3))
    assert read_breach(f"[{' ' * 1_000}'{row}']").metrics
    assert not read_breach(f"[{' ' * TEXT_MAX}'{row}']").metrics
    long = read_breach(text_of(row_of("psi", 0.3, group="x" * 3_000)))
    assert [len(metric.feature) for metric in long.metrics] == [255]


HOSTILE = [
    pytest.param("[" + "'\\'" * 100_000, id="escaped quotes without end"),
    pytest.param("[" + '"\\"' * 100_000, id="escaped double quotes without end"),
    pytest.param("['" + "\\" * 200_000, id="backslashes"),
    pytest.param("[" + '{"a":' * 50_000, id="an abyss"),
    pytest.param("['" + '{"a":[' * 600 + "', 'x']", id="an abyss in a string"),
    pytest.param("[" * 200_000, id="brackets"),
    pytest.param("[" + "'{}'," * 60_000 + "]", id="empty objects"),
    pytest.param("[" + "''" * 100_000, id="empty strings"),
    pytest.param("[" + " ," * 100_000, id="gaps"),
    pytest.param("signal '" * 30_000, id="signals that never end"),
    pytest.param("signal 'a" + "' has " * 40_000, id="signals that nearly end"),
    pytest.param("['" + "9" * 4_000 + "', " + "9" * 5_000 + "]", id="endless numbers"),
    pytest.param("['\\UFFFFFFFF\\ud800\\x00\\q\\", id="escapes of nothing"),
    pytest.param(
        '[\'{"metric_name": "' + "password=" * 400 + '", "metric_value": 1}\']', id="words"
    ),
    pytest.param("[__import__('os').system('id')]", id="code"),
    pytest.param("\ud800['{\"\ud800\": 1}']", id="half characters"),
]


# Hostile text


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_slow_to_read(text: str) -> None:
    assert cpu_seconds(lambda: read_breach(text)) < SECONDS
    assert cpu_seconds(lambda: read_breach(HEAD.format(signal="s", items=text))) < SECONDS


@settings(max_examples=examples(300))
@given(
    st.text()
    | st.text("[]{}'\"\\,: nux0aU9-.eE", max_size=300)
    | st.lists(
        st.sampled_from(["The signal '", "' has failed", "['", "', '", "']", '{"', '": ', "}"])
        | st.text(max_size=4)
    ).map("".join)
)
def test_any_text_gives_what_can_be_told_and_kept(text: str) -> None:
    told = read_breach(text)
    assert told.signal.isprintable()
    for metric in told.metrics:
        assert isinstance(metric, Metric)
        assert f"{metric.name}{metric.feature}".isprintable()
        assert f"{metric.name}{metric.feature}".encode()
        assert math.isfinite(metric.value)
