"""The decisions of a rollout: wait, go on, ask, write."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do now; look again after `delay`, or when the tick's own pace says so.

    `asked` is the shortest wait that the service asks for. An alarm is sent to people, once.
    """

    reason: str
    delay: timedelta | None = None
    asked: timedelta | None = None
    is_alarm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Go on to another phase, or begin the same one again.

    `note` is for the history alone. `rollout` is the rollout with what was learnt, None if nothing
    was. `by_others` says that its split is somebody else's.
    """

    phase: Phase
    reason: str = ""
    note: str = field(default="", compare=False)
    rollout: Rollout | None = None
    by_others: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Inspect:
    """Find out whether anything prevents the new deployment from being created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskGates:
    """Measure the gates, or the measure of a comparison, against the stable deployment."""

    stable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendProbe:
    """Send a golden request straight to a deployment."""

    deployment: str


@dataclass(frozen=True, slots=True)
class ReadLogs:
    """Read the last log lines of the deployment that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrule:
    """Abort the older rollout that has the endpoint."""

    holder: Rollout


@dataclass(frozen=True, slots=True)
class CreateEndpoint:
    """Start creating the endpoint."""


@dataclass(frozen=True, slots=True)
class CreateDeployment:
    """Start creating the new deployment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTraffic:
    """Start setting the whole split and mirror, and the tags that say what serves."""

    traffic: Mapping[str, int]
    serving: str  #: "" where nothing serves.
    mirror: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Start setting a deployment's number of instances."""

    name: str
    instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDeployment:
    """Start deleting a deployment."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """The step has come to its end: the rollout goes on with the next. No decision yet.

    `rollout` is the rollout with what was learnt; `reason` and `note` are as in `Go`.
    """

    rollout: Rollout
    reason: str = ""
    note: str = ""


Question = Inspect | AskGates | SendProbe | ReadLogs
Write = CreateEndpoint | CreateDeployment | SetTraffic | Scale | DeleteDeployment
Decision = Wait | Go | Question | Overrule | Write
