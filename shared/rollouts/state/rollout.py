"""A rollout: the life of one new deployment, or of one change of traffic, on an endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.base.ids import digest
from shared.events.model import Workspace
from shared.journal.outcomes import EventRef
from shared.messages.notice import Notice
from shared.rollouts.state.measurement import Measurement
from shared.rollouts.state.orders import Order
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.splits import Split, is_same
from shared.rollouts.strategy.model import Probe, RolloutStep, Strategy
from shared.workspaces.comparison import BetterParams
from shared.workspaces.model import EndpointKind, Operation, Serving, ServingContainer


class Cause(StrEnum):
    """The causes for which traffic goes back, or is never moved."""

    FAILED = "failed"  #: A step, a gate, a write or the deployment failed.
    ABORTED = "aborted"  #: A person said so.
    SUPERSEDED = "superseded"  #: A newer version took its place.
    NOT_BETTER = "not-better"  #: In a comparison, the old one won.


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of the rollout: the reaction's values, settled when it began.

    `probe` is what the deployment that serves has to answer after a rollback. A rollout that does
    not `create` moves the traffic of deployments that are there.
    """

    strategy: Strategy
    probe: Probe
    timeout: timedelta
    creates: bool = True
    kind: EndpointKind = EndpointKind.MANAGED
    compute: str = ""
    instance_type: str = ""
    instance_count: int = 0
    auth_mode: str = ""
    is_public: bool = True  #: Whether an endpoint that is made can be called from the internet.
    identities: tuple[str, ...] = ()  #: Those that such an endpoint gets; () is one of its own.
    tags: Mapping[str, str] = field(default_factory=dict)  #: Of endpoint and deployment.
    keep_old: timedelta = timedelta(0)
    adopt: bool = False
    better: BetterParams | None = None  #: Whether it has to be better than what serves, and how.
    serving: Serving = field(default_factory=Serving)
    container: ServingContainer | None = None  #: Where the model runs, if it brings none.
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """The model version that is rolled out; `id` is its ARM id."""

    id: str
    name: str
    version: str

    @property
    def words(self) -> str:
        """Name and version, or "" where the model is not known."""
        return f"{self.name} {self.version}".strip()


#: The beginning of a line of the history about an order, not a phase.
TOO_LATE = "came too late: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of a rollout's history; `step` is that of the strategy, from 0, -1 for none.

    `split` and `mirror` are what had come into force by then, in percent by deployment, where that
    was new; else `split` is None. `by_others` says that somebody else had made it so.
    """

    at: datetime
    phase: Phase
    text: str = ""
    step: int = -1
    split: Mapping[str, int] | None = None
    mirror: Mapping[str, int] = field(default_factory=dict)
    by_others: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The splits of a rollout, in percent by deployment."""

    goal: Split  #: The split to end with.
    origin: Split = field(default_factory=dict)  #: The split that the rollout found.
    split: Split = field(default_factory=dict)  #: The split believed in force,
    mirror: Split = field(default_factory=dict)  #: with this mirrored beside it.
    split_at: datetime | None = None  #: When the endpoint was seen to have split and mirror.

    def is_as(self, split: Split, mirror: Split) -> bool:
        """Return whether these are the split and the mirror that are believed in force."""
        return is_same(split, self.split) and is_same(mirror, self.mirror)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gating:
    """The state of the gates between two looks at them."""

    is_waived: bool = False  #: Whether a person has waived that the gates prove themselves.
    looks: Mapping[str, int] = field(default_factory=dict)  #: Tests of gates so far, by kind.
    looked_at: datetime | None = None  #: When they were last measured.
    measured: tuple[Measurement, ...] = ()  #: The result for each gate.


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The state of one attempt: a rollout that is tried again begins with a new one."""

    retries: int = 0  #: How many attempts there were before.
    has_kept: bool = False  #: Whether a deployment of an earlier attempt may still be there.
    cause: Cause | None = None  #: Why it goes, or went, back.
    is_moved: bool = False  #: Whether a write that moves traffic was ever begun.
    logs: str = ""  #: The last log lines of the container that failed.


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseWork:
    """The state of the work in one phase: the rollout enters the next phase with a new one."""

    submitted: bool = False  #: Whether the phase's operation was started.
    operation: Operation | None = None  #: The operation that is under way.
    tries: int = 0  #: Of the phase's write.
    probes: int = 0  #: How many were sent.
    trouble: str = ""  #: Why the last tick could not do its work; "" if it could.
    troubles: int = 0  #: Ticks in a row that could not.
    alarm: str = ""  #: The last message to people that the phase can't go on.


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When the rollout is looked at next, and how its ticks end. Nothing is decided from it."""

    tick: int = 0  #: The tick that it waits for; a message for another one is stale.
    due_at: datetime
    busy_until: datetime | None = None  #: Until then, one worker has the tick.
    cut_off: int = 0  #: Ticks in a row that did not come to an end.
    is_unsettled: bool = False  #: Whether the outcome of the last tick is still to be reported.


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The life of one new deployment on an endpoint, as it is kept.

    `deployment` is the one whose share is to grow, `stable` the one that is measured against.
    """

    id: str
    ref: EventRef
    reaction_step: str  #: "reaction/step", where the outcome is recorded.
    workspace: Workspace
    endpoint: str
    deployment: str
    model: ModelRef
    plan: Plan
    phase: Phase
    since: datetime  #: When the phase began.
    created_at: datetime
    schedule: Schedule
    traffic: Traffic
    stable: str = ""  #: The deployment that served when the rollout began; "" if none did.
    stable_instances: int = 0  #: How many instances it had then.
    step: int = -1  #: The strategy's step that it is at, from 0; -1 before the first.
    gating: Gating = field(default_factory=Gating)
    orders: tuple[Order, ...] = ()  #: The orders that are not carried out yet.
    heard: tuple[str, ...] = ()  #: The claims of reactions' last orders, so each is given once.
    attempt: Attempt = field(default_factory=Attempt)
    work: PhaseWork = field(default_factory=PhaseWork)
    reason: str = ""  #: Why it is being, or was, held, rolled back, refused or superseded.
    proof: str = ""  #: Which request the last probe that passed was, and how it was answered.
    has_endpoint: bool = False  #: Whether it has taken the endpoint's lock, and not let go.
    history: tuple[Moment, ...] = ()
    link: str = ""  #: The endpoint's page in AML studio.
    notices: tuple[Notice, ...] = ()
    given_up: str = ""  #: A message that was given up, and why.
    traceparent: str = ""
    goes_back: bool = False  #: Whether it returns to what served before, by `to: previous`.
    retraining: str = ""  #: The reference of the retraining that made the model, "" if none did.
    depth: int = 0  #: How many reactions in a row led to it, its own with them.

    @property
    def partition(self) -> str:
        """The table partition of the endpoint: its lock and its rollouts are in one."""
        return endpoint_key(self.workspace, self.endpoint)

    @property
    def current(self) -> RolloutStep | None:
        """The strategy's step that it is at, or None before the first and after the last."""
        steps = self.plan.strategy.steps
        return steps[self.step] if 0 <= self.step < len(steps) else None

    def due(self, at: datetime) -> "Rollout":
        """Return the rollout with its next tick due then."""
        return replace(self, schedule=replace(self.schedule, due_at=at))

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done, or a message to be sent."""
        is_over = self.phase.is_terminal and not self.schedule.is_unsettled
        return not is_over or bool(self.notices) or bool(self.orders)


def endpoint_key(workspace: Workspace, endpoint: str) -> str:
    """Return the key of an endpoint: one for every spelling."""
    return digest(workspace.key, endpoint.lower())[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The result of a probe."""

    passed: bool
    detail: str = field(default="")
