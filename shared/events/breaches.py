"""Metrics compared with thresholds, and the text in which a model monitor reports a breach."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.base.incoming import read_json_at
from shared.events.fields import finite_number, one_line
from shared.events.model import Metric

#: The side of a threshold on which a value is bad.
Side = Literal["higher", "lower"]

#: The most characters of a breach's text that are read: ten times the text of the largest monitors.
TEXT_MAX = 131_072
METRICS_MAX = 500
#: The greatest effect. A threshold near 0 gives greater ones, which say no more.
EFFECT_MAX = 1e6

_ITEM_MAX = 4_096
_ENDLESS = {
    **dict.fromkeys(("inf", "infinity"), sys.float_info.max),
    **dict.fromkeys(("-inf", "-infinity"), -sys.float_info.max),
}
#: A name with any of these measures an error or a distance, not how good something is.
_HIGHER = (
    *("error", "loss", "drop", "decrease", "decline", "degradation", "distance", "divergence"),
    *("dissimilarity", "irrelevance", "imprecision", "inaccuracy", "drift", "violation"),
    *("statistic", "falsepositive", "falsenegative"),
)
_LOWER = (
    *("accuracy", "precision", "recall", "sensitivity", "specificity", "auc", "matthews"),
    *("explainedvariance", "rsquared", "r2score", "f1score", "fscore", "fmeasure"),
    *("ndcg", "discountedcumulativegain", "kolmogorovsmirnov", "chisquare", "pval"),
    *("passrate", "coherence", "groundedness", "fluency", "relevance", "similarity"),
)
#: Too short to be searched for within other words.
_LOWER_ENDS = ("f1", "r2")

_OTHER = re.compile(r"[^a-z0-9]+")
_SIGNAL = re.compile(
    r"signal\s{1,9}'(.{0,400}?)'\s{1,9}has\s{1,9}failed", re.IGNORECASE | re.DOTALL
)
_GAP = re.compile(r"[\s,]*+")
_LITERAL = re.compile(r"'((?:[^'\\]++|\\.)*+)'|\"((?:[^\"\\]++|\\.)*+)\"", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)",
    re.DOTALL,
)
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A breach, as a model monitor's text reports it.

    `signal` is "" if the text does not name it. `is_whole` says whether every metric could be read.
    """

    signal: str
    metrics: tuple[Metric, ...]
    is_whole: bool


def bare(name: str) -> str:
    """Return a name as names are compared here: lower-case letters and digits alone."""
    return _OTHER.sub("", name.lower())


def worse_side(name: str) -> Side:
    """Say on which side of its threshold a metric of this name, in any spelling, is bad.

    Lower is worse for measures of how good a model or an answer is, and for tests whose value is a
    p-value; higher is worse for all others. Source: the metrics of AML's model monitoring
    (Azure/azureml-assets, model_monitoring/components) and of its AutoML.
    """
    key = bare(name)
    if any(word in key for word in _HIGHER):
        return "higher"
    if any(word in key for word in _LOWER) or key.startswith(_LOWER_ENDS):
        return "lower"
    return "lower" if key.endswith(_LOWER_ENDS) else "higher"


def judge_metric(
    name: str,
    value: float,
    threshold: float | None,
    feature: str = "",
    worse: Side | None = None,
) -> Metric:
    """Return the metric, compared with its threshold: it breaches strictly beyond it.

    `worse` is the bad side; None takes it from the name. The effect is negative on the good
    side, and at most EFFECT_MAX. A metric without a threshold breaches with an unknown effect,
    because its source reported it as a breach.
    """
    if threshold is None:
        return Metric(name=name, value=value, feature=feature)
    is_higher_bad = (worse or worse_side(name)) == "higher"
    beyond = value - threshold if is_higher_bad else threshold - value
    effect = None
    if threshold:
        effect = max(-EFFECT_MAX, min(EFFECT_MAX, beyond / abs(threshold)))
    return Metric(
        name=name,
        value=value,
        threshold=threshold,
        feature=feature,
        breached=beyond > 0,
        effect=effect,
    )


def features_of(metrics: tuple[Metric, ...]) -> tuple[str, ...]:
    """Return the features that breach, each once, in the order of the text."""
    return tuple(dict.fromkeys(item.feature for item in metrics if item.breached and item.feature))


def read_breach(text: str) -> Breach:
    """Read the text of the tag `azureml_modelmonitor_threshold_breached`; any text is accepted.

    It names the signal in quotes, and ends in a Python list of JSON objects in strings, each with
    `metric_name`, `metric_value`, `threshold_value` and, of a feature, `group`. A list that is cut
    off gives the items before the cut. Linear in the length of the text, of which TEXT_MAX is read.

    Source: Azure/azureml-assets, model_monitor_evaluate_metrics_threshold,
    `_generate_error_message` and `send_email_for_breached`.
    """
    read = text[:TEXT_MAX]
    named = _SIGNAL.search(read[:2_000])
    begin = read.find("[", named.end() if named else 0)
    items, is_whole = _items(read, begin + 1) if begin >= 0 else ([], False)
    metrics = tuple(metric for item in items if (metric := _metric(item)) is not None)
    return Breach(
        signal=_signal(named[1]) if named else "",
        metrics=metrics,
        is_whole=is_whole and bool(items) and len(metrics) == len(items),
    )


def _signal(text: str) -> str:
    """Return the signal's name; versions of December 2023 wrote e-mail addresses in its place."""
    return "" if "@" in text else one_line(text)


def _items(text: str, place: int) -> tuple[list[object], bool]:
    """Return the items of the list that begins before `place`, and whether its end was reached."""
    items: list[object] = []
    while len(items) < METRICS_MAX:
        gap = _GAP.match(text, place)
        place = gap.end() if gap else place
        if text.startswith("]", place):
            return items, True
        literal = _LITERAL.match(text, place)
        if literal is not None:
            items.append(_loaded(_unescaped(literal[1] or literal[2] or "")))
            place = literal.end()
            continue
        if not text.startswith("{", place):
            break
        try:
            item, place = read_json_at(text, place)
        except ValueError:
            break
        items.append(item)
    return items, False


def _unescaped(text: str) -> str:
    """Undo the escapes of Python's repr() of a string, or those of JSON."""
    return _ESCAPE.sub(_meant, text)


def _meant(escape: re.Match[str]) -> str:
    kind, digits = escape[1][0], escape[1][1:]
    if digits:
        number = int(digits, 16)
        return chr(number) if number < 0x110000 else "\ufffd"
    return _CONTROLS.get(kind, kind)


def _loaded(text: str) -> object:
    if len(text) > _ITEM_MAX:
        return None
    try:
        value, end = read_json_at(text, 0)
    except ValueError:
        return None
    return value if not text[end:].strip() else None


def _metric(item: object) -> Metric | None:
    if not isinstance(item, Mapping):
        return None
    members = {bare(str(key)): value for key, value in item.items()}
    name = _label(_first(members, "metricname", "name"))
    value = _measured(_first(members, "metricvalue", "value"))
    if not name or value is None:
        return None
    threshold = finite_number(_first(members, "thresholdvalue", "threshold"))
    feature = _label(_first(members, "group", "feature", "featurename"))
    return judge_metric(name, value, threshold, feature)


def _measured(value: object) -> float | None:
    """Return a number; the greatest one for infinity, which is beyond every threshold.

    Python writes infinity into the JSON of the tag, and no row could keep it.
    """
    number = finite_number(value)
    return _ENDLESS.get(str(value).strip().lower()) if number is None else number


def _first(members: Mapping[str, Any], *keys: str) -> Any:
    return next((members[key] for key in keys if members.get(key) is not None), None)


def _label(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return one_line(str(value))
