"""The in-memory twin of the workspaces: the rules of the service, on a given clock.

It passes the same contract suite as the AML emulator. Work takes time: an operation runs until the
clock has passed its end, and until then other writes of the same endpoint are refused, as in the
service.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from types import MappingProxyType

from shared.base.clock import Clock
from shared.base.errors import WorkspaceBusy, WorkspaceRefused
from shared.events.model import Workspace
from shared.twins import service_rules as rules
from shared.twins.registry import MemoryRegistry
from shared.workspaces.model import (
    Capacity,
    Deployment,
    DeploymentSpec,
    Endpoint,
    EndpointKind,
    Operation,
    OperationResult,
    OperationStatus,
    Score,
    ServingContainer,
    State,
)

type EndpointKey = tuple[str, str]


@dataclass(slots=True)
class _Work:
    """An operation: its end, its effect, and its failure if it fails."""

    until: float
    finish: Callable[[], None]
    failure: tuple[str, str] | None
    is_settled: bool = False


@dataclass(slots=True)
class ServiceBehaviour:
    """The behaviour of the service; tests set it."""

    takes: timedelta = timedelta(0)
    #: Deployments that end Failed, by name, with the service's code and message.
    broken: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: The code and message with which setting traffic fails, if it is not None.
    stuck_traffic: tuple[str, str] | None = None
    score: Score = field(default_factory=lambda: Score(status=200, body=b"[0]"))
    #: Answers of single deployments, by a glob on their names; the first one that matches.
    scores: dict[str, Score] = field(default_factory=dict)
    #: The region's capacity for every instance type; `used` is the use of others.
    capacity: Capacity | None = None
    #: Instance types that the region does not list.
    not_offered: frozenset[str] = frozenset()
    logs: str = ""
    #: The demands of Azure Policy on new resources.
    demands: rules.Demands | None = None


class MemoryWorkspaces(MemoryRegistry):
    """Models, runs, endpoints and deployments of any number of workspaces.

    Endpoints and deployments are kept by the workspace's key and the endpoint's name, which begins
    with `batch/` for a batch endpoint.

    >>> from shared.twins.clock import ManualClock
    >>> clock = ManualClock()
    >>> workspaces = MemoryWorkspaces(clock)
    >>> workspaces.behaviour.takes = timedelta(minutes=2)
    >>> here = Workspace(subscription="s", resource_group="g", name="w")
    >>> operation = workspaces.create_endpoint(here, "churn", tags={}, auth_mode="key")
    >>> str(workspaces.get_endpoint(here, "churn").state)
    'Creating'
    >>> clock.pass_time(timedelta(minutes=2))
    >>> str(workspaces.get_endpoint(here, "churn").state)
    'Succeeded'
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.behaviour = ServiceBehaviour()
        self.endpoints: dict[EndpointKey, Endpoint] = {}
        self.deployments: dict[EndpointKey, dict[str, Deployment]] = {}
        self._work: list[_Work] = []

    def get_endpoint(
        self,
        workspace: Workspace,
        endpoint: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> Endpoint | None:
        """Return the endpoint, or None. Managed and Kubernetes ones share their names."""
        self._enter("get_endpoint")
        return self.endpoints.get(_key(workspace, endpoint, kind))

    def list_endpoints(self, workspace: Workspace) -> tuple[Endpoint, ...]:
        """Return the online endpoints, managed and Kubernetes."""
        self._enter("list_endpoints")
        here = (made for (key, _), made in self.endpoints.items() if key == workspace.key)
        return tuple(made for made in here if made.kind is not EndpointKind.BATCH)

    def list_deployments(
        self,
        workspace: Workspace,
        endpoint: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> tuple[Deployment, ...]:
        """Return the endpoint's deployments; () if there is no endpoint."""
        self._enter("list_deployments")
        return tuple(self.deployments.get(_key(workspace, endpoint, kind), {}).values())

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
        """Start creating an endpoint; `compute` is the attached cluster of a Kubernetes one."""
        self._enter("create_endpoint")
        rules.check_new_endpoint(kind, auth_mode, compute)
        rules.check_demands(self.behaviour.demands, tags, is_public, bool(identities))
        key = _key(workspace, endpoint, kind)
        self._require_settled(key)
        self.endpoints[key] = Endpoint(
            name=endpoint,
            state=State.CREATING,
            tags=dict(tags),
            auth_mode=auth_mode,
            kind=kind,
            is_public=is_public,
            identities=identities,
        )
        self.deployments.setdefault(key, {})
        return self._start(lambda: self._settle_endpoint(key, State.SUCCEEDED))

    def create_deployment(
        self, workspace: Workspace, endpoint: str, deployment: str, spec: DeploymentSpec
    ) -> Operation:
        """Start creating a deployment; it gets no traffic."""
        self._enter("create_deployment")
        key = _key(workspace, endpoint, spec.kind)
        self._require_ready(key)
        if self.endpoints[key].kind is not spec.kind:
            raise WorkspaceRefused(f"endpoint {endpoint} is {self.endpoints[key].kind}")
        there = self.deployments[key]
        if deployment not in there and len(there) >= rules.MOST_DEPLOYMENTS:
            raise WorkspaceRefused(f"at most {rules.MOST_DEPLOYMENTS} deployments")
        known = (model for model in self.models.values() if model.id == spec.model_id)
        if spec.container is None:
            rules.check_without_code(spec.kind, next(known, None))
        else:
            self._check_container(workspace, spec.container)
        rules.check_demands(self.behaviour.demands, spec.tags)
        self._check_size(key, deployment, spec.instance_type, spec.instance_count)
        there[deployment] = Deployment(
            name=deployment,
            state=State.CREATING,
            model=spec.model_id,
            instance_type="" if spec.kind is EndpointKind.BATCH else spec.instance_type,
            instance_count=spec.instance_count,
            tags=dict(spec.tags),
        )
        return self._start_deployment(key, deployment)

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
        self._enter("set_traffic")
        key = _key(workspace, endpoint.name, endpoint.kind)
        self._require_settled(key)
        before = self.endpoints[key]
        after = self._with_traffic(key, traffic, mirror, tags)
        failure = self.behaviour.stuck_traffic
        self.endpoints[key] = replace(before, state=State.UPDATING)

        def finish() -> None:
            self.endpoints[key] = replace(before, state=State.FAILED) if failure else after

        return self._start(finish, failure)

    def scale_deployment(
        self, workspace: Workspace, endpoint: str, deployment: str, instances: int
    ) -> Operation:
        """Start giving an online deployment so many instances; keep all else of it."""
        self._enter("scale_deployment")
        key = _key(workspace, endpoint)
        found = self._require(key, deployment)
        self._require_ready(key)
        self._check_size(key, deployment, found.instance_type, instances)
        scaled = replace(found, state=State.UPDATING, instance_count=instances)
        self.deployments[key][deployment] = scaled
        return self._start_deployment(key, deployment)

    def delete_deployment(
        self,
        workspace: Workspace,
        endpoint: str,
        deployment: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> Operation:
        """Start deleting the deployment, absent or not."""
        self._enter("delete_deployment")
        key = _key(workspace, endpoint, kind)
        found = self.deployments.get(key, {}).get(deployment)
        if found is None:
            return Operation()
        self._require_settled(key)
        self._require_idle(key, deployment)
        self.deployments[key][deployment] = replace(found, state=State.DELETING)

        def finish() -> None:
            self.deployments[key].pop(deployment, None)

        return self._start(finish)

    def find_capacity(self, workspace: Workspace, instance_type: str) -> Capacity | None:
        """Return the capacity of an instance type in the workspace's region.

        None means that the region does not offer it.
        """
        self._enter("find_capacity")
        if instance_type in self.behaviour.not_offered:
            return None
        known = self.behaviour.capacity
        if known is None:
            return Capacity(family="standardDSv2Family", cores=4)
        return replace(known, used=rules.cores_of(known, self._held()))

    def get_operation(self, operation: Operation) -> OperationResult:
        """Return the status of an operation."""
        self._enter("get_operation")
        work = self._work[int(operation.url)]
        if not work.is_settled:
            return OperationResult(status=OperationStatus.RUNNING)
        if work.failure is not None:
            code, message = work.failure
            return OperationResult(status=OperationStatus.FAILED, code=code, message=message)
        return OperationResult(status=OperationStatus.SUCCEEDED)

    def get_logs(self, workspace: Workspace, endpoint: str, deployment: str, *, lines: int) -> str:
        """Return the last lines of the container's log; "" if there is none."""
        self._enter("get_logs")
        return "\n".join(self.behaviour.logs.splitlines()[-lines:])

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
        self._enter("score")
        if endpoint.kind is EndpointKind.BATCH:
            raise WorkspaceRefused(f"batch endpoint {endpoint.name} answers no scoring requests")
        own = self.behaviour.scores.items()
        answers = (score for glob, score in own if fnmatchcase(deployment, glob))
        return next(answers, self.behaviour.score)

    def change_traffic(
        self,
        workspace: Workspace,
        endpoint: str,
        traffic: Mapping[str, int],
        *,
        mirror: Mapping[str, int] = MappingProxyType({}),
        tags: Mapping[str, str] = MappingProxyType({}),
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> None:
        """Set the whole split and mirror at once, as another tool would, merging `tags`."""
        self._settle()
        key = _key(workspace, endpoint, kind)
        self.endpoints[key] = self._with_traffic(key, traffic, mirror, tags)

    def remove_deployment(
        self,
        workspace: Workspace,
        endpoint: str,
        deployment: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> None:
        """Delete a deployment at once, as another tool would; it must have no traffic."""
        self._settle()
        key = _key(workspace, endpoint, kind)
        self._require_idle(key, deployment)
        del self.deployments[key][deployment]

    def scale(self, workspace: Workspace, endpoint: str, deployment: str, instances: int) -> None:
        """Scale a deployment at once, as another tool would."""
        self._settle()
        key = _key(workspace, endpoint)
        found = self._require(key, deployment)
        self.deployments[key][deployment] = replace(found, instance_count=instances)

    def fail_deployment(
        self,
        workspace: Workspace,
        endpoint: str,
        deployment: str,
        *,
        kind: EndpointKind = EndpointKind.MANAGED,
    ) -> None:
        """Let a deployment turn Failed by itself."""
        self._settle()
        self._settle_deployment(_key(workspace, endpoint, kind), deployment, State.FAILED)

    def _check_container(self, workspace: Workspace, container: ServingContainer) -> None:
        ids = {
            f"{workspace.id}/{kind}/{name}/versions/{version}".lower()
            for (key, kind, name), versions in self.assets.items()
            for version in versions
            if key == workspace.key
        }
        for part in filter(None, (container.environment, container.code)):
            if part.lower() not in ids and not part.startswith("azureml://registries/"):
                raise WorkspaceRefused(f"{part} was not found")

    def _enter(self, request: str) -> None:
        super()._enter(request)
        self._settle()

    def _settle(self) -> None:
        now = self._clock.now().timestamp()
        for work in self._work:
            if not work.is_settled and work.until <= now:
                work.is_settled = True
                work.finish()

    def _start(
        self, finish: Callable[[], None], failure: tuple[str, str] | None = None
    ) -> Operation:
        until = (self._clock.now() + self.behaviour.takes).timestamp()
        self._work.append(_Work(until, finish, failure))
        return Operation(url=str(len(self._work) - 1))

    def _start_deployment(self, key: EndpointKey, deployment: str) -> Operation:
        failure = self.behaviour.broken.get(deployment)
        state = State.FAILED if failure else State.SUCCEEDED
        return self._start(lambda: self._settle_deployment(key, deployment, state), failure)

    def _settle_endpoint(self, key: EndpointKey, state: State) -> None:
        self.endpoints[key] = replace(self.endpoints[key], state=state)

    def _settle_deployment(self, key: EndpointKey, deployment: str, state: State) -> None:
        if found := self.deployments[key].get(deployment):
            self.deployments[key][deployment] = replace(found, state=state)

    def _with_traffic(
        self,
        key: EndpointKey,
        traffic: Mapping[str, int],
        mirror: Mapping[str, int],
        tags: Mapping[str, str],
    ) -> Endpoint:
        before = self.endpoints[key]
        rules.check_split(before, self.deployments[key], traffic, mirror)
        return replace(
            before,
            state=State.SUCCEEDED,
            traffic=dict(traffic),
            mirror=dict(mirror),
            tags={**before.tags, **tags},
        )

    def _check_size(
        self, key: EndpointKey, deployment: str, instance_type: str, instances: int
    ) -> None:
        rules.check_instances(instances)
        if self.endpoints[key].kind is not EndpointKind.MANAGED:
            return
        own = self.deployments[key].get(deployment)
        has = rules.with_reserve(own.instance_type, own.instance_count) if own else 0
        wanted = rules.with_reserve(instance_type, instances)
        rules.check_cores(self.behaviour.capacity, self._held(), has, wanted)

    def _held(self) -> Iterator[int]:
        for key, deployments in self.deployments.items():
            if self.endpoints[key].kind is EndpointKind.MANAGED:
                for made in deployments.values():
                    yield rules.with_reserve(made.instance_type, made.instance_count)

    def _require(self, key: EndpointKey, deployment: str) -> Deployment:
        found = self.deployments.get(key, {}).get(deployment)
        if found is None:
            raise WorkspaceRefused(f"no deployment {deployment}")
        return found

    def _require_idle(self, key: EndpointKey, deployment: str) -> None:
        endpoint = self.endpoints[key]
        if endpoint.traffic.get(deployment) or endpoint.mirror.get(deployment):
            raise WorkspaceRefused(f"deployment {deployment} has traffic")

    def _require_ready(self, key: EndpointKey) -> None:
        self._require_settled(key)
        endpoint = self.endpoints.get(key)
        if endpoint is None:
            raise WorkspaceRefused(f"no endpoint {key[1]}")
        if endpoint.state is not State.SUCCEEDED:
            raise WorkspaceRefused(f"endpoint {endpoint.name} is {endpoint.state}")

    def _require_settled(self, key: EndpointKey) -> None:
        endpoint = self.endpoints.get(key)
        states = [deployment.state for deployment in self.deployments.get(key, {}).values()]
        if endpoint is not None:
            states.append(endpoint.state)
        if not all(state.is_settled for state in states):
            raise WorkspaceBusy("another operation on same entity is already running")


def _key(
    workspace: Workspace, endpoint: str, kind: EndpointKind = EndpointKind.MANAGED
) -> EndpointKey:
    prefix = "batch/" if kind is EndpointKind.BATCH else ""
    return workspace.key, prefix + endpoint
