"""Makes the text of the tag that a model monitor's threshold step writes for a signal.

Source: Azure/azureml-assets, assets/model_monitoring/components/src, the component
`model_monitor_evaluate_metrics_threshold` and its unit tests.
"""

import json
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

#: The tag that the step sets on its own run.
BREACH_TAG = "azureml_modelmonitor_threshold_breached"

_GENERATION_QUALITIES = ("Coherence", "Groundedness", "Fluency", "Similarity", "Relevance")

#: The metrics of which less than the threshold is a breach; of every other one, more is. Accuracy,
#: precision and recall are among the others: the component was changed so, right or wrong.
_MORE_IS_BETTER = frozenset(
    {
        "TwoSampleKolmogorovSmirnovTest",
        "PearsonsChiSquaredTest",
        "NormalizedDiscountedCumulativeGain",
        *(f"Aggregated{quality}PassRate" for quality in _GENERATION_QUALITIES),
        *(f"Average{quality}Score" for quality in _GENERATION_QUALITIES),
    }
)
#: The order in which the step writes the columns; `group` is left out if there is none.
_COLUMNS = ("metric_value", "metric_name", "threshold_value", "group")


def breach_text(signal: str, rows: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the value of the breach tag, None if no row is a breach.

    Rows have `metric_name`, `metric_value`, `threshold_value` and perhaps `group`; a row without
    value or threshold is dropped, as is one whose value or threshold is no number.
    """
    breaches = [_as_json(row) for row in rows if _is_breach(row)]
    if not breaches:
        return None
    return (
        f"The signal '{signal}' has failed due to one or more features violating metric "
        "thresholds.\nThe feature names and their corresponding computed metric values violating "
        f"the threshold are \n{breaches}\n"
    )


def _is_breach(row: Mapping[str, Any]) -> bool:
    value, threshold = _number(row.get("metric_value")), _number(row.get("threshold_value"))
    if value is None or threshold is None:
        return False
    if row["metric_name"] in _MORE_IS_BETTER:
        return _is_more(threshold, value)
    return _is_more(value, threshold)


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _is_more(one: float, other: float) -> bool:
    # Spark holds that NaN is more than every number, and equal to itself.
    return one > other or (math.isnan(one) and not math.isnan(other))


def _as_json(row: Mapping[str, Any]) -> str:
    """Write a row as Spark does: no spaces, and numbers in Java's spelling."""
    fields = (f'"{key}":{_literal(row[key])}' for key in _COLUMNS if row.get(key) is not None)
    return f"{{{','.join(fields)}}}"


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    number = float(value)
    if not math.isfinite(number):
        word = "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
        return f'"{word}"'
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return repr(number)
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    first, *rest = map(str, digits)
    power = len(rest) + int(exponent)
    return f"{'-' if sign else ''}{first}.{''.join(rest) or '0'}E{power}"
