"""The AML workspaces, through Azure Resource Manager and their own addresses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from azure.core.credentials import TokenCredential

from shared.adapters.aml import documents
from shared.adapters.aml.addresses import AUDIENCE, Aml, path_of
from shared.adapters.aml.arm import PUBLIC_ENDPOINT, ArmAnswer, segment
from shared.adapters.aml.capacity import Capacities
from shared.adapters.aml.mlflow import Mlflow
from shared.adapters.aml.model_files import ModelFiles
from shared.adapters.aml.models import ModelRegistry
from shared.adapters.aml.run_history import RunHistory
from shared.adapters.aml.scoring import ScoringClient
from shared.adapters.http import Http
from shared.adapters.refusals import parse_complaint, parse_retry_after
from shared.base.clock import Clock
from shared.base.errors import WorkspaceRefused
from shared.base.outside import Json
from shared.events.model import Workspace
from shared.workspaces.model import (
    Capacity,
    Deployment,
    DeploymentSpec,
    Endpoint,
    EndpointKind,
    ModelVersion,
    NewModel,
    Operation,
    OperationResult,
    OperationStatus,
    RunRecord,
    Score,
)

#: How long an endpoint's key is kept; a rotated one is noticed before, by a 401.
_SECRET_LIFETIME = timedelta(minutes=5)

_ENDED = {
    "succeeded": OperationStatus.SUCCEEDED,
    "failed": OperationStatus.FAILED,
    "canceled": OperationStatus.FAILED,
}


@dataclass(frozen=True, slots=True)
class _Secret:
    text: str = field(repr=False)
    good_until: datetime


class ArmWorkspaces:
    """Every workspace that the app's identity can reach, safe to share between threads.

    Each call is one request, but for registering a model, which is two, for lists of more than one
    page, for capacity, which is in two, and for what is remembered: a workspace's document, which
    is read before what is created first and before its first run is read, its discovery document,
    its region's VM sizes, and an endpoint's key, which is read before its first score.
    """

    def __init__(
        self,
        credential: Callable[[], TokenCredential],
        *,
        arm_endpoint: str = PUBLIC_ENDPOINT,
        audience: str = AUDIENCE,
        ca_path: str | None = None,
        http: Http | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connect on first use; `credential` is called then, once.

        `ca_path` names a PEM file of authorities in place of the usual ones; `http` makes the
        requests.
        """
        #: What carries the requests; what starts jobs shares it.
        self.aml: Final = Aml(
            credential,
            arm_endpoint=arm_endpoint,
            audience=audience,
            ca_path=ca_path,
            http=http,
            clock=clock,
        )
        self._arm: Final = self.aml.arm
        self._clock: Final = self.aml.clock
        self._scoring: Final = ScoringClient(self.aml.http)
        self._models: Final = ModelRegistry(self._arm)
        self._files: Final = ModelFiles(self.aml)
        self._history: Final = RunHistory(self.aml)
        self._capacities: Final = Capacities(self._arm)
        self._mlflow: Final = Mlflow(self.aml)
        self._secrets: dict[str, _Secret] = {}

    def get_model(self, workspace: Workspace, name: str, version: str) -> ModelVersion | None:
        """Return the model version, or None."""
        return self._models.get(workspace, name, version)

    def find_models(
        self, workspace: Workspace, name: str, tags: Mapping[str, str]
    ) -> tuple[ModelVersion, ...]:
        """Return the versions of a model that have all these tags; () without such a model."""
        return self._models.find(workspace, name, tags)

    def register_model(self, workspace: Workspace, model: NewModel) -> ModelVersion:
        """Register the next version of a model, and return it."""
        return self._models.register(workspace, model)

    def read_model_file(
        self, workspace: Workspace, model: ModelVersion, path: str, *, most: int
    ) -> bytes | None:
        """Return a file of a model, None where it has none of that path."""
        return self._files.read(workspace, model, path, most=most)

    def get_run(self, workspace: Workspace, run_id: str) -> RunRecord | None:
        """Return the run, or None."""
        return self._history.get(workspace, run_id)

    def list_children(self, workspace: Workspace, run_id: str) -> tuple[RunRecord, ...]:
        """Return the runs that are directly below a run; () without such a run."""
        return self._history.list_children(workspace, run_id)

    def get_metrics(self, workspace: Workspace, run_id: str) -> Mapping[str, float] | None:
        """Return the last value of each metric that a run logged, or None without such a run."""
        return self._mlflow.get_metrics(workspace, run_id)

    def get_endpoint(
        self,
        workspace: Workspace,
        endpoint: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> Endpoint | None:
        """Return the endpoint, or None. Managed and Kubernetes ones share their names."""
        path = _endpoint_path(workspace, endpoint, kind)
        answer = self._arm.call("GET", path, f"reading endpoint {endpoint!r}", expected=(404,))
        if answer.status == 404:
            return None
        if kind is EndpointKind.BATCH:
            return documents.parse_batch_endpoint(answer.body)
        return documents.parse_endpoint(answer.body)

    def list_endpoints(self, workspace: Workspace) -> tuple[Endpoint, ...]:
        """Return the online endpoints, managed and Kubernetes; () without such a workspace."""
        path = f"{path_of(workspace)}/onlineEndpoints"
        doing = f"listing the endpoints of workspace {workspace.name!r}"
        return tuple(documents.parse_endpoint(item) for item in self._arm.pages(path, doing))

    def list_deployments(
        self,
        workspace: Workspace,
        endpoint: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> tuple[Deployment, ...]:
        """Return the endpoint's deployments; () where there is no endpoint."""
        items = self._arm.pages(
            f"{_endpoint_path(workspace, endpoint, kind)}/deployments",
            f"listing the deployments of endpoint {endpoint!r}",
        )
        return tuple(documents.parse_deployment(item) for item in items)

    def create_endpoint(
        self,
        workspace: Workspace,
        endpoint: str,
        *,
        auth_mode: str,
        tags: Mapping[str, str],
        kind: EndpointKind = EndpointKind.MANAGED,
        compute: str = "",
        is_public: bool = True,
    ) -> Operation:
        """Start creating an endpoint; `auth_mode` is one of AUTH_MODES for its kind.

        `compute` is the name of the attached cluster of a Kubernetes one.
        """
        location = self.aml.location(workspace)
        if kind is EndpointKind.BATCH:
            body = documents.new_batch_endpoint(location, auth_mode, tags)
        else:
            is_managed = kind is EndpointKind.MANAGED
            cluster = "" if is_managed else _compute_path(workspace, compute)
            body = documents.new_endpoint(
                location, auth_mode, tags, compute=cluster, is_public=is_public
            )
        path = _endpoint_path(workspace, endpoint, kind)
        return self._start("PUT", path, f"creating endpoint {endpoint!r}", body)

    def create_deployment(
        self, workspace: Workspace, endpoint: str, deployment: str, spec: DeploymentSpec
    ) -> Operation:
        """Start creating a deployment; it gets no traffic."""
        location = self.aml.location(workspace)
        if spec.kind is EndpointKind.BATCH:
            cluster = _compute_path(workspace, spec.compute)
            body = documents.new_batch_deployment(location, spec, cluster)
        else:
            body = documents.new_deployment(location, spec)
        path = _deployment_path(workspace, endpoint, deployment, spec.kind)
        return self._start("PUT", path, f"creating deployment {deployment!r}", body)

    def set_traffic(
        self,
        workspace: Workspace,
        endpoint: Endpoint,
        traffic: Mapping[str, int],
        tags: Mapping[str, str],
        *,
        mirror: Mapping[str, int] = MappingProxyType({}),
    ) -> Operation:
        """Start setting the whole split and mirror, merging `tags`; keep all else of the endpoint.

        Of a batch endpoint, the deployment with all traffic becomes the default one. The service
        knows no conditional writes here: what changed since the endpoint was read is overwritten.
        """
        if endpoint.kind is EndpointKind.BATCH:
            default = documents.default_of(traffic, mirror)
            body = documents.with_default(endpoint.document, default, tags)
        else:
            body = documents.with_traffic(endpoint.document, traffic, tags, mirror)
        path = _endpoint_path(workspace, endpoint.name, endpoint.kind)
        return self._start("PUT", path, f"setting the traffic of {endpoint.name!r}", body)

    def scale_deployment(
        self, workspace: Workspace, endpoint: str, deployment: str, instances: int
    ) -> Operation:
        """Start giving an online deployment so many instances; keep all else of it."""
        path = _deployment_path(workspace, endpoint, deployment)
        body = documents.scaled(instances)
        return self._start("PATCH", path, f"scaling deployment {deployment!r}", body)

    def delete_deployment(
        self,
        workspace: Workspace,
        endpoint: str,
        deployment: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> Operation:
        """Start deleting the deployment, absent or not."""
        path = _deployment_path(workspace, endpoint, deployment, kind)
        return self._start("DELETE", path, f"deleting deployment {deployment!r}", expected=(404,))

    def find_capacity(self, workspace: Workspace, instance_type: str) -> Capacity | None:
        """Return what is left of an instance type in the workspace's region.

        None where that region does not list it.
        """
        location = self.aml.location(workspace)
        return self._capacities.find(workspace.subscription, location, instance_type)

    def get_operation(self, operation: Operation) -> OperationResult:
        """Return where the operation stands; UNKNOWN where the service named or keeps none.

        A failure for want of quota has the code OutOfQuota, whatever the service calls it.
        """
        if not operation.url:
            return OperationResult(status=OperationStatus.UNKNOWN)
        answer = self._arm.follow(operation.url, "reading an operation", expected=(404, 410))
        status = _parse_status(answer)
        failed = status is OperationStatus.FAILED
        complaint = parse_complaint(answer.body if failed else {})
        return OperationResult(
            status=status,
            code=complaint.code or (str(answer.body.get("status", "")) if failed else ""),
            message=complaint.message,
            retry_after=parse_retry_after(answer.headers, self._clock),
        )

    def get_logs(self, workspace: Workspace, endpoint: str, deployment: str, *, lines: int) -> str:
        """Return the last lines of the container's log; "" where there is none."""
        answer = self._arm.call(
            "POST",
            f"{_deployment_path(workspace, endpoint, deployment)}/getLogs",
            f"reading the log of deployment {deployment!r}",
            body={"containerType": "InferenceServer", "tail": lines},
            expected=(404,),
        )
        return "" if answer.status == 404 else str(answer.body.get("content") or "")

    def score(
        self,
        workspace: Workspace,
        endpoint: Endpoint,
        deployment: str,
        body: bytes,
        *,
        timeout: timedelta,
    ) -> Score:
        """Send one scoring request straight to the deployment and return the answer."""
        if endpoint.kind is EndpointKind.BATCH:
            # The same request would start a job there.
            raise WorkspaceRefused(f"batch endpoint {endpoint.name!r} answers no scoring requests")
        path = _endpoint_path(workspace, endpoint.name)
        is_known = path in self._secrets
        secret = self._secret(path, endpoint)
        url = endpoint.scoring_uri
        answer = self._scoring.send(url, deployment, secret, body, timeout=timeout)
        if answer.status != 401 or not is_known:
            return answer
        # The key that was kept may have been renewed.
        self._secrets.pop(path, None)
        secret = self._secret(path, endpoint)
        return self._scoring.send(url, deployment, secret, body, timeout=timeout)

    def close(self) -> None:
        """Close the connections; only a process that goes on without them needs to."""
        self.aml.close()

    def _start(
        self,
        method: str,
        path: str,
        doing: str,
        body: Json | None = None,
        *,
        expected: tuple[int, ...] = (),
    ) -> Operation:
        answer = self._arm.call(method, path, doing, body=body, expected=expected)
        headers = answer.headers
        return Operation(
            url=headers.get("azure-asyncoperation") or headers.get("location") or "",
            retry_after=parse_retry_after(headers, self._clock),
        )

    def _secret(self, path: str, endpoint: Endpoint) -> str:
        if endpoint.auth_mode.lower() == "aadtoken":
            return self.aml.token("signing in to call an endpoint")
        kept = self._secrets.get(path)
        if kept is None or kept.good_until <= self._clock.now():
            text = self._read_secret(path, endpoint)
            kept = _Secret(text, self._clock.now() + _SECRET_LIFETIME)
            self._secrets[path] = kept
        return kept.text

    def _read_secret(self, path: str, endpoint: Endpoint) -> str:
        doing = f"reading the key of endpoint {endpoint.name!r}"
        if endpoint.auth_mode.lower() == "key":
            answer, name = self._arm.call("POST", f"{path}/listKeys", doing), "primaryKey"
        else:
            answer, name = self._arm.call("POST", f"{path}/token", doing), "accessToken"
        secret = answer.body.get(name)
        if not isinstance(secret, str) or not secret:
            raise WorkspaceRefused(f"{doing}: the answer has none")
        return secret


def _parse_status(answer: ArmAnswer) -> OperationStatus:
    if answer.status in (404, 410):
        return OperationStatus.UNKNOWN
    properties = answer.body.get("properties")
    state = properties.get("provisioningState") if isinstance(properties, Mapping) else None
    status = answer.body.get("status") or state
    if status:
        return _ENDED.get(str(status).lower(), OperationStatus.RUNNING)
    # An address from a Location header tells it by the HTTP status alone.
    return OperationStatus.RUNNING if answer.status == 202 else OperationStatus.SUCCEEDED


def _endpoint_path(
    workspace: Workspace, endpoint: str, kind: EndpointKind = EndpointKind.MANAGED
) -> str:
    kinds = "batchEndpoints" if kind is EndpointKind.BATCH else "onlineEndpoints"
    return f"{path_of(workspace)}/{kinds}/{segment(endpoint)}"


def _deployment_path(
    workspace: Workspace,
    endpoint: str,
    deployment: str,
    kind: EndpointKind = EndpointKind.MANAGED,
) -> str:
    return f"{_endpoint_path(workspace, endpoint, kind)}/deployments/{segment(deployment)}"


def _compute_path(workspace: Workspace, compute: str) -> str:
    return f"{path_of(workspace)}/computes/{segment(compute)}"
