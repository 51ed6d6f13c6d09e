"""The entities of a workspace, and their documents in responses."""

import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.workspace.arm import PROVIDER, Json, system_data
from sandbox.workspace.asset_entities import AssetContainer, newest_number, next_number
from sandbox.workspace.batch_entities import BatchEndpoint
from sandbox.workspace.rules import Subject
from sandbox.workspace.run_entities import Experiment, Run
from sandbox.workspace.schedule_entities import Schedule

_GUIDS = uuid.UUID("9a1b3c5d-0000-4000-8000-000000000000")


@dataclass(slots=True, kw_only=True)
class ModelVersion:
    """One registered version of a model."""

    name: str
    version: str
    type: str
    uri: str
    created_at: datetime
    modified_at: datetime
    created_by: str
    #: Keeps versions apart that were registered in the same instant.
    order: int
    flavors: Json = field(default_factory=dict)
    job_name: str | None = None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    is_archived: bool = False
    is_anonymous: bool = False
    stage: str | None = None

    def document(self, container_id: str) -> Json:
        """Return the version as a resource."""
        return {
            "id": f"{container_id}/versions/{self.version}",
            "name": self.version,
            "type": f"{PROVIDER}/workspaces/models/versions",
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": {
                "description": self.description,
                "tags": dict(self.tags),
                "properties": dict(self.properties),
                "isArchived": self.is_archived,
                "isAnonymous": self.is_anonymous,
                "flavors": self.flavors,
                "modelType": self.type,
                "modelUri": self.uri,
                "jobName": self.job_name,
                "stage": self.stage,
                "provisioningState": "Succeeded",
            },
        }


@dataclass(slots=True, kw_only=True)
class ModelContainer:
    """A model: the name that its versions share."""

    name: str
    created_at: datetime
    modified_at: datetime
    created_by: str
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    is_archived: bool = False
    versions: dict[str, ModelVersion] = field(default_factory=dict)

    @property
    def next_version(self) -> str:
        """The number that a version without a name of its own would get."""
        return next_number(self.versions)

    @property
    def latest_version(self) -> str | None:
        """The version registered last."""
        return newest_number(self.versions)

    def document(self, container_id: str) -> Json:
        """Return the container as a resource."""
        return {
            "id": container_id,
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/models",
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": {
                "description": self.description,
                "tags": dict(self.tags),
                "properties": dict(self.properties),
                "isArchived": self.is_archived,
                "latestVersion": self.latest_version,
                "nextVersion": self.next_version,
                "provisioningState": "Succeeded",
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The content and the compute of a deployment."""

    model: ModelVersion | None
    instance_type: str
    instances: int
    settings: Json

    @property
    def kind(self) -> str:
        """Its compute: Managed or Kubernetes."""
        return str(self.settings["endpointComputeType"])


@dataclass(slots=True, kw_only=True)
class Deployment:
    """One deployment of an online endpoint."""

    workspace: str
    endpoint: str
    name: str
    location: str
    spec: Spec
    created_at: datetime
    modified_at: datetime
    created_by: str
    state: str = "Creating"
    tags: dict[str, str] = field(default_factory=dict)
    #: The spec that answers requests: that of the last success, also while another is tried.
    serving: Spec | None = None
    #: The spec when the model was last read, and the inputs that the model was found to take.
    loaded: tuple[Spec | None, Any] | None = None
    #: The number of instances since each time, on the clock of metrics.
    scaled: list[tuple[datetime, int]] = field(default_factory=list)
    failure_logs: tuple[str, ...] = ()
    operation_url: str = ""

    @property
    def entity(self) -> str:
        """The name under which operations lock this deployment."""
        return f"{self.endpoint}/{self.name}".lower()

    @property
    def is_ready(self) -> bool:
        """Whether it answers scoring requests."""
        return self.serving is not None and self.state in {"Succeeded", "Updating"}

    def instances_at(self, moment: datetime) -> int:
        """Return how many instances served then."""
        return next((count for since, count in reversed(self.scaled) if since <= moment), 0)

    def subject(self) -> Subject:
        """Return what rules match on."""
        model = self.spec.model
        return Subject(
            workspace=self.workspace,
            endpoint=self.endpoint,
            deployment=self.name,
            model=model.name if model else "",
            version=model.version if model else "",
        )

    def document(self, endpoint_id: str) -> Json:
        """Return the deployment as a resource."""
        spec = self.spec
        return {
            "id": f"{endpoint_id}/deployments/{self.name}",
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/onlineEndpoints/deployments",
            "location": self.location,
            "kind": spec.kind,
            "tags": dict(self.tags),
            "sku": {"name": "Default", "capacity": spec.instances},
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": spec.settings
            | {
                "instanceType": spec.instance_type,
                "provisioningState": self.state,
                "properties": {
                    **spec.settings.get("properties", {}),
                    "AzureAsyncOperationUri": self.operation_url,
                },
            },
        }


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """One online endpoint."""

    workspace: str
    name: str
    location: str
    auth_mode: str
    created_at: datetime
    modified_at: datetime
    created_by: str
    identity: Json
    #: The ARM id of the cluster that it runs on, None if the service finds the machines.
    compute: str | None = None
    state: str = "Creating"
    description: str | None = None
    public_network_access: str = "Enabled"
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    traffic: dict[str, int] = field(default_factory=dict)
    mirror: dict[str, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=lambda: {"Primary": "", "Secondary": ""})
    deployments: dict[str, Deployment] = field(default_factory=dict)
    operation_url: str = ""

    @property
    def entity(self) -> str:
        """The name under which operations lock this endpoint."""
        return self.name.lower()

    @property
    def kind(self) -> str:
        """Its compute: Managed or Kubernetes."""
        return "Kubernetes" if self.compute else "Managed"

    @property
    def host(self) -> str:
        """The part of the scoring address that is this endpoint's own."""
        return f"{self.name}.{self.location}".lower()

    def subject(self) -> Subject:
        """Return what rules match on."""
        return Subject(workspace=self.workspace, endpoint=self.name)

    def entities(self) -> Iterator[str]:
        """Yield the endpoint and its deployments, as operations lock them."""
        yield self.entity
        for deployment in self.deployments.values():
            yield deployment.entity

    def renew_key(self, which: str) -> None:
        """Replace the Primary or Secondary key."""
        self.keys[which] = secrets.token_urlsafe(24)

    def document(self, endpoint_id: str, url: str) -> Json:
        """Return the endpoint as a resource; `url` is where the data plane listens."""
        return {
            "id": endpoint_id,
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/onlineEndpoints",
            "location": self.location,
            "kind": self.kind,
            "tags": dict(self.tags),
            "identity": self.identity,
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": {
                "authMode": self.auth_mode,
                "compute": self.compute,
                "description": self.description,
                "publicNetworkAccess": self.public_network_access,
                "provisioningState": self.state,
                "scoringUri": f"{url}/inference/{self.host}/score",
                "swaggerUri": f"{url}/inference/{self.host}/swagger.json",
                "traffic": dict(self.traffic),
                "mirrorTraffic": dict(self.mirror),
                "properties": {
                    **self.properties,
                    "azureml.onlineendpointid": endpoint_id.lower(),
                    "AzureAsyncOperationUri": self.operation_url,
                },
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Datastore:
    """A name for a place in storage; `properties` are as they were sent, but for the secrets."""

    name: str
    properties: Json
    #: Such as `{"key": "…"}`; only in the answer to a request for them.
    secrets: Json = field(repr=False)
    is_default: bool
    created_at: datetime
    modified_at: datetime
    created_by: str

    def document(self, workspace_id: str) -> Json:
        """Return the datastore as a resource."""
        usual = {"description": None, "tags": {}, "properties": {}}
        return {
            "id": f"{workspace_id}/datastores/{self.name}",
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/datastores",
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": usual | self.properties | {"isDefault": self.is_default},
        }


@dataclass(slots=True, kw_only=True)
class Workspace:
    """A workspace and its contents; keys are lower-case names."""

    name: str
    arm_id: str
    location: str
    created_at: datetime
    models: dict[str, ModelContainer] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    batch_endpoints: dict[str, BatchEndpoint] = field(default_factory=dict)
    #: By the kind's place in addresses, then by name.
    assets: dict[str, dict[str, AssetContainer]] = field(default_factory=dict)
    #: Oldest first.
    runs: dict[str, Run] = field(default_factory=dict)
    experiments: dict[str, Experiment] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    #: Those that somebody added or changed.
    datastores: dict[str, Datastore] = field(default_factory=dict)

    @property
    def guid(self) -> str:
        """The workspace's immutable id."""
        return str(uuid.uuid5(_GUIDS, self.arm_id.lower()))

    def storage_id(self, account: str) -> str:
        """Return the ARM id of the storage account with that name."""
        group = self.arm_id.rsplit("/providers/", 1)[0]
        return f"{group}/providers/Microsoft.Storage/storageAccounts/{account}"

    def document(self, url: str, tenant: str, account: str) -> Json:
        """Return the workspace as a resource; `url` is the address of its services."""
        others = f"{self.arm_id.rsplit('/providers/', 1)[0]}/providers"
        return {
            "id": self.arm_id,
            "name": self.name,
            "type": f"{PROVIDER}/workspaces",
            "location": self.location,
            "kind": "Default",
            "tags": {},
            "sku": {"name": "Basic", "tier": "Basic"},
            "identity": {
                "type": "SystemAssigned",
                "principalId": str(uuid.uuid5(_GUIDS, f"{self.arm_id}/identity")),
                "tenantId": tenant,
            },
            "systemData": system_data(self.created_at, self.created_at, "emulator"),
            "properties": {
                "friendlyName": self.name,
                "workspaceId": self.guid,
                "discoveryUrl": f"{url}/discovery",
                "mlFlowTrackingUri": f"{url.replace('https', 'azureml')}/mlflow/v1.0{self.arm_id}",
                "storageAccount": self.storage_id(account),
                "keyVault": f"{others}/Microsoft.KeyVault/vaults/kv",
                "applicationInsights": f"{others}/Microsoft.Insights/components/ai",
                "publicNetworkAccess": "Enabled",
                "tenantId": tenant,
                "provisioningState": "Succeeded",
            },
        }
