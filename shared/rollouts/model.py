"""A rollout: the life of one new deployment, from created to serving all traffic or gone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from shared.events import Workspace
from shared.ids import digest
from shared.outcomes import EventRef
from shared.workspaces import Operation


class Phase(StrEnum):
    """Where a rollout stands."""

    QUEUED = "queued"  #: Waits for its turn on the endpoint.
    CHECKING = "checking"  #: Has the endpoint to itself; looks at what is there.
    ENDPOINT = "endpoint"  #: The endpoint is being created.
    DEPLOYMENT = "deployment"  #: The new deployment is being created, with no traffic.
    PROBING = "probing"  #: The new deployment answers scoring requests sent straight to it.
    SHIFTING = "shifting"  #: All traffic is being moved to the new deployment.
    LIVE = "live"  #: Serves; the old deployment is kept for a while. The endpoint is free.
    RETIRING = "retiring"  #: The old deployment is being deleted.
    ROLLING_BACK = "rolling-back"  #: Traffic goes to what is healthy now.
    REMOVING = "removing"  #: The new deployment is being deleted, its log lines read before.
    DONE = "done"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"  #: Nothing was touched: the endpoint is not this rollout's to change.
    SUPERSEDED = "superseded"  #: Nothing was touched: this version, or a newer one, serves.

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows."""
        return not TRANSITIONS[self]


#: From each phase, the phases that may follow. docs/rollouts.md draws it.
TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    Phase.QUEUED: frozenset({Phase.CHECKING}),
    Phase.CHECKING: frozenset({Phase.ENDPOINT, Phase.DEPLOYMENT, Phase.REFUSED, Phase.SUPERSEDED}),
    Phase.ENDPOINT: frozenset({Phase.DEPLOYMENT, Phase.ROLLING_BACK}),
    Phase.DEPLOYMENT: frozenset({Phase.PROBING, Phase.ROLLING_BACK}),
    Phase.PROBING: frozenset({Phase.SHIFTING, Phase.ROLLING_BACK}),
    Phase.SHIFTING: frozenset({Phase.LIVE, Phase.ROLLING_BACK}),
    Phase.LIVE: frozenset({Phase.RETIRING, Phase.DONE}),
    Phase.RETIRING: frozenset({Phase.DONE}),
    Phase.ROLLING_BACK: frozenset({Phase.REMOVING}),
    Phase.REMOVING: frozenset({Phase.ROLLED_BACK}),
    Phase.DONE: frozenset(),
    Phase.ROLLED_BACK: frozenset(),
    Phase.REFUSED: frozenset(),
    Phase.SUPERSEDED: frozenset(),
}

#: In these phases the rollout must have the endpoint to itself.
EXCLUSIVE = frozenset(Phase) - {phase for phase in Phase if not TRANSITIONS[phase]} - {Phase.LIVE}

#: In these it is still open what will serve on the endpoint.
UNDECIDED = EXCLUSIVE - {Phase.RETIRING, Phase.REMOVING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The scoring requests that prove a new deployment.

    `request` is a file of the app, "" for an empty request; `status` is the status that counts.
    """

    request: str = ""
    status: int = 200
    timeout: timedelta = timedelta(seconds=10)
    tries: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the rollout is to do: the reaction's values, settled when it began."""

    instance_type: str
    instance_count: int
    auth_mode: str
    keep_old: timedelta
    timeout: timedelta
    probe: Probe
    adopt: bool
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """The model version that is rolled out; `id` is its ARM id."""

    id: str
    name: str
    version: str


class NoticeKind(StrEnum):
    """What people are told of a rollout."""

    STARTED = "started"
    LIVE = "live"
    FAILED = "failed"
    ROLLED_BACK = "rolled back"
    ATTENTION = "needs a look"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message to one channel that is still to be sent."""

    kind: NoticeKind
    channel: str
    reason: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of a rollout's history."""

    at: datetime
    phase: Phase
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The life of one new deployment on an endpoint, as it is kept."""

    id: str
    ref: EventRef
    step: str  #: "reaction/step", where the outcome is recorded.
    workspace: Workspace
    endpoint: str
    deployment: str
    model: ModelRef
    plan: Plan
    phase: Phase
    since: datetime  #: When the phase began.
    created_at: datetime
    stable: str = ""  #: What served when the rollout began; "" if nothing did.
    reason: str = ""  #: Why it is being, or was, rolled back, refused or superseded.
    logs: str = ""  #: The last log lines of the container that failed.
    submitted: bool = False  #: Whether the phase's operation was started.
    operation: Operation | None = None  #: The operation that is under way.
    tries: int = 0  #: Of the phase's probe or write.
    trouble: str = ""  #: Why the last tick could not do its work; "" if it could.
    troubles: int = 0  #: Ticks in a row that could not.
    tick: int = 0  #: The tick that it waits for; a message for another one is stale.
    due_at: datetime
    busy_until: datetime | None = None  #: Until then, one worker is at the tick.
    history: tuple[Moment, ...] = ()
    notices: tuple[Notice, ...] = ()
    untold: str = ""  #: A channel that never took its message, and why.
    traceparent: str = ""
    retraining: str = ""  #: The reference of the retraining that made the model, "" if none did.

    @property
    def partition(self) -> str:
        """The table partition of the endpoint: its lock and its rollouts are in one."""
        return endpoint_key(self.workspace, self.endpoint)


def endpoint_key(workspace: Workspace, endpoint: str) -> str:
    """Return the key of an endpoint: one for every spelling."""
    return digest(workspace.key, endpoint.lower())[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What came of probing."""

    passed: bool
    detail: str = field(default="")
