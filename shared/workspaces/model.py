"""The resources of AML workspaces, as the app sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class State(StrEnum):
    """The provisioning state of an endpoint or a deployment."""

    CREATING = "Creating"
    UPDATING = "Updating"
    SCALING = "Scaling"
    DELETING = "Deleting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_settled(self) -> bool:
        """Whether no operation is under way."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELED)


class EndpointKind(StrEnum):
    """The compute of an endpoint, under the names that it has in reactions.yaml."""

    MANAGED = "managed"
    KUBERNETES = "kubernetes"
    BATCH = "batch"  #: Its default deployment counts as the one with all traffic.


#: How callers of a new endpoint may sign in; the first is the default. Batch endpoints have no
#: keys, and Kubernetes endpoints do not support Entra (how-to-authenticate-online-endpoint,
#: reference-yaml-endpoint-batch).
AUTH_MODES: Final[Mapping[EndpointKind, tuple[str, ...]]] = MappingProxyType(
    {
        EndpointKind.MANAGED: ("aad_token", "key", "aml_token"),
        EndpointKind.KUBERNETES: ("key", "aml_token"),
        EndpointKind.BATCH: ("aad_token",),
    }
)


#: The longest value of a tag in Azure.
_TAG_MAX: Final = 256


class ModelKind(StrEnum):
    """The kind of a registered model, as far as it matters for deployments."""

    MLFLOW = "mlflow_model"
    TRITON = "triton_model"
    CUSTOM = "custom_model"


#: The models that can be deployed without code (how-to-deploy-mlflow-models, how-to-deploy-with-
#: triton, reference-yaml-deployment-batch); of MLflow ones those with a python_function flavor.
WITHOUT_CODE: Final[Mapping[EndpointKind, tuple[ModelKind, ...]]] = MappingProxyType(
    {
        EndpointKind.MANAGED: (ModelKind.MLFLOW, ModelKind.TRITON),
        EndpointKind.KUBERNETES: (ModelKind.MLFLOW, ModelKind.TRITON),
        EndpointKind.BATCH: (ModelKind.MLFLOW,),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A model version as the workspace has it now. `id` is its ARM id.

    `flavors` are those of an MLflow model, () if the workspace does not give them.
    """

    id: str
    name: str
    version: str
    kind: str
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    archived: bool = False
    created_at: datetime | None = None
    modified_at: datetime | None = None
    job_name: str = ""  #: The run that made it, "" if none did.
    flavors: tuple[str, ...] = ()
    path: str = ""  #: The azureml:// address of its files.


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint as the workspace has it now. Traffic is in percent by deployment name.

    `document` is the whole ARM resource, so that a write keeps the parts that it does not change.
    """

    name: str
    state: State
    traffic: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    scoring_uri: str = ""
    auth_mode: str = ""
    kind: EndpointKind = EndpointKind.MANAGED
    is_public: bool = True  #: Whether a managed one can be called from the internet.
    identities: tuple[str, ...] = ()  #: The user-assigned ones, by ARM id.
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment as the workspace has it now.

    `model` is the ARM id of its model, `operation` the address of its last operation.
    """

    name: str
    state: State
    model: str = ""
    operation: str = ""
    instance_type: str = ""
    instance_count: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthProbe:
    """The service's checks of a container's health; None leaves a value to the service.

    A container counts as well again after `success_threshold` good checks in a row.
    """

    initial_delay: timedelta | None = None
    period: timedelta | None = None
    timeout: timedelta | None = None
    failure_threshold: int | None = None
    success_threshold: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCollection:
    """The data that AML keeps of a deployment's requests and answers, in the workspace's storage.

    `collections` are what the scoring script logs under these names; `sampling_rate` is the share
    of requests. `rolling_rate` says how often a new folder is begun: minute, hour or day.
    """

    collections: tuple[str, ...]
    sampling_rate: float
    rolling_rate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How an online deployment serves; None leaves a value to the service.

    After `request_timeout` a request is cut off. A container that fails `liveness` is started
    again; one that fails `readiness` gets no requests. `is_egress_public` says whether a managed
    one may reach its workspace by the internet.
    """

    request_timeout: timedelta | None = None
    max_concurrent_requests: int | None = None  #: Of one instance.
    max_queue_wait: timedelta | None = None
    liveness: HealthProbe | None = None
    readiness: HealthProbe | None = None
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    is_egress_public: bool = True
    has_app_insights: bool = False
    collects: DataCollection | None = None


class AssetKind(StrEnum):
    """The kinds of registered assets that a deployment runs, by their place in ARM addresses."""

    ENVIRONMENT = "environments"
    CODE = "codes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingContainer:
    """The registered parts that an online deployment runs a model with, by their ids.

    Without `code` the environment's image brings a server of its own. `script` is a path in `code`.
    """

    environment: str
    code: str = ""
    script: str = ""

    @property
    def environment_words(self) -> str:
        """Name and version of the environment."""
        return _name_and_version(self.environment)

    @property
    def code_words(self) -> str:
        """Name and version of the code, "" without code."""
        return _name_and_version(self.code)


def _name_and_version(asset_id: str) -> str:
    name, _, version = asset_id.rpartition("/versions/")
    return f"{name.rpartition('/')[2]}:{version}"[:_TAG_MAX] if asset_id else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """The specification of a new deployment; without a `container` it is of MLflow or Triton.

    `compute` is the name of the cluster that a batch deployment runs on.
    """

    model_id: str
    instance_type: str
    instance_count: int
    kind: EndpointKind = EndpointKind.MANAGED
    compute: str = ""
    serving: Serving = field(default_factory=Serving)
    container: ServingContainer | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The cores that a region has left for one instance type.

    `cores` are those of one instance; `used` and `limit` those of its family, None if the service
    does not give them.
    """

    family: str
    cores: int
    used: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A long-running operation that the workspace accepted.

    `url` is the address of its status; "" if the service gave none. `retry_after` is the wait that
    the service asks for.
    """

    url: str = ""
    retry_after: timedelta | None = None


class OperationStatus(StrEnum):
    """The status of a long-running operation."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"  #: The service has forgotten it, or never named it: read the resource.


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationResult:
    """The status document of an operation. Only it has the reason of a failure."""

    status: OperationStatus
    code: str = ""
    message: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The answer to one scoring request.

    `model_status` is the container's own status if the platform wrapped it in a 424, else 0.
    `seconds` is the time from request to answer.
    """

    status: int
    model_status: int = 0
    body: bytes = b""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as run history has it now.

    `step` is the component that a step runs. `parameters` are the literal inputs of a pipeline.
    `error_code` and `error` are those of a failed run, in the service's words.
    """

    id: str
    status: str
    root_id: str
    parent_id: str = ""
    experiment: str = ""
    display_name: str = ""
    step: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error_code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """A model version that is to be registered. `path` is the azureml:// address of its files."""

    name: str
    kind: str
    path: str
    job_name: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
