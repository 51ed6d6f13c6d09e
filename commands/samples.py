"""Sample events by name, filled in from options, so that nobody needs a file to send one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from shared.events.model import EventType, Workspace

_AML: Final = "Microsoft.MachineLearningServices"
#: The types that there is a sample of.
SAMPLES: Final = (
    EventType.MODEL_REGISTERED,
    EventType.MODEL_DEPLOYED,
    EventType.RUN_COMPLETED,
    EventType.RUN_STATUS_CHANGED,
    EventType.DRIFT_DETECTED,
    EventType.ALERT_FIRED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """The parts of a sample that options choose."""

    workspace: Workspace
    at: datetime
    model: str = "churn"
    version: str = "1"
    tags: Mapping[str, str] = field(default_factory=dict)
    run: str = "sample-run"
    status: str = "Failed"
    monitor: str = "churn-monitor"
    endpoint: str = "churn"


def make_sample(kind: EventType, of: Details) -> dict[str, Any]:
    """Return an event of one of SAMPLES, as a CloudEvent or as an alert of Azure Monitor."""
    match kind:
        case EventType.MODEL_REGISTERED:
            data: dict[str, Any] = {
                "modelName": of.model,
                "modelVersion": of.version,
                "modelTags": dict(of.tags),
                "modelProperties": {},
            }
            return _cloud_event(of, f"{_AML}.{kind}", f"models/{of.model}:{of.version}", data)
        case EventType.MODEL_DEPLOYED:
            data = {
                "serviceName": of.endpoint,
                "serviceComputeType": "ACI",
                "modelIds": f"{of.model}:{of.version}",
                "serviceTags": dict(of.tags),
                "serviceProperties": {},
            }
            return _cloud_event(of, f"{_AML}.{kind}", f"endpoints/{of.endpoint}", data)
        case EventType.RUN_COMPLETED | EventType.RUN_STATUS_CHANGED:
            return _cloud_event(
                of, f"{_AML}.{kind}", f"experiments/e/runs/{of.run}", _run(kind, of)
            )
        case EventType.DRIFT_DETECTED:
            subject = f"monitors/{of.monitor}"
            return _cloud_event(of, "Signalbox.DriftDetected", subject, _drift(of))
        case EventType.ALERT_FIRED:
            return _alert(of)
    raise ValueError(f"there is no sample of {kind}")


def _cloud_event(of: Details, kind: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": of.workspace.id,
        "type": kind,
        "subject": subject,
        "time": of.at.isoformat(),
        "data": data,
    }


def _run(kind: str, of: Details) -> dict[str, Any]:
    data = {
        "experimentId": "00000000-0000-0000-0000-000000000001",
        "experimentName": "sample",
        "runId": of.run,
        "runType": "azureml.scriptrun",
        "runTags": dict(of.tags),
        "runProperties": {},
    }
    return data | ({"runStatus": of.status} if kind == EventType.RUN_STATUS_CHANGED else {})


def _drift(of: Details) -> dict[str, Any]:
    day = timedelta(days=1)
    return {
        "workspace": of.workspace.id,
        "monitor": of.monitor,
        "signal": "data_drift",
        "state": "breach",
        "metrics": [{"name": "psi", "value": 0.31, "threshold": 0.2, "feature": "age"}],
        "window": {
            "id": uuid4().hex,
            "start": (of.at - day).isoformat(),
            "end": of.at.isoformat(),
        },
    }


def _alert(of: Details) -> dict[str, Any]:
    subscription = f"/subscriptions/{of.workspace.subscription}"
    return {
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {
            "essentials": {
                "alertId": f"{subscription}/providers/Microsoft.AlertsManagement/alerts/{uuid4()}",
                "alertRule": f"{of.endpoint}-latency",
                "severity": "Sev1",
                "signalType": "Metric",
                "monitorCondition": "Fired",
                "monitoringService": "Platform",
                "alertTargetIDs": [f"{of.workspace.id}/onlineEndpoints/{of.endpoint}"],
                "firedDateTime": of.at.isoformat(),
                "description": "A sample.",
                "essentialsVersion": "1.0",
                "alertContextVersion": "1.0",
            },
            "alertContext": {
                "conditionType": "SingleResourceMultipleMetricCriteria",
                "condition": {
                    "allOf": [
                        {
                            "metricName": "RequestLatency_P95",
                            "operator": "GreaterThan",
                            "threshold": "800",
                            "metricValue": 1231.1,
                        }
                    ]
                },
            },
        },
    }
