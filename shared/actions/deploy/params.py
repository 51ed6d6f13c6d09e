"""The values of `deploy` in a reaction."""

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from shared.actions.allowed import guarded_by
from shared.actions.deploy.asset_names import FORMS
from shared.actions.deploy.demanded import (
    AzureTags,
    DataCollectorParams,
    IdentityParams,
    Variables,
    needed,
)
from shared.base.durations import Duration, between, format_duration
from shared.events.model import EventType
from shared.reactions.model import Params
from shared.rollouts.strategy.endpoint_kinds import find_misfit
from shared.rollouts.strategy.model import StepKind
from shared.rollouts.strategy.names import RolloutGlob, RolloutName
from shared.rollouts.strategy.probe_schema import ProbeParams
from shared.rollouts.strategy.schema import find_strategy
from shared.rollouts.strategy.serving import (
    LONGEST_CUT,
    USUAL_CUT,
    HealthParams,
    QueueWait,
    ReadinessParams,
    RequestTimeout,
)
from shared.schema.values import ChannelName, LoadContext, PlainName, Values, unfit
from shared.workspaces.comparison import BetterParams
from shared.workspaces.model import AUTH_MODES, AssetKind, EndpointKind

_INSTANCE_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,63}")
#: The names of instance types are given in the cluster.
_CLUSTER_INSTANCE_TYPE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_SCRIPT = re.compile(r"(?:[A-Za-z0-9_][\w-]*/)*[A-Za-z0-9_][\w-]*\.py")
_COMPUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}")


def _kind(info: ValidationInfo) -> str:
    """Return the kind of endpoint, which is checked before, "" if it was wrong."""
    return str(info.data.get("kind", ""))


def _check_compute(name: str, info: ValidationInfo) -> str:
    kind = _kind(info)
    if kind == "managed" and name:
        raise unfit("is not for managed endpoints", "Leave it out, or give another `kind`.")
    if kind in ("kubernetes", "batch") and not name:
        raise needed(f"Name the cluster that the `{kind}` endpoint runs on.")
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
            raise needed()
    elif kind == "kubernetes" and _CLUSTER_INSTANCE_TYPE.fullmatch(name) is None:
        raise ValueError("name an instance type of the cluster: defaultinstancetype")
    elif kind == "managed" and _INSTANCE_TYPE.fullmatch(name) is None:
        raise ValueError("name a VM size as Azure writes it: Standard_DS3_v2")
    return name


def _settle_auth_mode(mode: str | None, info: ValidationInfo) -> str | None:
    """Return the way to sign in, by default that of the kind of endpoint; None for an unknown kind.

    Raises: PydanticCustomError for a way that endpoints of the kind don't have.
    """
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
    """Check that a strategy fits the kind of endpoint, if the file's strategies are known."""
    kind = _kind(info)
    if isinstance(info.context, LoadContext) and kind in ("kubernetes", "batch"):
        strategy = find_strategy(name, info.context.strategies)
        misfit = find_misfit(strategy, EndpointKind(kind)) if strategy else ""
        if misfit:
            raise unfit(f"does not fit: '{name}' {misfit}", "Choose or write another strategy.")
    if isinstance(info.context, LoadContext) and kind != "batch" and "request_timeout" in info.data:
        _doubt_strategy(name, info.context, info.data["request_timeout"] or USUAL_CUT)
    return name


def _doubt_strategy(name: str, context: LoadContext, cut: timedelta) -> None:
    """Warn of a strategy's probe that waits longer than the endpoint's limit."""
    strategy = find_strategy(name, context.strategies)
    probes = [step.probe for step in strategy.steps if step.probe] if strategy else []
    spans = [span for probe in probes for span in (probe.timeout, probe.latency) if span]
    longest = max(spans, default=timedelta(0))
    if longest > cut:
        waits = f"a probe of '{name}' waits {format_duration(longest)}"
        context.doubts[("rollout",)] = _too_long(waits, longest, cut, "in the strategy")


def _too_long(subject: str, span: timedelta, cut: timedelta, where: str) -> tuple[str, str]:
    """Return the message and the hint for a time beyond the endpoint's limit."""
    message = f"{subject}, and the endpoint cuts an answer off at {format_duration(cut)}"
    written = format_duration(span)
    return message, f"Write `request_timeout: {written}` as well, or a shorter time {where}."


def _check_online[T](value: T, info: ValidationInfo) -> T:
    if _kind(info) == "batch":
        raise unfit("is not for batch endpoints", "They answer no scoring requests.")
    return value


def _check_cut(span: timedelta, info: ValidationInfo) -> timedelta:
    most = LONGEST_CUT.get(_kind(info), span)
    if span > most:
        longest, kind = format_duration(most), _kind(info)
        found = format_duration(span)
        raise ValueError(f"{longest} at the most for {kind} endpoints, found {found}")
    return _check_online(span, info)


def _doubt_no_request(probe: ProbeParams, info: ValidationInfo) -> None:
    """Warn of code of one's own that no golden request is sent to: only its author knows one."""
    context = info.context
    if probe.request or not info.data.get("environment") or not isinstance(context, LoadContext):
        return
    strategy = find_strategy(info.data.get("rollout", ""), context.strategies)
    steps = strategy.steps if strategy else ()
    probes = [step.probe for step in steps if step.kind is StepKind.PROBE]
    if any(own is None or not own.request for own in probes):
        message = "the probe has no golden request, and can't make one for code of your own"
        hint = "It finds out only that the container answers. Write `probe: {request: golden/…}`."
        context.doubts[("environment",)] = (message, hint)


def _doubt_time(probe: ProbeParams, info: ValidationInfo) -> ProbeParams:
    """Warn of a time beyond the endpoint's limit, because the endpoint cuts answers off before.

    Warn as well of code of one's own that nothing is asked.
    """
    _doubt_no_request(probe, info)
    if "request_timeout" not in info.data:
        return probe  # it is wrong, or depends on the event
    cut = info.data["request_timeout"] or USUAL_CUT
    for name, span in (("timeout", probe.timeout), ("latency", probe.latency)):
        if span is not None and span > cut and isinstance(info.context, LoadContext):
            is_set = f"`probe.{name}` is {format_duration(span)}"
            info.context.doubts[("probe", name)] = _too_long(is_set, span, cut, "here")
    return probe


def _check_environment(name: str, info: ValidationInfo) -> str:
    if name and _kind(info) == "batch":
        raise unfit("is not for batch endpoints", "Signalbox deploys MLflow models only there.")
    if name.startswith("azureml://registries/") and "/labels/" in name:
        raise unfit("has a label of a registry", "Name the version: …/versions/3.")
    if name and FORMS[AssetKind.ENVIRONMENT].fullmatch(name) is None:
        raise ValueError(
            "name a registered environment: azureml:sklearn-serving:4,"
            " azureml:sklearn-serving@latest,"
            " azureml://registries/REGISTRY/environments/NAME/versions/4"
        )
    return name


def _check_code(name: str, info: ValidationInfo) -> str:
    if name and info.data.get("environment") == "":
        raise unfit("needs an `environment` to run in", "Name a registered one beside it.")
    if name and FORMS[AssetKind.CODE].fullmatch(name) is None:
        raise ValueError("name a registered code and its version: azureml:churn-scoring:3")
    return name


def _check_script(path: str, info: ValidationInfo) -> str:
    code = info.data.get("code")
    if path and code == "":
        raise unfit("is a file of `code`, which is missing", "Name the registered code as well.")
    if not path and code:
        raise needed("Name the file of `code` with `init()` and `run()`: score.py")
    if path and _SCRIPT.fullmatch(path) is None:
        raise ValueError("give the path of a .py file within the code: score.py, src/score.py")
    return path


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
MostAtOnce = Annotated[int, Field(ge=1, le=1000)]
RegisteredEnvironment = Annotated[str, AfterValidator(_check_environment)]
RegisteredCode = Annotated[str, AfterValidator(_check_code)]
ScoringScript = Annotated[str, AfterValidator(_check_script)]
Online = AfterValidator(_check_online)
CutOff = Annotated[RequestTimeout, AfterValidator(_check_cut)]
Health = Annotated[HealthParams, Online]
Readiness = Annotated[ReadinessParams, Online]
TimelyProbe = Annotated[ProbeParams, AfterValidator(_doubt_time)]
FittingRollout = Annotated[RolloutName, AfterValidator(_check_fits)]


class AllowParams(Values):
    """Globs of the values that a model's tags may choose, by field; without globs none."""

    endpoint: tuple[str, ...] = ()
    compute: tuple[str, ...] = ()
    instance_type: tuple[str, ...] = ()
    instance_count: tuple[int, ...] = ()
    probe_request: tuple[str, ...] = ()
    rollout: tuple[RolloutGlob, ...] = ()
    environment: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    scoring_script: tuple[str, ...] = ()
    environment_variables: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()


class DeployParams(Params):
    """The values that `deploy` takes."""

    events = frozenset({EventType.MODEL_REGISTERED})
    guarded = guarded_by(AllowParams)

    endpoint: PlainName = Field(min_length=1, max_length=255)
    kind: Literal["managed", "kubernetes", "batch"] = "managed"
    compute: Compute = Field(default="", validate_default=True)
    instance_type: InstanceType = Field(default="", validate_default=True)
    instance_count: int = Field(default=1, ge=1, le=50)
    public_network_access: PublicNetworkAccess = "enabled"
    auth_mode: AuthMode = Field(default=None, validate_default=True)
    request_timeout: CutOff | None = None
    liveness_probe: Health = Field(default_factory=HealthParams)
    readiness_probe: Readiness = Field(default_factory=ReadinessParams)
    max_concurrent_requests: Annotated[MostAtOnce | None, Online] = None
    max_queue_wait: Annotated[QueueWait | None, Online] = None
    tags: AzureTags = Field(default_factory=dict)
    egress_public_network_access: PublicNetworkAccess = "enabled"
    identity: Annotated[IdentityParams, Online] = Field(default_factory=IdentityParams)
    environment: RegisteredEnvironment = ""
    code: RegisteredCode = ""
    scoring_script: ScoringScript = Field(default="", validate_default=True)
    environment_variables: Annotated[Variables, Online] = Field(default_factory=dict)
    app_insights: Annotated[bool, Online] = False
    data_collector: Annotated[DataCollectorParams | None, Online] = None
    rollout: FittingRollout = "all-at-once"
    probe: TimelyProbe = Field(default_factory=ProbeParams, validate_default=True)
    keep_old: Annotated[Duration, between(timedelta(0), _YEAR)] = timedelta(hours=1)
    timeout: PhaseTime = timedelta(hours=1)
    adopt: bool = False
    notify: tuple[ChannelName, ...] = ()
    when_better: BetterParams | None = None
    allow: AllowParams = Field(default_factory=AllowParams)
