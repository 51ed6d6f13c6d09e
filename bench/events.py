"""The events that are sent, as Event Grid writes them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from shared.workspaces.model import RunRecord

type Json = dict[str, Any]


def run_status_changed(workspace_id: str, status: str) -> Json:
    """Return the event of a run of its own that now has this status."""
    run = uuid4().hex
    return _event(
        workspace_id,
        "RunStatusChanged",
        f"experiments/e1/runs/{run}",
        {
            "experimentId": "e1",
            "experimentName": "train",
            "runId": run,
            "runType": "azureml.pipeline",
            "runTags": {},
            "runProperties": {},
            "runStatus": status,
        },
    )


def model_registered(
    workspace_id: str,
    name: str,
    version: str,
    *,
    tags: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> Json:
    """Return the event of a model version, with the tag to be deployed if no others are given."""
    return _event(
        workspace_id,
        "ModelRegistered",
        f"models/{name}:{version}",
        {
            "modelName": name,
            "modelVersion": version,
            "modelTags": {"deploy": "true"} if tags is None else dict(tags),
            "modelProperties": {},
        },
        at=at,
    )


def drift_detected(workspace_id: str, monitor: str) -> Json:
    """Return the event of drift that a check of one's own has found, in a window of its own."""
    psi = {"name": "psi", "value": 0.31, "threshold": 0.2, "feature": "age"}
    data = {"workspace": workspace_id, "monitor": monitor, "metrics": [psi]}
    event = _event("/checks", "DriftDetected", monitor, {**data, "window": {"id": uuid4().hex}})
    return {**event, "eventType": "Signalbox.DriftDetected"}


def breach_told(
    workspace_id: str, step: RunRecord, *, at: datetime, status: str | None = "Completed"
) -> Json:
    """Return the event of a monitor's step that ended; of type RunCompleted without a status."""
    data = {
        "experimentId": step.experiment,
        "experimentName": step.experiment,
        "runId": step.id,
        "runType": "azureml.StepRun",
        "runTags": dict(step.tags),
        "runProperties": dict(step.properties),
    }
    kind = "RunCompleted" if status is None else "RunStatusChanged"
    told = data if status is None else {**data, "runStatus": status}
    return _event(workspace_id, kind, f"experiments/e1/runs/{step.id}", told, at=at)


def _event(
    workspace_id: str, kind: str, subject: str, data: Json, *, at: datetime | None = None
) -> Json:
    return {
        "id": str(uuid4()),
        "topic": workspace_id,
        "subject": subject,
        "eventType": f"Microsoft.MachineLearningServices.{kind}",
        "eventTime": (at or datetime.now(UTC)).isoformat(),
        "dataVersion": "2",
        "metadataVersion": "1",
        "data": data,
    }
