"""The in-memory twin of the workspaces: the rules of the service, on a clock that is given.

What it does is proved by the suite that runs against the AML emulator as well. Work takes time:
an operation runs until the clock has passed its end, and anything else that wants the same
endpoint meanwhile is refused, as in the service.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared.clock import Clock
from shared.errors import WorkspaceBusy, WorkspaceRefused
from shared.events import Workspace
from shared.workspaces import (
    Deployment,
    DeploymentSpec,
    Endpoint,
    ModelVersion,
    NewModel,
    Operation,
    OperationResult,
    OperationStatus,
    RunRecord,
    Score,
    State,
)


@dataclass(slots=True)
class _Work:
    """An operation: when it ends, what it does then, and how it fails, if it does."""

    until: float
    finish: Callable[[], None]
    failure: tuple[str, str] | None
    is_settled: bool = False


@dataclass(slots=True)
class Behaviour:
    """How the service is to behave; tests set it."""

    takes: timedelta = timedelta(0)
    #: Deployments that end Failed, by name, with the service's code and message.
    broken: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: Code and message with which setting traffic fails, when it is not None.
    stuck_traffic: tuple[str, str] | None = None
    score: Score = field(default_factory=lambda: Score(status=200, body=b"[0]"))
    logs: str = ""


class MemoryWorkspaces:
    """Models, runs, endpoints and deployments of any number of workspaces.

    Runs do nothing by themselves: tests put them into `runs` and `metrics`, which are kept by the
    workspace's key and the run's id.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.behaviour = Behaviour()
        #: Called before each request with its name; may raise what the service would.
        self.before: Callable[[str], None] = lambda _: None
        self.models: dict[tuple[str, str, str], ModelVersion] = {}
        self.runs: dict[tuple[str, str], RunRecord] = {}
        self.metrics: dict[tuple[str, str], dict[str, float]] = {}
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self.deployments: dict[tuple[str, str], dict[str, Deployment]] = {}
        self._work: list[_Work] = []

    def register(
        self,
        workspace: Workspace,
        name: str,
        version: str,
        *,
        tags: Mapping[str, str],
        kind: str = "mlflow_model",
        properties: Mapping[str, str] | None = None,
        job_name: str = "",
    ) -> ModelVersion:
        """Add a model version, as a data scientist would."""
        model = ModelVersion(
            id=f"{workspace.id}/models/{name}/versions/{version}",
            name=name,
            version=version,
            kind=kind,
            tags=dict(tags),
            properties=dict(properties or {}),
            created_at=self._clock.now(),
            job_name=job_name,
        )
        self.models[workspace.key, name, version] = model
        return model

    def add_run(
        self, workspace: Workspace, run: RunRecord, metrics: Mapping[str, float] | None = None
    ) -> RunRecord:
        """Add a run with what it logged, or put it in place of the one of its id."""
        self.runs[workspace.key, run.id] = run
        self.metrics[workspace.key, run.id] = dict(metrics or {})
        return run

    def get_model(self, workspace: Workspace, name: str, version: str) -> ModelVersion | None:
        """Return the model version, or None."""
        self._enter("get_model")
        return self.models.get((workspace.key, name, version))

    def find_models(
        self, workspace: Workspace, name: str, tags: Mapping[str, str]
    ) -> tuple[ModelVersion, ...]:
        """Return the versions of a model that have all these tags; () without such a model."""
        self._enter("find_models")
        versions = self._versions(workspace, name)
        return tuple(model for model in versions if tags.items() <= model.tags.items())

    def register_model(self, workspace: Workspace, model: NewModel) -> ModelVersion:
        """Register the next version of a model, and return it."""
        self._enter("register_model")
        versions = (model.version for model in self._versions(workspace, model.name))
        taken = [int(version) for version in versions if version.isdecimal()]
        return self.register(
            workspace,
            model.name,
            str(max(taken, default=0) + 1),
            tags=model.tags,
            kind=model.kind,
            properties=model.properties,
            job_name=model.job_name,
        )

    def get_run(self, workspace: Workspace, run_id: str) -> RunRecord | None:
        """Return the run, or None."""
        self._enter("get_run")
        return self.runs.get((workspace.key, run_id))

    def list_children(self, workspace: Workspace, run_id: str) -> tuple[RunRecord, ...]:
        """Return the runs that are directly below a run; () without such a run."""
        self._enter("list_children")
        found = (run for (key, _), run in self.runs.items() if key == workspace.key)
        return tuple(run for run in found if run.parent_id == run_id)

    def get_metrics(self, workspace: Workspace, run_id: str) -> Mapping[str, float] | None:
        """Return the last value of each metric that a run logged, or None without such a run."""
        self._enter("get_metrics")
        key = (workspace.key, run_id)
        if key not in self.runs and key not in self.metrics:
            return None
        return dict(self.metrics.get(key, {}))

    def get_endpoint(self, workspace: Workspace, endpoint: str) -> Endpoint | None:
        """Return the online endpoint, or None."""
        self._enter("get_endpoint")
        return self.endpoints.get((workspace.key, endpoint))

    def list_deployments(self, workspace: Workspace, endpoint: str) -> tuple[Deployment, ...]:
        """Return the endpoint's deployments; () where there is no endpoint."""
        self._enter("list_deployments")
        return tuple(self.deployments.get((workspace.key, endpoint), {}).values())

    def create_endpoint(
        self, workspace: Workspace, endpoint: str, *, auth_mode: str, tags: Mapping[str, str]
    ) -> Operation:
        """Start creating a managed online endpoint."""
        self._enter("create_endpoint")
        key = (workspace.key, endpoint)
        self._require_settled(key)
        made = Endpoint(name=endpoint, state=State.CREATING, tags=dict(tags), auth_mode=auth_mode)
        self.endpoints[key] = made
        self.deployments.setdefault(key, {})
        return self._start(lambda: self._settle_endpoint(key, State.SUCCEEDED))

    def create_deployment(
        self, workspace: Workspace, endpoint: str, deployment: str, spec: DeploymentSpec
    ) -> Operation:
        """Start creating a managed online deployment; it gets no traffic."""
        self._enter("create_deployment")
        key = (workspace.key, endpoint)
        self._require_settled(key)
        if self.endpoints[key].state is not State.SUCCEEDED:
            raise WorkspaceRefused(f"endpoint {endpoint} is {self.endpoints[key].state}")
        made = Deployment(
            name=deployment,
            state=State.CREATING,
            model=spec.model_id,
            instance_type=spec.instance_type,
            instance_count=spec.instance_count,
            tags=dict(spec.tags),
        )
        self.deployments[key][deployment] = made
        failure = self.behaviour.broken.get(deployment)
        state = State.FAILED if failure else State.SUCCEEDED

        def finish() -> None:
            self.deployments[key][deployment] = replace(made, state=state)

        return self._start(finish, failure)

    def set_traffic(
        self,
        workspace: Workspace,
        endpoint: Endpoint,
        traffic: Mapping[str, int],
        tags: Mapping[str, str],
    ) -> Operation:
        """Start setting the whole split and merging `tags`; keep all else of the endpoint."""
        self._enter("set_traffic")
        key = (workspace.key, endpoint.name)
        self._require_settled(key)
        if sum(traffic.values()) not in (0, 100):
            raise WorkspaceRefused(f"traffic adds up to {sum(traffic.values())}")
        for name in traffic:
            found = self.deployments[key].get(name)
            if found is None or found.state is not State.SUCCEEDED:
                raise WorkspaceRefused(f"no deployment {name} that could take traffic")
        before = self.endpoints[key]
        failure = self.behaviour.stuck_traffic
        tags = {**before.tags, **tags}
        after = replace(before, state=State.SUCCEEDED, traffic=dict(traffic), tags=tags)
        self.endpoints[key] = replace(before, state=State.UPDATING)

        def finish() -> None:
            self.endpoints[key] = replace(before, state=State.FAILED) if failure else after

        return self._start(finish, failure)

    def delete_deployment(self, workspace: Workspace, endpoint: str, deployment: str) -> Operation:
        """Start deleting the deployment, absent or not."""
        self._enter("delete_deployment")
        key = (workspace.key, endpoint)
        found = self.deployments.get(key, {}).get(deployment)
        if found is None:
            return Operation()
        self._require_settled(key)
        if self.endpoints[key].traffic.get(deployment):
            raise WorkspaceRefused(f"deployment {deployment} has traffic")
        self.deployments[key][deployment] = replace(found, state=State.DELETING)

        def finish() -> None:
            self.deployments[key].pop(deployment, None)

        return self._start(finish)

    def get_operation(self, operation: Operation) -> OperationResult:
        """Return where the operation stands."""
        self._enter("get_operation")
        work = self._work[int(operation.url)]
        if not work.is_settled:
            return OperationResult(status=OperationStatus.RUNNING)
        if work.failure is not None:
            code, message = work.failure
            return OperationResult(status=OperationStatus.FAILED, code=code, message=message)
        return OperationResult(status=OperationStatus.SUCCEEDED)

    def get_logs(self, workspace: Workspace, endpoint: str, deployment: str, *, lines: int) -> str:
        """Return the last lines of the container's log; "" where there is none."""
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
        return self.behaviour.score

    def _versions(self, workspace: Workspace, name: str) -> tuple[ModelVersion, ...]:
        return tuple(
            model
            for (key, model_name, _), model in self.models.items()
            if (key, model_name) == (workspace.key, name)
        )

    def _enter(self, request: str) -> None:
        self.before(request)
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

    def _settle_endpoint(self, key: tuple[str, str], state: State) -> None:
        self.endpoints[key] = replace(self.endpoints[key], state=state)

    def _require_settled(self, key: tuple[str, str]) -> None:
        endpoint = self.endpoints.get(key)
        states = [deployment.state for deployment in self.deployments.get(key, {}).values()]
        if endpoint is not None:
            states.append(endpoint.state)
        if not all(state.is_settled for state in states):
            raise WorkspaceBusy("another operation on same entity is already running")
