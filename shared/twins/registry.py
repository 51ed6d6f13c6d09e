"""The models and runs of the in-memory twin of the workspaces."""

from collections.abc import Callable, Mapping

from shared.base.clock import Clock
from shared.base.errors import WorkspaceRefused
from shared.events.model import Workspace
from shared.workspaces.model import AssetKind, ModelVersion, NewModel, RunRecord


class MemoryRegistry:
    """Models and runs of any number of workspaces.

    Runs do nothing by themselves. Tests put them into `runs` and `metrics`, by the workspace's key
    and the run's id.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Called before each request with its name; may raise an error of the service.
        self.before: Callable[[str], None] = lambda _: None
        self.models: dict[tuple[str, str, str], ModelVersion] = {}
        self.runs: dict[tuple[str, str], RunRecord] = {}
        self.metrics: dict[tuple[str, str], dict[str, float]] = {}
        #: The versions of environments and code, oldest first, by workspace, kind and name.
        self.assets: dict[tuple[str, str, str], list[str]] = {}
        #: The names that lead to other resources, by the workspace's key; see `has_resource`.
        self.resources: set[tuple[str, ...]] = set()
        #: The keys of workspaces that are gone.
        self.gone: set[str] = set()
        #: The files of models, by the model's ARM id and the path.
        self.files: dict[tuple[str, str], bytes] = {}

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
        flavors: tuple[str, ...] = (),
    ) -> ModelVersion:
        """Add a model version, or change it, as a data scientist would."""
        known = self.models.get((workspace.key, name, version))
        now = self._clock.now()
        model = ModelVersion(
            id=f"{workspace.id}/models/{name}/versions/{version}",
            name=name,
            version=version,
            kind=kind,
            tags=dict(tags),
            properties=dict(properties or {}),
            created_at=known.created_at if known else now,
            modified_at=now,
            job_name=job_name,
            flavors=flavors,
        )
        self.models[workspace.key, name, version] = model
        return model

    def add_run(
        self, workspace: Workspace, run: RunRecord, metrics: Mapping[str, float] | None = None
    ) -> RunRecord:
        """Add a run with its metrics, or replace the run of its id."""
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

    def list_models(self, workspace: Workspace) -> tuple[str, ...]:
        """Return the names of the models that are not archived."""
        self._enter("list_models")
        return tuple(dict.fromkeys(name for key, name, _ in self.models if key == workspace.key))

    def newest_models(
        self, workspace: Workspace, name: str, *, most: int
    ) -> tuple[ModelVersion, ...]:
        """Return the newest versions of a model that are not archived, the newest first."""
        self._enter("newest_models")
        active = [model for model in self._versions(workspace, name) if not model.archived]
        # They are in the order in which they were made.
        return tuple(reversed(active))[:most]

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

    def read_model_file(
        self, workspace: Workspace, model: ModelVersion, path: str, *, most: int
    ) -> bytes | None:
        """Return a file of a model, None if it has no file of that path."""
        self._enter("read_model_file")
        content = self.files.get((model.id, path))
        if content is not None and len(content) > most:
            raise WorkspaceRefused(f"{path} of model {model.name} is too long")
        return content

    def find_asset(
        self, workspace: Workspace, kind: AssetKind, name: str, version: str = ""
    ) -> str | None:
        """Return the ARM id of a version, of the latest one where none is named; or None."""
        self._enter("find_asset")
        versions = self.assets.get((workspace.key, kind, name.lower()), [])
        found = version or (versions[-1] if versions else "")
        return f"{workspace.id}/{kind}/{name}/versions/{found}" if found in versions else None

    def has_resource(self, workspace: Workspace, *names: str) -> bool:
        """Say whether a workspace has the resource that the names lead to in ARM's addresses."""
        self._enter("has_resource")
        if workspace.key in self.gone or not names:
            return workspace.key not in self.gone
        return (workspace.key, *(name.lower() for name in names)) in self.resources

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

    def _versions(self, workspace: Workspace, name: str) -> tuple[ModelVersion, ...]:
        return tuple(
            model
            for (key, model_name, _), model in self.models.items()
            if (key, model_name) == (workspace.key, name)
        )

    def _enter(self, request: str) -> None:
        self.before(request)
