"""The events that a workspace raises, and their way to its Event Grid topic."""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime

import httpx

from sandbox.workspace.arm import Json, timestamp
from sandbox.workspace.entities import Deployment, ModelVersion
from sandbox.workspace.run_entities import Run

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
_WORTH_REPEATING = {408, 429}


def model_registered(topic: str, model: ModelVersion, at: datetime) -> Json:
    """Return the event of a new model version."""
    data = {
        "modelName": model.name,
        "modelVersion": model.version,
        "modelTags": dict(model.tags),
        "modelProperties": dict(model.properties),
    }
    return _event(topic, "ModelRegistered", f"models/{model.name}:{model.version}", data, at)


def model_deployed(topic: str, deployment: Deployment, at: datetime) -> Json:
    """Return the event of a deployment that came up, in the shape of a v1 service's."""
    model = deployment.spec.model
    data = {
        "serviceName": deployment.endpoint,
        "serviceComputeType": "Managed",
        "modelIds": f"{model.name}:{model.version}" if model else "",
        "serviceTags": dict(deployment.tags),
        "serviceProperties": {},
    }
    return _event(topic, "ModelDeployed", f"endpoints/{deployment.endpoint}", data, at)


def run_status_changed(topic: str, run: Run, at: datetime) -> Json:
    """Return the event of a run that came to the status that it has now."""
    data = {"runStatus": run.status} | _run_data(run)
    return _event(topic, "RunStatusChanged", _run_subject(run), data, at)


def run_completed(topic: str, run: Run, at: datetime) -> Json:
    """Return the event of a run that has completed."""
    return _event(topic, "RunCompleted", _run_subject(run), _run_data(run), at)


def dataset_drift_detected(topic: str, data: Json, at: datetime) -> Json:
    """Return the event of a dataset monitor (SDK v1); its subject has no plurals, as captured."""
    subject = f"datadrift/{data['dataDriftId']}/run/{data['runId']}"
    return _event(topic, "DatasetDriftDetected", subject, data, at)


def _run_subject(run: Run) -> str:
    return f"experiments/{run.experiment_id}/runs/{run.id}"


def _run_data(run: Run) -> Json:
    return {
        "experimentId": run.experiment_id,
        "experimentName": run.experiment.name,
        "runId": run.id,
        "runType": run.run_type,
        "runTags": dict(run.tags),
        "runProperties": dict(run.properties),
    }


def _event(topic: str, kind: str, subject: str, data: Json, at: datetime) -> Json:
    return {
        "topic": topic,
        "eventType": f"Microsoft.MachineLearningServices.{kind}",
        "subject": subject,
        "eventTime": timestamp(at),
        "id": str(uuid.uuid4()),
        "data": data,
        "dataVersion": "2",
        "metadataVersion": "1",
    }


@dataclass(slots=True)
class Published:
    """An event and how far it got: waiting, delivered, refused, or unpublished without topic."""

    event: Json
    state: str = "waiting"
    attempts: int = 0


class Publisher:
    """Posts events to the topic in the order they were raised, each until it is taken."""

    def __init__(self, url: str | None, key: str) -> None:
        self._url = url
        self._key = key
        self._queue: asyncio.Queue[Published] = asyncio.Queue()
        self.log: list[Published] = []

    def publish(self, event: Json) -> None:
        """Queue an event; returns at once."""
        published = Published(event)
        self.log.append(published)
        if self._url is None:
            published.state = "unpublished"
        else:
            self._queue.put_nowait(published)

    def clear(self) -> None:
        """Forget all events, also those still waiting."""
        self.log.clear()
        while not self._queue.empty():
            self._queue.get_nowait()

    async def publish_forever(self) -> None:
        """Post queued events until cancelled; without a topic there is nothing to do."""
        if self._url is None:
            return
        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                await self._deliver(client, await self._queue.get())

    async def _deliver(self, client: httpx.AsyncClient, published: Published) -> None:
        wait = _FIRST_WAIT
        while published.state == "waiting":
            published.attempts += 1
            published.state = await self._post(client, published.event)
            if published.state == "waiting":
                await asyncio.sleep(wait)
                wait = min(_LONGEST_WAIT, wait * 2)

    async def _post(self, client: httpx.AsyncClient, event: Json) -> str:
        try:
            response = await client.post(
                str(self._url), json=[event], headers={"aeg-sas-key": self._key}
            )
        except httpx.TransportError:
            return "waiting"
        if response.is_success:
            return "delivered"
        is_final = response.is_client_error and response.status_code not in _WORTH_REPEATING
        return "refused" if is_final else "waiting"
