"""The events that are sent, as Event Grid writes them."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

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
    workspace_id: str, name: str, version: str, *, at: datetime | None = None
) -> Json:
    """Return the event of a model version that is tagged to be deployed."""
    return _event(
        workspace_id,
        "ModelRegistered",
        f"models/{name}:{version}",
        {
            "modelName": name,
            "modelVersion": version,
            "modelTags": {"deploy": "true"},
            "modelProperties": {},
        },
        at=at,
    )


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
