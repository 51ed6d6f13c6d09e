"""What a rollout sees at one tick, and what it can decide to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from shared.rollouts.state.measurement import Measurement
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import ProbeResult, Rollout
from shared.rollouts.state.splits import share
from shared.workspaces.model import Deployment, Endpoint, OperationResult, OperationStatus, State

#: Tags of an endpoint that say what serves; also on deployments, to tell ours from others'.
TAG_MODEL = "signalbox_model"
TAG_VERSION = "signalbox_version"
TAG_DEPLOYMENT = "signalbox_deployment"
TAG_ROLLOUT = "signalbox_rollout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the world looks like at one tick. `None` means absent, or not looked at."""

    has_lock: bool = False
    holder: Rollout | None = None  #: Whoever has the endpoint, where that is somebody else.
    has_looked: bool = False  #: Whether endpoint and deployments were read.
    endpoint: Endpoint | None = None
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    operation: OperationResult | None = None
    probe: ProbeResult | None = None
    faults: tuple[str, ...] | None = None  #: Why it can't be created; () where it can.
    worse: str = ""  #: Why the model is not better than the one that serves, where it has to be.
    measurements: tuple[Measurement, ...] | None = None
    grain: timedelta = timedelta(minutes=1)  #: The span of one reading of the metrics.
    failed: frozenset[str] = frozenset()  #: Deployments of other rollouts that went back.
    needed: frozenset[str] = frozenset()  #: What other rollouts may yet go back to.

    @property
    def traffic(self) -> Mapping[str, int]:
        """The split of live traffic, under the deployments' own names."""
        return self._named({} if self.endpoint is None else self.endpoint.traffic)

    @property
    def mirror(self) -> Mapping[str, int]:
        """The shares that are mirrored, under the deployments' own names."""
        return self._named({} if self.endpoint is None else self.endpoint.mirror)

    def live(self, name: str) -> int:
        """Return the share of live traffic of a deployment, in percent."""
        return share(self.traffic, name)

    def serves(self, name: str) -> int:
        """Return the share of live or mirrored traffic of a deployment, in percent."""
        return share(self.traffic, name) + share(self.mirror, name)

    def find(self, name: str) -> Deployment | None:
        """Return the deployment of this name, in whatever casing."""
        return self.deployments.get(name) or next(
            (found for key, found in self.deployments.items() if key.lower() == name.lower()), None
        )

    def is_healthy(self, name: str) -> bool:
        """Say whether a deployment may be given traffic."""
        found = self.find(name)
        return found is not None and found.state is State.SUCCEEDED

    def _named(self, shares: Mapping[str, int]) -> Mapping[str, int]:
        called = {name.lower(): name for name in self.deployments}
        return {called.get(name.lower(), name): part for name, part in shares.items() if part}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do now; look again after `delay`, or when the tick's own pace says so.

    `asked` is how long the service asks to wait at the least. An alarm is told to people, once.
    """

    reason: str
    delay: timedelta | None = None
    asked: timedelta | None = None
    is_alarm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Go on to another phase, or to the same one anew.

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
    """Find out what would keep the new deployment from being created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskGates:
    """Measure the gates, or what a comparison needs, against the stable deployment."""

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
    """Have the older rollout that has the endpoint make place."""

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
    """Start giving a deployment so many instances."""

    name: str
    instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDeployment:
    """Start deleting a deployment."""

    name: str


Question = Inspect | AskGates | SendProbe | ReadLogs
Write = CreateEndpoint | CreateDeployment | SetTraffic | Scale | DeleteDeployment
Decision = Wait | Go | Question | Overrule | Write


def failure_in(seen: Observation) -> str:
    """Return why the phase's operation failed, or "" if it did not."""
    result = seen.operation
    if result is None or result.status is not OperationStatus.FAILED:
        return ""
    return f"{result.code}: {result.message}" if result.code else result.message or "no reason"


def unread_reason(seen: Observation) -> str:
    """Return what keeps the reason of a failure from being read, to be put behind it; or ""."""
    result = seen.operation
    if result is None or result.status is not OperationStatus.UNKNOWN or not result.message:
        return ""
    return f" (why is not known: {result.message})"


def is_marked(rollout: Rollout, endpoint: Endpoint) -> bool:
    """Say whether the endpoint has, or is to have, the tags that say what serves.

    Moving the traffic of somebody's endpoint does not make it Signalbox's.
    """
    return rollout.plan.creates or TAG_MODEL in endpoint.tags
