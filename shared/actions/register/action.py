"""The `register` action: make a model version of a run's output.

The event is only a hint: values are made from the run as the workspace has it now.
"""

from collections.abc import Mapping

from shared.actions.base import Work
from shared.actions.current_state import current_run, is_young
from shared.actions.register.params import (
    OF_DATASTORE,
    OF_RUN,
    STEP,
    RegisterBetterParams,
    RegisterParams,
)
from shared.base.clock import Clock
from shared.base.errors import NotBetter, ParamsInvalid, RunAbsent, Superseded
from shared.base.ids import REFERENCE, folded, slug
from shared.base.outgoing import for_row
from shared.base.redact import redact
from shared.events.model import RunCompleted, Workspace
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.workspaces.champions import Side, challenge
from shared.workspaces.lineage import Retrainings, reference_of_record
from shared.workspaces.model import EndpointKind, ModelVersion, NewModel, RunRecord
from shared.workspaces.ports import Workspaces


class Register:
    """Registers a model of a run that completed."""

    may_fail = False

    def __init__(
        self,
        *,
        workspaces: Workspaces,
        clock: Clock,
        retrainings: Retrainings | None,
    ) -> None:
        """Report the models of retrainings to `retrainings`.

        None means that no reaction retrains, so no request is spent on a run's retraining.
        """
        self._workspaces = workspaces
        self._clock = clock
        self._retrainings = retrainings

    def act(self, work: Work) -> Outcome:
        """Register the model, or find the one that was registered before a crash.

        Raises: RunAbsent, Superseded, NotBetter, MetricMissing, MetricAwaited, ExpressionFailed,
        ParamsInvalid, ClaimLost, and WorkspaceError.
        """
        event = work.event
        assert isinstance(event, RunCompleted)  # the loader accepts no other type
        run, now = current_run(self._workspaces, event, self._clock.now())
        self._require_completed(event, run)
        if not work.still_holds(now):
            raise Superseded(f"run {run.id} has changed, and `when` no longer holds")
        params = work.params(RegisterParams, now)
        path = params.path or f"azureml://jobs/{run.id}/outputs/artifacts/paths/model/"
        _require_own(path, run, event.workspace)
        reference = ""
        if self._retrainings is not None:
            reference = reference_of_record(self._workspaces, event.workspace, run)
        found = self._workspaces.find_models(
            event.workspace, params.name, {STEP: work.key.digest[:32]}
        )
        model = found[0] if found else self._register(work, run, params, path, reference)
        if self._retrainings is not None and reference:
            self._retrainings.registered(
                event.workspace, reference, f"{model.name}:{model.version}"
            )
        return Outcome(status=OutcomeStatus.DONE, detail=f"registered {model.name} {model.version}")

    def _require_completed(self, event: RunCompleted, run: RunRecord) -> None:
        """Refuse a run that has not completed.

        Raises: RunAbsent if waiting can help, Superseded if it can't.
        """
        if run.status.lower() == "completed":
            return
        message = f"run {run.id} is {redact(run.status, most=50)}, not Completed"
        raise RunAbsent(message) if is_young(event, self._clock.now()) else Superseded(message)

    def _register(
        self,
        work: Work,
        run: RunRecord,
        params: RegisterParams,
        path: str,
        reference: str,
    ) -> ModelVersion:
        workspace, step = work.event.workspace, work.key.digest[:32]
        if params.when_better is not None:
            self._require_better(workspace, run, params, params.when_better, reference)
        ours = {**work.tags, STEP: step, **({REFERENCE: reference} if reference else {})}
        new = NewModel(
            name=params.name,
            kind=params.kind,
            path=path,
            job_name=run.id,
            description=for_row(params.description),
            tags=_clean(params.tags) | ours,
            properties=_clean(params.properties),
        )
        # Reading took time. If another worker has the claim by now, that one registers the model.
        work.renew()
        return self._workspaces.register_model(workspace, new)

    def _require_better(
        self,
        workspace: Workspace,
        run: RunRecord,
        params: RegisterParams,
        wanted: RegisterBetterParams,
        reference: str,
    ) -> None:
        """Refuse a model that is not better than the one that serves.

        Raises: NotBetter, MetricMissing, MetricAwaited, and WorkspaceError.
        """
        challenger = Side(
            called=f"the model of run {run.id}",
            run_id=run.id,
            tags=params.tags,
            properties=params.properties,
        )
        verdict = challenge(
            self._workspaces,
            workspace,
            challenger,
            slug(wanted.endpoint),
            EndpointKind(wanted.kind) if wanted.kind else None,
            wanted,
        )
        if self._retrainings is not None and reference:
            self._retrainings.compared(
                workspace, reference, "", verdict.reason, is_enough=verdict.is_enough
            )
        if not verdict.is_enough:
            raise NotBetter(verdict.reason)


def _clean(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: for_row(value) for name, value in labels.items()}


def _require_own(path: str, run: RunRecord, workspace: Workspace) -> None:
    """Refuse a path that leads neither to this run's outputs nor to this workspace's datastores.

    Raises: ParamsInvalid.
    """
    of_run = OF_RUN.fullmatch(path)
    if of_run is not None and of_run["run"] != run.id:
        raise ParamsInvalid(
            f"`path` leads to run {redact(of_run['run'], most=100)}, and this is run {run.id}",
            hint="Leave `path` out, or make it with ${{ run.id }}.",
        )
    of_datastore = OF_DATASTORE.fullmatch(path)
    named = of_datastore["workspace"] if of_datastore is not None else None
    ours = (
        f"subscriptions/{workspace.subscription}/resourcegroups/{workspace.resource_group}"
        f"/workspaces/{workspace.name}"
    )
    if named and folded(named) != folded(ours):
        raise ParamsInvalid(
            "`path` leads to another workspace", hint="Name a datastore of its own."
        )
