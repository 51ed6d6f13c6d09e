"""Shows the many events of runs: each event of a retraining's run, and the number of the others."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sandbox.event_grid.log import Delivery
from shared.retraining.targets import REFERENCE

_TYPES = ("RunCompleted", "RunStatusChanged")
_FAILED = ("Failed", "Canceled")
#: A run's name is long; this much of it is told.
_SHOWN = 18


def is_of_run(event: Mapping[str, Any]) -> bool:
    """Say whether an event tells of a run."""
    return _type_of(event) in _TYPES


def short(run_id: str) -> str:
    """Return as much of a run's name as people look at."""
    return run_id[:_SHOWN]


class RunNews:
    """Tells of deliveries of runs' events. A run and its steps tell of themselves many times."""

    def __init__(self) -> None:
        self._delivered: Counter[str] = Counter()

    def tell(self, delivery: Delivery, event: Mapping[str, Any]) -> str:
        """Return what to show of a delivery, "" where that is nothing."""
        data = event["data"]
        root = data["runProperties"].get("azureml.rootpipelinerunid", data["runId"])
        self._delivered[root] += 1
        if root != data["runId"]:
            return ""
        kind, status = _type_of(event), data.get("runStatus", "")
        if REFERENCE in data["runTags"]:
            state = f" ({status})" if status else ""
            answer = delivery.status or delivery.outcome
            return f"{kind} of {short(root)}{state} is delivered: {answer}"
        if kind != "RunCompleted" and status not in _FAILED:
            return ""
        ended = f"has {'completed' if kind == 'RunCompleted' else 'ended'}"
        count = self._delivered[root]
        return f"{data['experimentName']}'s run {ended}: {count} events of it are delivered"


def _type_of(event: Mapping[str, Any]) -> str:
    return str(event.get("eventType", "")).rpartition(".")[2]
