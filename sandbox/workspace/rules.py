"""Rules that change the emulator's behaviour, matched by glob."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from sandbox.workspace.arm import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The subject of the work; a name that does not apply stays empty."""

    workspace: str = ""
    endpoint: str = ""
    deployment: str = ""
    model: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Globs on names, case-insensitive; `*` also matches a name that does not apply."""

    workspace: str = "*"
    endpoint: str = "*"
    deployment: str = "*"
    model: str = "*"
    version: str = "*"

    def covers(self, subject: Subject) -> bool:
        """Say whether every glob matches."""
        return all(
            fnmatchcase(getattr(subject, f.name).lower(), getattr(self, f.name).lower())
            for f in fields(self)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The effect of a rule; each subclass is one kind."""

    match: Match = field(default_factory=Match)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioning(Effect):
    """Operations (glob, e.g. `deployment_create`, `endpoint_*`) take so many emulated seconds."""

    seconds: float
    operation: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailOperation(Effect):
    """An accepted operation ends as Failed or Canceled, with this error and container log."""

    code: str
    message: str
    operation: str = "deployment_[cu]*"
    status: str = "Failed"
    logs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota(Effect):
    """A VM family (glob) has this many cores, as seen by the deployments that match."""

    limit: int
    family: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEffect(Effect):
    """A rule for ARM requests, chosen by method and by a glob on the path."""

    method: str = "*"
    path: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(ArmEffect):
    """ARM answers 429; `retry_after` is in real seconds, None leaves the header out."""

    retry_after: int | None = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage(ArmEffect):
    """ARM answers with this status, or the connection drops: before or after the work is done."""

    status: int = 503
    drop: bool = False
    lose_answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(ArmEffect):
    """ARM waits this many real seconds before it handles a request."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring(Effect):
    """How a deployment answers: `error_rate` of the requests fail, the others get `output`.

    A failure is the model container's `model_status` (the caller sees 424), unless `status`
    names one of the platform's own, such as 408, 429 or 500. `latency` is in real seconds; with a
    `spread` it is the median of a log-normal distribution with that sigma.
    """

    error_rate: float = 0.0
    model_status: int = 500
    reason: str = "Internal Server Error"
    status: int | None = None
    latency: float = 0.0
    spread: float = 0.0
    output: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsOutage(Effect):
    """The metrics of a resource cannot be read: the answer has this status."""

    status: int = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsLag(Effect):
    """The metrics of a resource are so many seconds late."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilization(Effect):
    """The `cpu` or `memory` (a glob) of a deployment's instances is so many percent in use."""

    percent: float
    resource: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Effect):
    """The behaviour of an experiment's jobs (glob), or of steps that run a component (glob).

    Without `component` the rule is for whole jobs, and in a pipeline for its last step; `*` is for
    both. `seconds` are those in Running (of each step), `queued` those in Queued. `error` is
    `{"code", "message"}`; `tags` are set by the run on itself before it ends. `files` are the texts
    in its outputs, by output and path: `model/MLmodel`.
    """

    experiment: str = "*"
    component: str = ""
    seconds: float = 60.0
    queued: float = 1.0
    outcome: str = "Completed"
    error: Json | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefuseJob(Effect):
    """Jobs of an experiment (glob) are refused when they are submitted."""

    message: str
    experiment: str = "*"
    status: int = 400
    code: str = "UserError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Effect):
    """Azure Policy denies endpoints and deployments that lack these tags.

    Managed endpoints must not be public, if `is_private`, and online ones must have an identity
    that was assigned to them, if `has_identity`.
    """

    tags: tuple[str, ...] = ()
    is_private: bool = False
    has_identity: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorFinding(Effect):
    """The findings of a model monitor's runs (glob), in the form of a monitor run's body."""

    finding: Json
    monitor: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchInvocation(Effect):
    """The result of an invocation of a batch endpoint.

    Whether the job gets the wanted name and tags, and whether a Repeatability-Request-ID that was
    seen before is known again.
    """

    keeps_name: bool = False
    keeps_tags: bool = True
    knows_repeats: bool = True


_KINDS: dict[str, type[Effect]] = {
    "provisioning": Provisioning,
    "fail_operation": FailOperation,
    "quota": Quota,
    "throttle": Throttle,
    "outage": Outage,
    "latency": Latency,
    "scoring": Scoring,
    "metrics_outage": MetricsOutage,
    "metrics_lag": MetricsLag,
    "utilization": Utilization,
    "training": Training,
    "refuse_job": RefuseJob,
    "policy": Policy,
    "monitor_finding": MonitorFinding,
    "batch_invocation": BatchInvocation,
}


@dataclass(slots=True, kw_only=True)
class Rule:
    """An effect, until it has been used `times` times or `until` has passed."""

    id: str
    effect: Effect
    times: int | None = None
    until: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Say whether the rule still applies."""
        return self.times != 0 and (self.until is None or now < self.until)

    def document(self) -> Json:
        """Return the rule as the control API shows it."""
        kind = next(name for name, cls in _KINDS.items() if type(self.effect) is cls)
        until = self.until.isoformat() if self.until else None
        return {"id": self.id, "effect": kind, "times": self.times, "until": until} | asdict(
            self.effect
        )


def parse_rule(rule_id: str, body: Json, now: datetime) -> Rule:
    """Read a rule from the control API; raises ValueError with the fault."""
    rest = dict(body)
    kind, times, duration = rest.pop("effect", None), rest.pop("times", None), rest.pop("for", None)
    if kind not in _KINDS:
        raise ValueError(f"effect must be one of {', '.join(_KINDS)}, not {kind!r}")
    try:
        match = Match(**rest.pop("match", {}))
        effect = _KINDS[kind](match=match, **rest)
    except TypeError as problem:
        raise ValueError(f"{kind}: {problem}") from None
    until = None if duration is None else now + timedelta(seconds=duration)
    return Rule(id=rule_id, effect=effect, times=times, until=until)


class Rules:
    """The programmed rules; where several apply, the one set last wins."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._rules: dict[str, Rule] = {}

    def put(self, rule_id: str, body: Json) -> Rule:
        """Set or replace a rule; it becomes the one set last."""
        rule = parse_rule(rule_id, body, self._now())
        self._rules.pop(rule_id, None)
        self._rules[rule_id] = rule
        return rule

    def remove(self, rule_id: str) -> bool:
        """Remove a rule; says whether there was one."""
        return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def documents(self) -> list[Json]:
        """Return all rules, oldest first."""
        return [rule.document() for rule in self._rules.values()]

    def take[E: Effect](self, kind: type[E], subject: Subject, **names: str) -> E | None:
        """Use up one application of the rule of this kind that applies, if there is one.

        `names` are matched against the effect's own globs, such as `operation` or `path`.
        """
        now = self._now()
        for rule in reversed(self._rules.values()):
            effect = rule.effect
            if not isinstance(effect, kind) or not rule.is_live(now):
                continue
            if effect.match.covers(subject) and _globs_match(effect, names):
                if rule.times is not None:
                    rule.times -= 1
                return effect
        return None


def _globs_match(effect: Effect, names: dict[str, str]) -> bool:
    return all(
        fnmatchcase(value.lower(), str(getattr(effect, name)).lower())
        for name, value in names.items()
    )
