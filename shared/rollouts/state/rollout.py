"""A rollout: the life of one new deployment, or of one change of traffic, on an endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from shared.base.ids import digest
from shared.events.model import Workspace
from shared.journal.outcomes import EventRef
from shared.messages.notice import Notice
from shared.rollouts.state.measurement import Measurement
from shared.rollouts.state.orders import Order
from shared.rollouts.state.phases import Phase
from shared.rollouts.strategy.model import Probe, RolloutStep, Strategy
from shared.workspaces.comparison import BetterParams
from shared.workspaces.model import EndpointKind, Operation, Serving


class Cause(StrEnum):
    """Why traffic went back, or was never moved."""

    FAILED = "failed"  #: A step, a gate, a write or the deployment failed.
    ABORTED = "aborted"  #: A person said so.
    SUPERSEDED = "superseded"  #: A newer version took its place.
    NOT_BETTER = "not-better"  #: In a comparison, the old one won.


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the rollout is to do: the reaction's values, settled when it began.

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
    keep_old: timedelta = timedelta(0)
    adopt: bool = False
    better: BetterParams | None = None  #: Whether it has to be better than what serves, and how.
    serving: Serving = field(default_factory=Serving)
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


#: How a line of the history begins that is of an order, and not of a phase.
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
class Rollout:
    """The life of one new deployment on an endpoint, as it is kept.

    `deployment` is the one whose share is to grow, `stable` the one that is measured against.
    Splits are in percent by deployment name: `origin` is the one that the rollout found, `goal`
    the one that it is to end with, `split` and `mirror` those that it believes to be in force.
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
    goal: Mapping[str, int]
    origin: Mapping[str, int] = field(default_factory=dict)
    split: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)
    split_at: datetime | None = None  #: When the endpoint was seen to have this split and mirror.
    is_moved: bool = False  #: Whether a write that moves traffic was ever begun.
    stable: str = ""  #: What served when the rollout began; "" if nothing did.
    stable_instances: int = 0  #: How many instances it had then.
    step: int = -1  #: The strategy's step that it is at, from 0; -1 before the first.
    is_waived: bool = False  #: Whether a person has waived that the gates prove themselves.
    looks: Mapping[str, int] = field(default_factory=dict)  #: Tests of gates so far, by kind.
    looked_at: datetime | None = None  #: When they were last measured.
    measured: tuple[Measurement, ...] = ()  #: What came of that, of each gate.
    orders: tuple[Order, ...] = ()  #: What it was told and has not done yet.
    cause: Cause | None = None  #: Why it goes, or went, back.
    attempt: int = 0  #: How often it was tried again.
    has_kept: bool = False  #: Whether a deployment of an earlier attempt may still be there.
    reason: str = ""  #: Why it is being, or was, held, rolled back, refused or superseded.
    logs: str = ""  #: The last log lines of the container that failed.
    submitted: bool = False  #: Whether the phase's operation was started.
    operation: Operation | None = None  #: The operation that is under way.
    tries: int = 0  #: Of the phase's write.
    probes: int = 0  #: Sent in the phase.
    proof: str = ""  #: Which request the last probe that passed was, and how it was answered.
    has_endpoint: bool = False  #: Whether it has taken the endpoint's lock, and not let go.
    alarm: str = ""  #: What people were told last of a phase that can't go on.
    trouble: str = ""  #: Why the last tick could not do its work; "" if it could.
    troubles: int = 0  #: Ticks in a row that could not.
    tick: int = 0  #: The tick that it waits for; a message for another one is stale.
    due_at: datetime
    busy_until: datetime | None = None  #: Until then, one worker is at the tick.
    cut_off: int = 0  #: Ticks in a row that did not come to an end.
    is_unsettled: bool = False  #: Whether others are still to be told what the last tick came to.
    history: tuple[Moment, ...] = ()
    link: str = ""  #: The endpoint's page in AML studio.
    notices: tuple[Notice, ...] = ()
    untold: str = ""  #: A message that was given up, and why.
    traceparent: str = ""
    retraining: str = ""  #: The reference of the retraining that made the model, "" if none did.

    @property
    def partition(self) -> str:
        """The table partition of the endpoint: its lock and its rollouts are in one."""
        return endpoint_key(self.workspace, self.endpoint)

    @property
    def current(self) -> RolloutStep | None:
        """The strategy's step that it is at, or None before the first and after the last."""
        steps = self.plan.strategy.steps
        return steps[self.step] if 0 <= self.step < len(steps) else None

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done, or told."""
        is_over = self.phase.is_terminal and not self.is_unsettled
        return not is_over or bool(self.notices) or bool(self.orders)


def endpoint_key(workspace: Workspace, endpoint: str) -> str:
    """Return the key of an endpoint: one for every spelling."""
    return digest(workspace.key, endpoint.lower())[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What came of probing."""

    passed: bool
    detail: str = field(default="")
