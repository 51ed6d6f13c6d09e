"""The AML workspaces, through Azure Resource Manager and their own addresses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from shared.adapters.aml import documents
from shared.adapters.aml.arm import path_of
from shared.adapters.aml.assets import AssetRegistry
from shared.adapters.aml.capacity import Capacities
from shared.adapters.aml.connection import Aml
from shared.adapters.aml.mlflow import Mlflow
from shared.adapters.aml.model_files import ModelFiles
from shared.adapters.aml.models import ModelRegistry
from shared.adapters.aml.run_history import RunHistory
from shared.adapters.aml.scoring import ArmScoring
from shared.adapters.client import Answer
from shared.adapters.refusals import parse_complaint, parse_retry_after
from shared.base.incoming import Json, object_in
from shared.events.model import Workspace
from shared.workspaces.model import (
    Capacity,
    DataCollection,
    Deployment,
    DeploymentSpec,
    Endpoint,
    EndpointKind,
    Operation,
    OperationResult,
    OperationStatus,
)

#: Where azure-ai-ml has collected data kept.
_COLLECTED = "azureml://datastores/workspaceblobstore/paths/modelDataCollector"

_ENDED = {
    "succeeded": OperationStatus.SUCCEEDED,
    "failed": OperationStatus.FAILED,
    "canceled": OperationStatus.FAILED,
}


class ArmWorkspaces:
    """Every workspace that the app's identity can reach, safe to share between threads.

    Each call is one request, except that registering a model and finding capacity are two, a
    deployment that collects data takes one for each collection, and a list is one for each page.
    These are read before they are first needed, and kept: a workspace's document (to create
    something, or to read a run), its discovery document, its region's VM sizes, and the key of an
    endpoint (to score).
    """

    def __init__(self, aml: Aml) -> None:
        #: Makes the requests; the targets of retrainings share it.
        self.aml: Final = aml
        self._arm: Final = self.aml.arm
        self._clock: Final = self.aml.clock
        self._capacities: Final = Capacities(self._arm)
        models, history = ModelRegistry(self._arm), RunHistory(self.aml)
        self._assets: Final = AssetRegistry(self._arm)
        # The methods of the ports Models, Assets, Runs and Scoring.
        self.find_asset: Final = self._assets.find
        self.has_resource: Final = self._assets.has
        self.get_model: Final = models.get
        self.find_models: Final = models.find
        self.list_models: Final = models.list_names
        self.newest_models: Final = models.newest
        self.register_model: Final = models.register
        self.read_model_file: Final = ModelFiles(self.aml).read
        self.get_run: Final = history.get
        self.list_children: Final = history.list_children
        self.get_metrics: Final = Mlflow(self.aml).get_metrics
        self.score: Final = ArmScoring(self.aml).score

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
        path = path_of(workspace, "onlineEndpoints")
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
            _endpoint_path(workspace, endpoint, kind, "deployments"),
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
        identities: tuple[str, ...] = (),
    ) -> Operation:
        """Start creating an endpoint; `auth_mode` is one of AUTH_MODES for its kind.

        `compute` is the name of the attached cluster of a Kubernetes one.
        """
        location = self.aml.location(workspace)
        if kind is EndpointKind.BATCH:
            body = documents.new_batch_endpoint(location, auth_mode, tags)
        else:
            is_managed = kind is EndpointKind.MANAGED
            cluster = "" if is_managed else path_of(workspace, "computes", compute)
            body = documents.new_endpoint(
                location,
                auth_mode,
                tags,
                compute=cluster,
                is_public=is_public,
                identities=identities,
            )
        path = _endpoint_path(workspace, endpoint, kind)
        return self._start("PUT", path, f"creating endpoint {endpoint!r}", body)

    def create_deployment(
        self, workspace: Workspace, endpoint: str, deployment: str, spec: DeploymentSpec
    ) -> Operation:
        """Start creating a deployment; it gets no traffic."""
        location = self.aml.location(workspace)
        if spec.kind is EndpointKind.BATCH:
            cluster = path_of(workspace, "computes", spec.compute)
            body = documents.new_batch_deployment(location, spec, cluster)
        else:
            data = self._keep_collections(workspace, endpoint, deployment, spec.serving.collects)
            body = documents.new_deployment(location, spec, data)
        path = _deployment_path(workspace, endpoint, deployment, spec.kind)
        return self._start("PUT", path, f"creating deployment {deployment!r}", body)

    def _keep_collections(
        self,
        workspace: Workspace,
        endpoint: str,
        deployment: str,
        collects: DataCollection | None,
    ) -> Mapping[str, str]:
        """Register the data asset of each collection, as azure-ai-ml does; return their ids.

        Without one AML would have no place for the data.
        """
        place = f"{endpoint}/{deployment}"
        return {
            name: self._assets.keep_data(
                workspace, f"{endpoint}-{deployment}-{name}", f"{_COLLECTED}/{place}/{name}"
            )
            for name in (collects.collections if collects else ())
        }

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
        has no conditional writes here: changes since the endpoint was read are overwritten.
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
        """Start setting an online deployment's number of instances; nothing else of it changes."""
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
        """Return the capacity for an instance type in the workspace's region.

        None where that region does not list it.
        """
        location = self.aml.location(workspace)
        return self._capacities.find(workspace.subscription, location, instance_type)

    def get_operation(self, operation: Operation) -> OperationResult:
        """Return where the operation stands; UNKNOWN where the service named or keeps none.

        A failure for lack of quota has the code OutOfQuota; the service has several.
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


def _parse_status(answer: Answer) -> OperationStatus:
    if answer.status in (404, 410):
        return OperationStatus.UNKNOWN
    state = object_in(answer.body, "properties").get("provisioningState")
    status = answer.body.get("status") or state
    if status:
        return _ENDED.get(str(status).lower(), OperationStatus.RUNNING)
    # An address from a Location header answers with the HTTP status alone.
    return OperationStatus.RUNNING if answer.status == 202 else OperationStatus.SUCCEEDED


def _endpoint_path(
    workspace: Workspace,
    endpoint: str,
    kind: EndpointKind = EndpointKind.MANAGED,
    *below: str,
) -> str:
    kinds = "batchEndpoints" if kind is EndpointKind.BATCH else "onlineEndpoints"
    return path_of(workspace, kinds, endpoint, *below)


def _deployment_path(
    workspace: Workspace,
    endpoint: str,
    deployment: str,
    kind: EndpointKind = EndpointKind.MANAGED,
) -> str:
    return _endpoint_path(workspace, endpoint, kind, "deployments", deployment)
