"""The workspace as its people meet it: through azure-ai-ml, the client that data scientists use."""

import importlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from shared.events.envelopes import parse_workspace

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

#: The variables of the client's environment, as on a data scientist's machine.
_ENVIRONMENT = (
    *("IDENTITY_ENDPOINT", "IDENTITY_HEADER"),
    *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE"),
)
_MODEL = Path(__file__).parent / "model"
_SCORING = "https://ml.azure.com/.default"
#: The client takes seconds to import.
_CLIENT = ("azure.ai.ml", "azure.ai.ml.entities", "azure.identity")


def import_early() -> None:
    """Begin to import the client in the background; whoever needs it then waits for the rest."""
    Thread(target=_import, name="import", daemon=True).start()


def _import() -> None:
    for module in _CLIENT:
        importlib.import_module(module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that was submitted to the workspace, with its literal inputs."""

    name: str
    tags: Mapping[str, str]
    inputs: Mapping[str, str]


class Workspace:
    """One workspace, in the hands of somebody who signs in as the sandbox's managed identity."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Take the app's settings: they say where the workspace is, and how to sign in there."""
        self._settings: Final = settings
        self._made: MLClient | None = None

    def connect(self) -> None:
        """Make the client ready, so that the first call is as fast as the others."""
        self._client.workspaces.get(self._client.workspace_name)

    def register(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Register a version of an MLflow model, whose files the client uploads."""
        from azure.ai.ml.entities import Model

        model = Model(
            name=name,
            version=version,
            type="mlflow_model",
            path=str(_MODEL),
            tags=dict(tags),
        )
        # After an upload the client writes to the terminal, whatever it is told.
        with redirect_stderr(StringIO()):
            self._client.models.create_or_update(model)

    def register_component(self, name: str, inputs: Mapping[str, str]) -> None:
        """Register version 1 of a component that trains: with these inputs, each with its type."""
        from azure.ai.ml import Input, Output
        from azure.ai.ml.entities import CommandComponent

        options = " ".join(f"--{each} ${{{{inputs.{each}}}}}" for each in inputs)
        component = CommandComponent(
            name=name,
            version="1",
            inputs={each: Input(type=kind) for each, kind in inputs.items()},
            outputs={"model": Output(type="mlflow_model")},
            command=f"python -m {name} {options} --model ${{{{outputs.model}}}}",
            environment="azureml://registries/azureml/environments/sklearn-1.5/versions/1",
        )
        self._client.components.create_or_update(component)

    def jobs(self, tag: str) -> list[Job]:
        """Return the jobs that carry a tag."""
        return [_job(each) for each in self._client.jobs.list() if tag in (each.tags or {})]

    def traffic(self, endpoint: str) -> dict[str, int]:
        """Return the shares of the endpoint's deployments that have any, in percent."""
        shares = self._client.online_endpoints.get(endpoint).traffic
        return {name: share for name, share in shares.items() if share}

    def deployments(self, endpoint: str) -> dict[str, str]:
        """Return the model version of each deployment of the endpoint."""
        found: Any = self._client.online_deployments.list(endpoint)
        return {each.name: each.model.rsplit("/", 1)[-1] for each in found}

    def scoring_url(self, endpoint: str) -> str:
        """Return the address that scoring requests are sent to."""
        return str(self._client.online_endpoints.get(endpoint).scoring_uri)

    def scoring_token(self) -> str:
        """Return a token that opens the endpoints."""
        from azure.identity import ManagedIdentityCredential

        with ManagedIdentityCredential() as credential:
            return str(credential.get_token(_SCORING).token)

    @property
    def _client(self) -> "MLClient":
        if self._made is None:
            self._made = self._connect()
        return self._made

    def _connect(self) -> "MLClient":
        _import()
        from azure.ai.ml import MLClient
        from azure.identity import ManagedIdentityCredential

        logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
        os.environ |= {name: self._settings[name] for name in _ENVIRONMENT}
        workspace = parse_workspace(self._settings["SIGNALBOX_WORKSPACE"])
        return MLClient(
            ManagedIdentityCredential(),
            workspace.subscription,
            workspace.resource_group,
            workspace.name,
            show_progress=False,
            enable_telemetry=False,
        )


def _job(job: Any) -> Job:
    inputs = json.loads(job.properties.get("azureml.parameters", "{}"))
    return Job(name=job.name, tags=dict(job.tags), inputs=inputs)
