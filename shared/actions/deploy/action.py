"""The `deploy` action: put a registered model on an online endpoint, without code.

The event is only a hint. The action reads the model as the workspace has it now, decides from it
whether and how to deploy, starts a rollout and returns.
"""

from collections.abc import Callable, Mapping

from shared.actions.allowed import globs_of, is_allowed, require_allowed
from shared.actions.base import Work
from shared.actions.begin_rollout import begin, settle_strategy
from shared.actions.current_state import current_model
from shared.actions.deploy.asset_names import find_container
from shared.actions.deploy.params import AllowParams, DeployParams
from shared.actions.telling import tell_once
from shared.base.clock import Clock
from shared.base.errors import ModelUnfit, NotBetter, Superseded, TagForbidden, WorkspaceBusy
from shared.base.ids import deployment_name, slug
from shared.base.redact import redact
from shared.base.words import listed
from shared.events.model import ModelRegistered, as_data
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.messages.notice import Text
from shared.messages.outbox import Outbox
from shared.reactions.step_values import revise
from shared.rollouts.engine.advance import Rollouts
from shared.rollouts.state.rollout import ModelRef, Plan, Rollout
from shared.rollouts.strategy.model import Strategy
from shared.workspaces.champions import challenge, side_of
from shared.workspaces.comparison import BetterParams
from shared.workspaces.lineage import Retrainings, reference_of_model
from shared.workspaces.model import WITHOUT_CODE, EndpointKind, ModelKind, ModelVersion, Serving
from shared.workspaces.ports import Workspaces

#: The flavor that an MLflow model needs to be deployed without code.
_FLAVOR = "python_function"
#: A tag named by this prefix and a field chooses that field, if the reaction's `allow` lists it.
TAG_PREFIX = "signalbox_"
#: Variables and identities are chosen by expressions only, because one tag can't name several.
_CHOSEN_BY_TAG = AllowParams.model_fields.keys() - {"environment_variables", "identity"}


class Deploy:
    """Starts the rollout of a registered model."""

    may_fail = False

    def __init__(
        self,
        *,
        workspaces: Workspaces,
        rollouts: Rollouts,
        clock: Clock,
        outbox: Outbox,
        find_strategy: Callable[[str], Strategy | None],
        read_file: Callable[[str], bytes],
        retrainings: Retrainings | None,
    ) -> None:
        """Find strategies and files of the app by name; report models to `retrainings`.

        None means that no reaction retrains, so no request is spent on a model's retraining.
        """
        self._workspaces = workspaces
        self._rollouts = rollouts
        self._clock = clock
        self._outbox = outbox
        self._find_strategy = find_strategy
        self._read_file = read_file
        self._retrainings = retrainings

    def act(self, work: Work) -> Outcome:
        """Start a rollout, or find the one that was started before a crash.

        Its values are made from the model as the workspace has it, not as the event described it.

        Raises: Superseded, ModelAbsent, ModelUnfit, TagForbidden, ExpressionFailed, ParamsInvalid,
        NotBetter, MetricMissing, MetricAwaited, and WorkspaceError.
        """
        event = work.event
        assert isinstance(event, ModelRegistered)  # the loader accepts no other type
        found, now = current_model(self._workspaces, event, self._clock.now())
        _require_current(work, now, found)
        written = work.params(DeployParams, now)
        require_allowed(work.step, written, as_data(now))
        params = choose_by_tags(written, found.tags)
        _require_deployable(found, params)
        plan = self._plan(work, found, params)
        if params.when_better is not None and not self._rollouts.has_begun(plan):
            # After it has begun the model may serve already, and would be compared with itself.
            self._require_better(plan, found, params.when_better)
        rollout = self._rollouts.start(plan)
        if self._retrainings is not None and plan.retraining:
            self._retrainings.deploying(plan.workspace, plan.retraining, _key(found), rollout.id)
        detail = f"rollout of {found.name} {found.version} to {rollout.endpoint}"
        return Outcome(status=OutcomeStatus.WAITING, detail=detail, rollout=rollout.id)

    def _require_better(self, plan: Rollout, model: ModelVersion, params: BetterParams) -> None:
        """Refuse a model that is not better than the one that serves, and send a message about it.

        Raises: NotBetter, MetricMissing, MetricAwaited, Superseded, and WorkspaceError.
        """
        other = self._rollouts.find_undecided(plan)
        if other is not None:
            raise WorkspaceBusy(
                f"{other.model.name} {other.model.version} is being rolled out on {plan.endpoint};"
                f" {model.name} {model.version} is compared with the model that serves then"
            )
        verdict = challenge(
            self._workspaces,
            plan.workspace,
            side_of(model),
            plan.endpoint,
            plan.plan.kind,
            params,
        )
        if self._retrainings is not None and plan.retraining:
            self._retrainings.compared(
                plan.workspace,
                plan.retraining,
                _key(model),
                verdict.reason,
                is_enough=verdict.is_enough,
            )
        if not verdict.is_enough:
            # A retraining's loop sends the message itself.
            untold = "" if plan.retraining else self._notify_not_better(plan, verdict.reason)
            raise NotBetter(verdict.reason + untold)

    def _notify_not_better(self, plan: Rollout, reason: str) -> str:
        """Tell the reaction's channels that a model is not better; return any failure."""
        text = Text(
            title=f"{plan.model.name} {plan.model.version} was not deployed on {plan.endpoint}",
            body=f"Reason: {reason}",
            good=None,
        )
        return tell_once(self._outbox, plan.plan.channels, text)

    def _plan(self, work: Work, model: ModelVersion, params: DeployParams) -> Rollout:
        key, kind = work.key.digest, EndpointKind(params.kind)
        probe = params.probe.settle(params.request_timeout)
        found = self._find_strategy(params.rollout)
        reference = ""
        if self._retrainings is not None:
            reference = reference_of_model(self._workspaces, work.event.workspace, model)
        deployment = deployment_name(model.name, model.version, key)
        return begin(
            work,
            read_file=self._read_file,
            now=self._clock.now(),
            endpoint=slug(params.endpoint),
            deployment=deployment,
            model=ModelRef(id=model.id, name=model.name, version=model.version),
            plan=Plan(
                strategy=settle_strategy(
                    found, params.rollout, probe, kind, params.request_timeout
                ),
                probe=probe,
                kind=kind,
                compute=params.compute,
                instance_type=params.instance_type,
                instance_count=params.instance_count,
                auth_mode=params.auth_mode or "",
                is_public=params.public_network_access == "enabled",
                identities=params.identity.ids,
                tags=params.tags,
                keep_old=params.keep_old,
                timeout=params.timeout,
                adopt=params.adopt,
                better=params.when_better,
                serving=_serving(params),
                container=find_container(
                    self._workspaces,
                    work.event.workspace,
                    params.environment,
                    params.code,
                    params.scoring_script,
                ),
                channels=params.notify,
            ),
            goal={deployment: 100},
            retraining=reference,
        )


def _key(model: ModelVersion) -> str:
    return f"{model.name}:{model.version}"


def _require_current(work: Work, event: ModelRegistered, model: ModelVersion) -> None:
    """Refuse a model that would no longer set off the same reaction.

    Raises: Superseded.
    """
    name = f"{model.name} {model.version}"
    if model.archived:
        raise Superseded(f"model {name} is archived")
    if not work.still_holds(event):
        raise Superseded(f"model {name} has other tags now, and `when` no longer holds")


def _serving(params: DeployParams) -> Serving:
    collector = params.data_collector
    return Serving(
        request_timeout=params.request_timeout,
        max_concurrent_requests=params.max_concurrent_requests,
        max_queue_wait=params.max_queue_wait,
        liveness=params.liveness_probe.probe,
        readiness=params.readiness_probe.probe,
        environment_variables=params.environment_variables,
        is_egress_public=params.egress_public_network_access == "enabled",
        has_app_insights=params.app_insights,
        collects=collector.collection if collector else None,
    )


def _require_deployable(model: ModelVersion, params: DeployParams) -> None:
    """Refuse a model that endpoints of this kind can't run without code, if it gets none.

    Raises: ModelUnfit.
    """
    if params.environment:
        return
    name, kind = f"{model.name} {model.version}", params.kind
    known = WITHOUT_CODE[EndpointKind(kind)]
    others = "" if kind == "batch" else " Or give the reaction an `environment` and `code`."
    if model.kind not in known:
        raise ModelUnfit(
            f"model {name} is a {redact(model.kind, most=50)}, which needs a scoring script on a"
            f" {kind} endpoint",
            hint=f"Register it as {' or '.join(f'`{each}`' for each in known)}.{others}",
        )
    if model.kind == ModelKind.MLFLOW and model.flavors and _FLAVOR not in model.flavors:
        raise ModelUnfit(f"MLflow model {name} has no {_FLAVOR} flavor, and needs a scoring script")


def choose_by_tags(params: DeployParams, tags: Mapping[str, str]) -> DeployParams:
    """Return the values after the model's tags have chosen some, as far as `allow` lets them.

    Raises: TagForbidden for a choice that is not allowed, ParamsInvalid for an invalid value.
    """
    # Defaults are left out, because some do not fit each kind of endpoint.
    values = params.model_dump(exclude_unset=True)
    for tag, text in tags.items():
        field = tag.lower().removeprefix(TAG_PREFIX)
        if not tag.lower().startswith(TAG_PREFIX) or field not in _CHOSEN_BY_TAG:
            continue
        if field == "endpoint":
            text = slug(text)
        if field == "rollout":
            text = text.lower()  # names of strategies are in lower case
        globs = globs_of(params, field)
        if not is_allowed(text, globs):
            shown, known = redact(text, most=100), listed(globs, len(globs))
            raise TagForbidden(f"tag {tag} asks for {shown!r}; the reaction allows {known}")
        if field == "probe_request":
            values["probe"] = {**values.get("probe", {}), "request": text}
        else:
            values[field] = text
    return revise("deploy", values, DeployParams)
