"""MLflow tracking: the metrics of runs, and the runs of an experiment.

The API is MLflow's REST API 2.0 (https://mlflow.org/docs/latest/rest-api.html), which a workspace
has at its tracking address. How AML's differs: MicrosoftDocs/azure-ai-docs,
how-to-track-experiments-mlflow.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.adapters.aml.connection import Aml
from shared.base.incoming import Json, object_in, objects_in
from shared.events.model import Workspace

#: The status of a completed run: MLflow's word, and that of AML's documentation.
_FINISHED = frozenset({"finished", "completed"})
#: The tag that names the run above a run.
_PARENT = "mlflow.parentrunid"
#: How far back a completed run is searched for: the runs of an experiment include steps.
_PAGE = 100
_PAGES_MAX = 5


class Mlflow:
    """The tracking API of workspaces."""

    def __init__(self, aml: Aml) -> None:
        self._aml: Final = aml

    def get_metrics(self, workspace: Workspace, run_id: str) -> Mapping[str, float] | None:
        """Return the last value of each metric that a run logged, or None without such a run.

        A metric whose last value is no finite number is left out.
        """
        base = self._aml.find_tracking(workspace)
        if base is None:
            return None
        answer = self._aml.data.call(
            "GET",
            f"{base}/runs/get",
            f"reading the metrics of run {run_id!r}",
            query={"run_id": run_id},
            expected=(404,),
        )
        if answer.status == 404:
            return None
        return parse_metrics(object_in(answer.body, "run", "data"))

    def find_completed(self, workspace: Workspace, experiment: str) -> Iterator[str] | None:
        """Return the ids of an experiment's runs that completed and are no steps, newest first.

        None where there is no such experiment. It looks at the newest few hundred runs.
        """
        base = self._aml.find_tracking(workspace)
        if base is None:
            return None
        doing = f"reading experiment {experiment!r}"
        answer = self._aml.data.call(
            "GET",
            f"{base}/experiments/get-by-name",
            doing,
            query={"experiment_name": experiment},
            expected=(404,),
        )
        found = object_in(answer.body, "experiment").get("experiment_id")
        if answer.status == 404 or not found:
            return None
        return self._completed(base, str(found), f"listing the runs of experiment {experiment!r}")

    def _completed(self, base: str, experiment_id: str, doing: str) -> Iterator[str]:
        # The status is not in the query, because AML's words for it are not MLflow's.
        asked: dict[str, Any] = {
            "experiment_ids": [experiment_id],
            "order_by": ["attributes.start_time DESC"],
            "max_results": _PAGE,
        }
        for _ in range(_PAGES_MAX):
            answer = self._aml.data.call("POST", f"{base}/runs/search", doing, body=asked)
            yield from map(_run_id, filter(_is_completed_root, objects_in(answer.body, "runs")))
            token = answer.body.get("next_page_token")
            if not token:
                return
            asked["page_token"] = str(token)


def parse_metrics(data: Json) -> dict[str, float]:
    """Read the metrics of a run: of each the value of its last step, of that the latest."""
    latest: dict[str, tuple[tuple[float, float], float]] = {}
    for metric in objects_in(data, "metrics"):
        key = str(metric.get("key") or "")
        at = (_number(metric.get("step")), _number(metric.get("timestamp")))
        at = (at[0] if math.isfinite(at[0]) else 0.0, at[1] if math.isfinite(at[1]) else 0.0)
        if key not in latest or at >= latest[key][0]:
            latest[key] = (at, _number(metric.get("value")))
    return {key: value for key, (_, value) in latest.items() if math.isfinite(value)}


def _number(value: Any) -> float:
    """Return a number, or a text that is one ("NaN" among them); NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _is_completed_root(run: Json) -> bool:
    status = str(object_in(run, "info").get("status") or "").lower()
    parents = (
        str(tag.get("value") or "")
        for tag in objects_in(object_in(run, "data"), "tags")
        if str(tag.get("key")).lower() == _PARENT
    )
    return status in _FINISHED and not any(parents) and bool(_run_id(run))


def _run_id(run: Json) -> str:
    info = object_in(run, "info")
    return str(info.get("run_id") or info.get("run_uuid") or "")
