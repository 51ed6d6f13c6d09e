"""A workspace that rules can be tried in, in the emulator and in the twin."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Protocol

import pytest

from shared.events.model import Workspace
from shared.twins.clock import ManualClock
from shared.twins.service_rules import Demands
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import (
    AUTH_MODES,
    Capacity,
    Deployment,
    DeploymentSpec,
    Endpoint,
    EndpointKind,
    Operation,
    OperationResult,
)
from shared.workspaces.ports import Workspaces
from tests.contract.conftest import WORKSPACE
from tests.contract.test_workspaces import Stage

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Size:
    """A VM size, with its family and how many cores it has."""

    name: str
    family: str
    cores: int


DS3 = Size("Standard_DS3_v2", "standardDSv2Family", 4)
#: No more of these is kept than is asked for.
A100 = Size("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24)
#: The compute that each kind of endpoint runs on in the emulator.
COMPUTES = {EndpointKind.KUBERNETES: "k8s", EndpointKind.BATCH: "cpu-cluster"}


class LimitCores(Protocol):
    """Gives the family of a size so many cores."""

    def __call__(self, cores: int, size: Size = DS3) -> None: ...


@dataclass(kw_only=True)
class Site:
    """A workspace with model churn 1, ways to let time pass in it, and to make it fail.

    Its endpoint `churn` is of `kind`.
    """

    workspaces: Workspaces
    pass_time: Callable[[], None]
    break_deployments: Callable[[], None]
    break_traffic: Callable[[], None]
    limit_cores: LimitCores
    #: Demands this tag of all, and of endpoints to be private and to have an assigned identity.
    demand: Callable[[str], object]
    #: Registers version 1 of a model of this name and kind.
    add_model: Callable[[str, str], object]
    workspace: Workspace = WORKSPACE
    kind: EndpointKind = EndpointKind.MANAGED

    def endpoint(self) -> Endpoint:
        """Return the endpoint, which must be there."""
        found = self.workspaces.get_endpoint(self.workspace, "churn", kind=self.kind)
        assert found is not None
        return found

    def deployments(self) -> Mapping[str, Deployment]:
        """Return the endpoint's deployments by name."""
        found = self.workspaces.list_deployments(self.workspace, "churn", kind=self.kind)
        return {deployment.name: deployment for deployment in found}

    def start_endpoint(self, name: str = "churn", auth_mode: str = "") -> Operation:
        """Start creating an endpoint."""
        return self.workspaces.create_endpoint(
            self.workspace,
            name,
            auth_mode=auth_mode or AUTH_MODES[self.kind][0],
            tags={"a": "1"},
            kind=self.kind,
            compute=COMPUTES.get(self.kind, ""),
        )

    def make_endpoint(self, *deployments: str) -> None:
        """Create the endpoint and deployments in it, and wait until they are there."""
        self.start_endpoint()
        self.pass_time()
        for name in deployments:
            self.deploy(name)
            self.pass_time()

    def deploy(
        self,
        name: str,
        *,
        instances: int = 1,
        kind: EndpointKind | None = None,
        size: Size = DS3,
        model_name: str = "churn",
    ) -> Operation:
        """Start creating a deployment."""
        model = self.workspaces.get_model(self.workspace, model_name, "1")
        assert model is not None
        kind = kind or self.kind
        spec = DeploymentSpec(
            model_id=model.id,
            instance_type=size.name if kind is EndpointKind.MANAGED else "",
            instance_count=instances,
            kind=kind,
            compute=COMPUTES.get(kind, ""),
            tags={"b": "2"},
        )
        return self.workspaces.create_deployment(self.workspace, "churn", name, spec)

    def set_traffic(
        self, traffic: Mapping[str, int], mirror: Mapping[str, int] = MappingProxyType({})
    ) -> Operation:
        """Start setting the split and the mirror."""
        endpoint = self.endpoint()
        tags = {"c": "3"}
        return self.workspaces.set_traffic(self.workspace, endpoint, traffic, tags, mirror=mirror)

    def scale(self, name: str, instances: int) -> Operation:
        """Start giving a deployment so many instances."""
        return self.workspaces.scale_deployment(self.workspace, "churn", name, instances)

    def delete(self, name: str) -> Operation:
        """Start deleting a deployment."""
        return self.workspaces.delete_deployment(self.workspace, "churn", name, kind=self.kind)

    def result(self, operation: Operation) -> OperationResult:
        """Return where an operation stands."""
        return self.workspaces.get_operation(operation)


def make_site(request: pytest.FixtureRequest) -> Site:
    """Return the twin or the emulator, as the parameter says, with model churn 1 in it."""
    if request.param == "twin":
        return _twin(request.getfixturevalue("clock"))
    names = ("workspaces", "control", "emulator")
    return _emulator(Stage(*(request.getfixturevalue(name) for name in names)))


def _twin(clock: ManualClock) -> Site:
    twin = MemoryWorkspaces(clock)
    twin.register(WORKSPACE, "churn", "1", tags={})
    twin.behaviour.takes = HOUR / 2
    twin.behaviour.not_offered = frozenset({"Standard_Nope"})

    class Everything(dict[str, tuple[str, str]]):
        def get(self, key: str, default: object = None) -> tuple[str, str]:  # type: ignore[override]
            return ("ResourceNotReady", "crashed")

    def break_deployments() -> None:
        twin.behaviour.broken = Everything()

    def break_traffic() -> None:
        twin.behaviour.stuck_traffic = ("InternalServerError", "no")

    def limit_cores(cores: int, size: Size = DS3) -> None:
        capacity = Capacity(family=size.family, cores=size.cores, limit=cores)
        twin.behaviour.capacity = capacity

    def demand(tag: str) -> None:
        twin.behaviour.demands = Demands(tags=frozenset({tag}))

    return Site(
        workspaces=twin,
        demand=demand,
        pass_time=lambda: clock.pass_time(HOUR),
        break_deployments=break_deployments,
        break_traffic=break_traffic,
        limit_cores=limit_cores,
        add_model=lambda name, kind: twin.register(WORKSPACE, name, "1", tags={}, kind=kind),
    )


def _emulator(stage: Stage) -> Site:
    control = stage.control
    stage.put_model()
    control.provisioning(1800)

    def break_deployments() -> None:
        control.fail_deployment(code="ResourceNotReady", message="crashed")

    def break_traffic() -> None:
        control.fail_endpoint(code="InternalServerError", message="no")

    def limit_cores(cores: int, size: Size = DS3) -> None:
        control.quota(cores, size.family)

    return Site(
        workspaces=stage.workspaces,
        demand=lambda tag: control.policy(tag, is_private=True, has_identity=True),
        pass_time=stage.pass_time,
        break_deployments=break_deployments,
        break_traffic=break_traffic,
        limit_cores=limit_cores,
        add_model=lambda name, kind: stage.put_model(name, modelType=kind, flavors={}),
    )
