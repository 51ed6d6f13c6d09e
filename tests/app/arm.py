"""The workspace as its users see it: over ARM and the scoring addresses, without the app's code."""

import ssl
from typing import Any, Self

import httpx

from sandbox.stack import Stack
from sandbox.workspace.identity import MACHINE_LEARNING_AUDIENCE, issue_token

type Json = dict[str, Any]


class Arm:
    """An ARM client of one workspace; a context manager."""

    def __init__(self, stack: Stack) -> None:
        url = stack.workspace.url
        trusted = ssl.create_default_context(cafile=str(stack.workspace.ca_path))
        self._arm = httpx.Client(
            base_url=f"{url}{stack.workspace_id}",
            headers={"Authorization": f"Bearer {issue_token(url, 'tenant', 'tests')}"},
            params={"api-version": "2025-12-01"},
            verify=trusted,
        )
        #: The token that opens the endpoints.
        self.scoring_token = issue_token(MACHINE_LEARNING_AUDIENCE, "tenant", "tests")
        bearer = {"Authorization": f"Bearer {self.scoring_token}"}
        self._scoring = httpx.Client(headers=bearer, verify=trusted)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._arm.close()
        self._scoring.close()

    def put_model(self, name: str, version: str, properties: Json) -> None:
        """Register a model version."""
        usual = {"modelType": "mlflow_model", "modelUri": f"azureml://models/{name}"}
        body = {"properties": usual | properties}
        self._arm.put(f"/models/{name}/versions/{version}", json=body).raise_for_status()

    def put_artifact(self, run: str, path: str, content: str) -> None:
        """Have a run leave a file behind."""
        base = (
            str(self._arm.base_url)
            .rstrip("/")
            .replace("/subscriptions", "/artifact/v2.0/subscriptions")
        )
        self._scoring.post(
            f"{base}/artifacts/ExperimentRun/dcid.{run}/content",
            params={"path": path},
            content=content.encode(),
        ).raise_for_status()

    def put_components(self, name: str, *inputs: str) -> None:
        """Register a command component, and a pipeline component of it named `<name>_pipeline`.

        Both take these inputs, all texts.
        """
        self._arm.put(
            "/environments/train/versions/1",
            json={"properties": {"image": "mcr.microsoft.com/azureml/base:1"}},
        ).raise_for_status()
        taken = {each: {"type": "string", "optional": True} for each in inputs}
        command = {
            "name": name,
            "version": "1",
            "type": "command",
            "inputs": taken,
            "command": "python train.py",
            "environment": "azureml:train:1",
        }
        self._put_component(command)
        base = str(self._arm.base_url).partition("/subscriptions")[2].rstrip("/")
        step = {
            "type": "command",
            "componentId": f"/subscriptions{base}/components/{name}/versions/1",
        }
        whole = {"version": "1", "type": "pipeline", "inputs": taken, "jobs": {"train": step}}
        self._put_component({"name": f"{name}_pipeline", **whole})

    def _put_component(self, spec: Json) -> None:
        path = f"/components/{spec['name']}/versions/{spec['version']}"
        body = {"properties": {"componentSpec": spec}}
        self._arm.put(path, json=body).raise_for_status()

    def job(self, name: str) -> Json | None:
        """Return the job's document, or None."""
        return self._get(f"/jobs/{name}")

    def endpoint(self, name: str) -> Json | None:
        """Return the endpoint's document, or None."""
        return self._get(f"/onlineEndpoints/{name}")

    def deployments(self, endpoint: str) -> dict[str, Json]:
        """Return the documents of an endpoint's deployments by name; {} without an endpoint."""
        found = self._get(f"/onlineEndpoints/{endpoint}/deployments") or {"value": []}
        return {item["name"]: item for item in found["value"]}

    def keys(self, endpoint: str) -> dict[str, str]:
        """Return both keys of an endpoint with key authentication."""
        answer = self._arm.post(f"/onlineEndpoints/{endpoint}/listKeys")
        keys: dict[str, str] = answer.raise_for_status().json()
        return keys

    def score(self, scoring_uri: str) -> httpx.Response:
        """Send a scoring request as a caller of the endpoint does, who knows no deployments."""
        return self._scoring.post(scoring_uri, json={"input_data": [[1, 2]]})

    def _get(self, path: str) -> Json | None:
        response = self._arm.get(path)
        if response.status_code == 404:
            return None
        document: Json = response.raise_for_status().json()
        return document
