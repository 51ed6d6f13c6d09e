"""The `deploy` action: put a registered model on an online endpoint, without code.

The event only says that there is something to look at. What is deployed, and whether, is decided
from the model as the workspace has it now. The action starts a rollout and returns.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from shared.actions.allowed import globs_of, is_allowed, listed, require_allowed
from shared.actions.base import Work
from shared.actions.current import current_model
from shared.base.clock import Clock
from shared.base.durations import Duration, between, format_duration
from shared.base.errors import ModelUnfit, NotBetter, Superseded, TagForbidden, WorkspaceBusy
from shared.base.ids import deployment_name, slug
from shared.base.redact import redact
from shared.events.model import EventType, ModelRegistered, as_data
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.reactions.model import Params
from shared.reactions.step_values import revise
from shared.rollouts.strategy.names import RolloutGlob, RolloutName
from shared.rollouts.strategy.probe_schema import ProbeParams
from shared.rollouts.strategy.serving import LONGEST_CUT, USUAL_CUT, HealthParams, RequestTimeout
from shared.schema.values import ChannelName, LoadContext, PlainName, Values, unfit
from shared.workspaces.comparison import BetterParams
from shared.workspaces.lineage import Retrainings, reference_of_model

if TYPE_CHECKING:
    from shared.messages.outbox import Tell
    from shared.rollouts.engine.advance import Rollouts
    from shared.rollouts.state.rollout import Rollout
    from shared.rollouts.strategy.model import Strategy
    from shared.workspaces.model import ModelVersion, Workspaces

#: What an MLflow model needs to be deployed without code.
_FLAVOR = "python_function"
#: A tag of this name and a field's chooses that field, where the reaction's `allow` lets it.
TAG_PREFIX = "signalbox_"

_INSTANCE_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,63}")
#: In a cluster they have names that are given there.
_CLUSTER_INSTANCE_TYPE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_COMPUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}")


def _needed(hint: str = "") -> PydanticCustomError:
    """Return the error of a value that is not there."""
    return PydanticCustomError("missing", "missing", {"hint": hint})


def _kind(info: ValidationInfo) -> str:
    """Return the kind of endpoint, as far as it is known; it is checked before."""
    return str(info.data.get("kind", ""))


def _check_compute(name: str, info: ValidationInfo) -> str:
    kind = _kind(info)
    if kind == "managed" and name:
        raise unfit("is not for managed endpoints", "Leave it out, or give another `kind`.")
    if kind in ("kubernetes", "batch") and not name:
        raise _needed(f"Name the cluster that the `{kind}` endpoint runs on.")
    if name and _COMPUTE.fullmatch(name) is None:
        raise ValueError("name a compute of the workspace: cpu-cluster")
    return name


def _check_instance_type(name: str, info: ValidationInfo) -> str:
    kind = _kind(info)
    if kind == "batch":
        if name:
            raise unfit("is not for batch endpoints", "The cluster of `compute` says what runs.")
    elif not name:
        if kind:
            raise _needed()
    elif kind == "kubernetes" and _CLUSTER_INSTANCE_TYPE.fullmatch(name) is None:
        raise ValueError("name an instance type of the cluster: defaultinstancetype")
    elif kind == "managed" and _INSTANCE_TYPE.fullmatch(name) is None:
        raise ValueError("name a VM size as Azure writes it: Standard_DS3_v2")
    return name


def _settle_auth_mode(mode: str | None, info: ValidationInfo) -> str | None:
    """Return the way to sign in, or the usual one of the kind of endpoint; None if it is unknown.

    Raises: PydanticCustomError for one that endpoints of the kind don't have.
    """
    from shared.workspaces.model import AUTH_MODES, EndpointKind

    kind = _kind(info)
    if not kind:
        return mode
    known = AUTH_MODES[EndpointKind(kind)]
    if mode is not None and mode not in known:
        others = " or ".join(f"`{name}`" for name in known)
        raise unfit(f"can't be '{mode}' for {kind} endpoints", f"They take {others}.")
    return mode or known[0]


def _check_network(access: str, info: ValidationInfo) -> str:
    if access == "disabled" and _kind(info) in ("kubernetes", "batch"):
        raise unfit("is for managed endpoints only", "Leave it out.")
    return access


def _check_fits(name: str, info: ValidationInfo) -> str:
    """Hold a strategy against the kind of endpoint, where the file's are known."""
    kind = _kind(info)
    if isinstance(info.context, LoadContext) and kind in ("kubernetes", "batch"):
        from shared.rollouts.strategy.endpoint_kinds import find_misfit
        from shared.rollouts.strategy.schema import find_strategy
        from shared.workspaces.model import EndpointKind

        strategy = find_strategy(name, info.context.strategies)
        misfit = find_misfit(strategy, EndpointKind(kind)) if strategy else ""
        if misfit:
            raise unfit(f"does not fit: '{name}' {misfit}", "Choose or write another strategy.")
    if isinstance(info.context, LoadContext) and kind != "batch" and "request_timeout" in info.data:
        _doubt_strategy(name, info.context, info.data["request_timeout"] or USUAL_CUT)
    return name


def _doubt_strategy(name: str, context: LoadContext, cut: timedelta) -> None:
    """Doubt a probe of a strategy's own that waits for longer than the endpoint lets it."""
    from shared.rollouts.strategy.schema import find_strategy

    strategy = find_strategy(name, context.strategies)
    probes = [step.probe for step in strategy.steps if step.probe] if strategy else []
    spans = [span for probe in probes for span in (probe.timeout, probe.latency) if span]
    if spans and max(spans) > cut:
        written, after = format_duration(max(spans)), format_duration(cut)
        message = (
            f"a probe of '{name}' waits {written}, and the endpoint cuts an answer off at {after}"
        )
        hint = f"Write `request_timeout: {written}` as well, or a shorter time in the strategy."
        context.doubts[("rollout",)] = (message, hint)


def _check_online[T](value: T, info: ValidationInfo) -> T:
    if _kind(info) == "batch":
        raise unfit("is not for batch endpoints", "They answer no scoring requests.")
    return value


def _check_cut(span: timedelta, info: ValidationInfo) -> timedelta:
    most = LONGEST_CUT.get(_kind(info), span)
    if span > most:
        told, kind = format_duration(most), _kind(info)
        raise ValueError(f"{told} at the most for {kind} endpoints, found {format_duration(span)}")
    return _check_online(span, info)


def _doubt_time(probe: ProbeParams, info: ValidationInfo) -> ProbeParams:
    """Doubt a time that no answer can take, because the endpoint cuts it off before."""
    if "request_timeout" not in info.data:
        return probe  # it is wrong, or only the event knows it
    cut = info.data["request_timeout"] or USUAL_CUT
    for name, span in (("timeout", probe.timeout), ("latency", probe.latency)):
        if span is not None and span > cut and isinstance(info.context, LoadContext):
            written, after = format_duration(span), format_duration(cut)
            message = f"`probe.{name}` is {written}, and the endpoint cuts an answer off at {after}"
            hint = f"Write `request_timeout: {written}` as well, or a shorter time here."
            info.context.doubts[("probe", name)] = (message, hint)
    return probe


#: How long one phase may take.
PhaseTime = Annotated[
    Duration,
    between(
        timedelta(minutes=5),
        timedelta(days=7),
        why="the service takes minutes, and with less everything is rolled back",
    ),
]
_YEAR = timedelta(days=365)
Compute = Annotated[str, AfterValidator(_check_compute)]
InstanceType = Annotated[str, AfterValidator(_check_instance_type)]
AuthMode = Annotated[
    Literal["aad_token", "key", "aml_token"] | None, AfterValidator(_settle_auth_mode)
]
PublicNetworkAccess = Annotated[Literal["enabled", "disabled"], AfterValidator(_check_network)]
CutOff = Annotated[RequestTimeout, AfterValidator(_check_cut)]
Health = Annotated[HealthParams, AfterValidator(_check_online)]
TimelyProbe = Annotated[ProbeParams, AfterValidator(_doubt_time)]
FittingRollout = Annotated[RolloutName, AfterValidator(_check_fits)]


#: The field that `allow.probe_request` is for.
_PROBE = "probe.request"


class AllowParams(Values):
    """What a model's own tags may choose: globs per field. A field without globs is not theirs."""

    endpoint: tuple[str, ...] = ()
    compute: tuple[str, ...] = ()
    instance_type: tuple[str, ...] = ()
    instance_count: tuple[int, ...] = ()
    probe_request: tuple[str, ...] = ()
    rollout: tuple[RolloutGlob, ...] = ()


class DeployParams(Params):
    """What `deploy` takes."""

    events = frozenset({EventType.MODEL_REGISTERED})
    guarded = MappingProxyType(
        {_PROBE if name == "probe_request" else name: name for name in AllowParams.model_fields}
    )

    endpoint: PlainName = Field(min_length=1, max_length=255)
    kind: Literal["managed", "kubernetes", "batch"] = "managed"
    compute: Compute = Field(default="", validate_default=True)
    instance_type: InstanceType = Field(default="", validate_default=True)
    instance_count: int = Field(default=1, ge=1, le=50)
    public_network_access: PublicNetworkAccess = "enabled"
    auth_mode: AuthMode = Field(default=None, validate_default=True)
    request_timeout: CutOff | None = None
    liveness_probe: Health = Field(default_factory=HealthParams)
    readiness_probe: Health = Field(default_factory=HealthParams)
    rollout: FittingRollout = "all-at-once"
    probe: TimelyProbe = Field(default_factory=ProbeParams)
    keep_old: Annotated[Duration, between(timedelta(0), _YEAR)] = timedelta(hours=1)
    timeout: PhaseTime = timedelta(hours=1)
    adopt: bool = False
    notify: tuple[ChannelName, ...] = ()
    when_better: BetterParams | None = None
    allow: AllowParams = Field(default_factory=AllowParams)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notice:
    """That a model was not deployed, for one channel."""

    channel: str
    kind: str = NotBetter.code
    attempt: int = 0


class Deploy:
    """Starts the rollout of a registered model."""

    may_fail = False

    def __init__(
        self,
        *,
        workspaces: "Workspaces",
        rollouts: "Rollouts",
        clock: Clock,
        tell: "Tell",
        find_strategy: "Callable[[str], Strategy | None]",
        read_file: Callable[[str], bytes],
        retrainings: Retrainings | None,
    ) -> None:
        """Find strategies and files of the app by name; tell `retrainings` of their models.

        None says that no reaction retrains: no request is spent on finding out.
        """
        self._workspaces = workspaces
        self._rollouts = rollouts
        self._clock = clock
        self._tell = tell
        self._find_strategy = find_strategy
        self._read_file = read_file
        self._retrainings = retrainings

    def act(self, work: Work) -> Outcome:
        """Start a rollout, or find the one that was started before a crash.

        Its values are made from the model as the workspace has it, not as the event told it.

        Raises: Superseded, ModelAbsent, ModelUnfit, TagForbidden, ExpressionFailed, ParamsInvalid,
        NotBetter, MetricMissing, MetricAwaited, and what Workspaces raises.
        """
        event = work.event
        assert isinstance(event, ModelRegistered)  # the loader lets no other type through
        found, now = current_model(self._workspaces, event, self._clock.now())
        _require_current(work, now, found)
        written = work.params(DeployParams, now)
        require_allowed(work.step, written, as_data(now))
        params = choose_by_tags(written, found.tags)
        _require_no_code(found, params.kind)
        plan = self._plan(work, found, params)
        if params.when_better is not None and not self._rollouts.has_begun(plan):
            # Once it has, the model may serve already, and would be compared with itself.
            self._require_better(plan, found, params.when_better)
        rollout = self._rollouts.start(plan)
        if self._retrainings is not None and plan.retraining:
            self._retrainings.deploying(plan.workspace, plan.retraining, _key(found), rollout.id)
        detail = f"rollout of {found.name} {found.version} to {rollout.endpoint}"
        return Outcome(status=OutcomeStatus.WAITING, detail=detail, rollout=rollout.id)

    def _require_better(self, plan: "Rollout", model: "ModelVersion", params: BetterParams) -> None:
        """Let pass only a model that is better than the one that serves; tell of any other.

        Raises: NotBetter, MetricMissing, MetricAwaited, Superseded, WorkspaceBusy, and what
        Workspaces raises.
        """
        from shared.workspaces.champions import challenge, side_of

        other = self._rollouts.find_undecided(plan)
        if other is not None:
            raise WorkspaceBusy(
                f"{other.model.name} {other.model.version} is being rolled out on {plan.endpoint};"
                f" {model.name} {model.version} is compared with what serves then"
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
            # Of a retraining, its loop tells.
            untold = "" if plan.retraining else self._tell_of(plan, verdict.reason)
            raise NotBetter(verdict.reason + untold)

    def _tell_of(self, plan: "Rollout", reason: str) -> str:
        """Tell the reaction's channels that a model is not better; return what was not told."""
        from shared.messages.text import Text

        text = Text(
            title=f"{plan.model.name} {plan.model.version} was not deployed on {plan.endpoint}",
            body=reason,
            good=None,
        )
        notices = tuple(_Notice(channel=channel) for channel in plan.plan.channels)
        told = self._tell.all(notices, lambda _: text)
        left = ", ".join(notice.channel for notice in told.left)
        untold = told.untold or (f"{left} did not take the message" if left else "")
        return f" ({untold})" if untold else ""

    def _plan(self, work: Work, model: "ModelVersion", params: DeployParams) -> "Rollout":
        from shared.actions.begin_rollout import begin, settle_strategy
        from shared.rollouts.state.rollout import ModelRef, Plan
        from shared.workspaces.model import EndpointKind, Serving

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
                keep_old=params.keep_old,
                timeout=params.timeout,
                adopt=params.adopt,
                better=params.when_better,
                serving=Serving(
                    request_timeout=params.request_timeout,
                    liveness=params.liveness_probe.probe,
                    readiness=params.readiness_probe.probe,
                ),
                channels=params.notify,
            ),
            goal={deployment: 100},
            retraining=reference,
        )


def _key(model: "ModelVersion") -> str:
    return f"{model.name}:{model.version}"


def _require_current(work: Work, event: ModelRegistered, model: "ModelVersion") -> None:
    """Let pass only a model of which the event, told anew, would set off the same reaction.

    Raises: Superseded.
    """
    name = f"{model.name} {model.version}"
    if model.archived:
        raise Superseded(f"model {name} is archived")
    if not work.still_holds(event):
        raise Superseded(f"model {name} has other tags now, and `when` no longer holds")


def _require_no_code(model: "ModelVersion", kind: str) -> None:
    """Let pass only a model that endpoints of this kind run without code; raises ModelUnfit."""
    from shared.workspaces.model import WITHOUT_CODE, EndpointKind, ModelKind

    name = f"{model.name} {model.version}"
    known = WITHOUT_CODE[EndpointKind(kind)]
    if model.kind not in known:
        raise ModelUnfit(
            f"model {name} is a {redact(model.kind, most=50)}, which needs a scoring script on a"
            f" {kind} endpoint",
            hint=f"Register it as {' or '.join(f'`{each}`' for each in known)}.",
        )
    if model.kind == ModelKind.MLFLOW and model.flavors and _FLAVOR not in model.flavors:
        raise ModelUnfit(f"MLflow model {name} has no {_FLAVOR} flavor, and needs a scoring script")


def choose_by_tags(params: DeployParams, tags: Mapping[str, str]) -> DeployParams:
    """Return the values with what the model's tags choose, as far as `allow` lets them.

    Raises: TagForbidden for a choice that is not allowed, ParamsInvalid for one that is no value.
    """
    # Of what nobody wrote, the defaults may not fit each kind of endpoint.
    values = params.model_dump(exclude_unset=True)
    for tag, text in tags.items():
        field = tag.lower().removeprefix(TAG_PREFIX)
        if not tag.lower().startswith(TAG_PREFIX) or field not in AllowParams.model_fields:
            continue
        if field == "endpoint":
            text = slug(text)
        if field == "rollout":
            text = text.lower()  # as the names of all strategies are
        globs = globs_of(params, field)
        if not is_allowed(text, globs):
            shown = redact(text, most=100)
            raise TagForbidden(f"tag {tag} asks for {shown!r}; the reaction allows {listed(globs)}")
        if field == "probe_request":
            values["probe"] = {**values.get("probe", {}), "request": text}
        else:
            values[field] = text
    return revise("deploy", values, DeployParams)
