"""Batch endpoints and their deployments, and how each looks in a response."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.workspace.arm import PROVIDER, Json, system_data
from sandbox.workspace.rules import Subject


@dataclass(slots=True, kw_only=True)
class BatchDeployment:
    """One deployment of a batch endpoint."""

    workspace: str
    endpoint: str
    name: str
    location: str
    settings: Json
    created_at: datetime
    modified_at: datetime
    created_by: str
    #: Its content: a version of a model, or else a pipeline component by its ARM id.
    model: str = ""
    version: str = ""
    component: str = ""
    #: The names of the jobs that it was invoked for, oldest first.
    jobs: list[str] = field(default_factory=list)
    state: str = "Creating"
    tags: dict[str, str] = field(default_factory=dict)
    operation_url: str = ""

    @property
    def entity(self) -> str:
        """The name under which operations lock this deployment."""
        return f"batch/{self.endpoint}/{self.name}".lower()

    def subject(self) -> Subject:
        """Return what rules match on."""
        return Subject(
            workspace=self.workspace,
            endpoint=self.endpoint,
            deployment=self.name,
            model=self.model,
            version=self.version,
        )

    def document(self, endpoint_id: str) -> Json:
        """Return the deployment as a resource."""
        return {
            "id": f"{endpoint_id}/deployments/{self.name}",
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/batchEndpoints/deployments",
            "location": self.location,
            "tags": dict(self.tags),
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": self.settings | {"provisioningState": self.state},
        }


@dataclass(slots=True, kw_only=True)
class BatchEndpoint:
    """One batch endpoint."""

    workspace: str
    name: str
    location: str
    created_at: datetime
    modified_at: datetime
    created_by: str
    state: str = "Creating"
    description: str | None = None
    default: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    deployments: dict[str, BatchDeployment] = field(default_factory=dict)
    operation_url: str = ""
    #: The names of the jobs that it was invoked for, oldest first.
    jobs: list[str] = field(default_factory=list)
    #: The job of each Repeatability-Request-ID.
    requests: dict[str, str] = field(default_factory=dict)

    @property
    def entity(self) -> str:
        """The name under which operations lock this endpoint."""
        return f"batch/{self.name}".lower()

    @property
    def host(self) -> str:
        """The part of the invocation address that is this endpoint's own."""
        return f"{self.name}.{self.location}".lower()

    def subject(self) -> Subject:
        """Return what rules match on."""
        return Subject(workspace=self.workspace, endpoint=self.name)

    def entities(self) -> Iterator[str]:
        """Yield the endpoint and its deployments, as operations lock them."""
        yield self.entity
        for deployment in self.deployments.values():
            yield deployment.entity

    def document(self, endpoint_id: str, url: str) -> Json:
        """Return the endpoint as a resource; `url` is where the data plane listens."""
        return {
            "id": endpoint_id,
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/batchEndpoints",
            "location": self.location,
            "tags": dict(self.tags),
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": {
                "authMode": "AADToken",
                "description": self.description,
                "defaults": {"deploymentName": self.default},
                "properties": dict(self.properties),
                "provisioningState": self.state,
                "scoringUri": f"{url}/batch/{self.host}/jobs",
            },
        }
