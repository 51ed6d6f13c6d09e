"""The port to AML workspaces, in five parts. Every method raises WorkspaceError."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Protocol

from shared.events.model import Workspace
from shared.workspaces.model import (
    AssetKind,
    Capacity,
    Deployment,
    DeploymentSpec,
    Endpoint,
    EndpointKind,
    ModelVersion,
    NewModel,
    Operation,
    OperationResult,
    RunRecord,
    Score,
)


class Models(Protocol):
    """Registered models and their files."""

    def get_model(self, workspace: Workspace, name: str, version: str) -> ModelVersion | None:
        """Return the model version, or None."""
        ...

    def find_models(
        self, workspace: Workspace, name: str, tags: Mapping[str, str]
    ) -> tuple[ModelVersion, ...]:
        """Return the versions of a model that have all these tags; () without such a model."""
        ...

    def list_models(self, workspace: Workspace) -> tuple[str, ...]:
        """Return the names of the models that are not archived."""
        ...

    def newest_models(
        self, workspace: Workspace, name: str, *, most: int
    ) -> tuple[ModelVersion, ...]:
        """Return the newest versions of a model that are not archived, the newest first."""
        ...

    def register_model(self, workspace: Workspace, model: NewModel) -> ModelVersion:
        """Register the next version of a model, and return it."""
        ...

    def read_model_file(
        self, workspace: Workspace, model: ModelVersion, path: str, *, most: int
    ) -> bytes | None:
        """Return a file of a model, None if it has no file of that path.

        Raises: WorkspaceRefused if it has more than `most` bytes, or is in a place that is not
        read.
        """
        ...


class Assets(Protocol):
    """Registered environments and code, and whether other resources are there."""

    def has_resource(self, workspace: Workspace, *names: str) -> bool:
        """Say whether a workspace has the resource that the names lead to in ARM's addresses.

        `computes`, `cpu-cluster` lead to a cluster; without names it is the workspace itself.
        """
        ...

    def find_asset(
        self, workspace: Workspace, kind: AssetKind, name: str, version: str = ""
    ) -> str | None:
        """Return the ARM id of a version, of the latest one where none is named; or None."""
        ...


class Runs(Protocol):
    """Runs and their metrics."""

    def get_run(self, workspace: Workspace, run_id: str) -> RunRecord | None:
        """Return the run, or None."""
        ...

    def list_children(self, workspace: Workspace, run_id: str) -> tuple[RunRecord, ...]:
        """Return the runs that are directly below a run; () without such a run."""
        ...

    def get_metrics(self, workspace: Workspace, run_id: str) -> Mapping[str, float] | None:
        """Return the last value of each metric that a run logged, or None without such a run."""
        ...


class Endpoints(Protocol):
    """Endpoints, their deployments, and the capacity for more.

    Reads return the present state; writes only start an operation.
    """

    def get_endpoint(
        self,
        workspace: Workspace,
        endpoint: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> Endpoint | None:
        """Return the endpoint, or None. Managed and Kubernetes ones share their names."""
        ...

    def list_endpoints(self, workspace: Workspace) -> tuple[Endpoint, ...]:
        """Return the online endpoints, managed and Kubernetes."""
        ...

    def list_deployments(
        self,
        workspace: Workspace,
        endpoint: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> tuple[Deployment, ...]:
        """Return the endpoint's deployments; () if there is no endpoint."""
        ...

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
        """Start creating an endpoint; `compute` is the attached cluster of a Kubernetes one.

        `is_public` says whether a managed one can be called from the internet. An online endpoint
        has the user-assigned `identities`, by ARM id, or else an identity of its own.
        """
        ...

    def create_deployment(
        self, workspace: Workspace, endpoint: str, deployment: str, spec: DeploymentSpec
    ) -> Operation:
        """Start creating a deployment; it gets no traffic."""
        ...

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

        On a batch endpoint the deployment with all traffic becomes the default one.
        """
        ...

    def scale_deployment(
        self, workspace: Workspace, endpoint: str, deployment: str, instances: int
    ) -> Operation:
        """Start setting an online deployment's number of instances; nothing else of it changes."""
        ...

    def delete_deployment(
        self,
        workspace: Workspace,
        endpoint: str,
        deployment: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> Operation:
        """Start deleting the deployment, absent or not."""
        ...

    def find_capacity(self, workspace: Workspace, instance_type: str) -> Capacity | None:
        """Return the capacity of an instance type in the workspace's region.

        None means that the region does not offer it.
        """
        ...

    def get_operation(self, operation: Operation) -> OperationResult:
        """Return the status of an operation."""
        ...

    def get_logs(self, workspace: Workspace, endpoint: str, deployment: str, *, lines: int) -> str:
        """Return the last lines of the container's log; "" if there is none."""
        ...


class Scoring(Protocol):
    """Requests to deployments."""

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
        ...


class Workspaces(Models, Assets, Runs, Endpoints, Scoring, Protocol):
    """The whole port, which the adapter and its twin implement."""
