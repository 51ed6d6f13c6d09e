"""A loop: one reaction's watch over one monitor, from drift to retraining and recovery."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from shared.base.ids import digest
from shared.events.model import DriftState, Metric, Workspace
from shared.journal.outcomes import EventRef
from shared.messages.notice import Notice

#: The most windows, decisions and retrainings in a loop: more than any policy looks at.
WINDOWS_MAX = 60
DECISIONS_MAX = 60
RETRAININGS_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSeen:
    """The result for one signal in one window."""

    state: DriftState
    metrics: tuple[Metric, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window of a monitor, with the result for each signal.

    `at` is the time of its report; `start` and `end` bound its data, None if they are unknown.
    """

    id: str
    at: datetime
    start: datetime | None = None
    end: datetime | None = None
    signals: Mapping[str, SignalSeen]

    @property
    def place(self) -> tuple[datetime, str]:
        """Its place in the order of its monitor's windows."""
        return (self.at, self.id)


class PolicyAnswer(StrEnum):
    """A policy's answer to a window."""

    RETRAIN = "retrain"
    ASK = "ask"  #: A person is to approve it.
    TELL = "tell"  #: It is time to retrain, but the reaction only tells people.
    NO_DRIFT = "no_drift"
    MONITOR_BROKEN = "monitor_broken"
    DATA_QUALITY = "data_quality"  #: The data itself is broken, and training on it would do harm.
    OTHER_SIGNAL = "other_signal"  #: The drift is in no signal or feature that the policy looks at.
    SMALL_EFFECT = "small_effect"
    TOO_FEW_WINDOWS = "too_few_windows"
    GAVE_UP = "gave_up"  #: So many retrainings did not help that a person has to look.
    UNDER_WAY = "under_way"  #: A retraining for this monitor has not ended, or waits for approval.
    TOO_EARLY = "too_early"  #: The window began before the retrained model was live.
    COOLDOWN = "cooldown"
    ROLLOUT = "rollout"  #: A rollout of the model is under way.
    AT_ONCE = "at_once"  #: The reaction has as many runs as it may have.
    PER_WEEK = "per_week"  #: The reaction has started as many runs as it may in a week.

    @property
    def is_act(self) -> bool:
        """Whether the answer leads to something, or holds it back."""
        return self in _ACTS


_ACTS = frozenset({PolicyAnswer.RETRAIN, PolicyAnswer.ASK, PolicyAnswer.TELL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision for a window, with its reason in words and numbers."""

    window: str
    at: datetime
    answer: PolicyAnswer
    reason: str


class Stage(StrEnum):
    """The stage that a retraining has reached."""

    ASKED = "asked"  #: A person is to approve it.
    REJECTED = "rejected"
    STARTING = "starting"  #: It is decided, and its target has not accepted it yet.
    RUNNING = "running"
    FAILED = "failed"  #: The run failed, was canceled, or never ended.
    TRAINED = "trained"  #: The run completed.
    REGISTERED = "registered"  #: Its model is registered.
    NOT_BETTER = "not_better"  #: The model is not better than the one that serves.
    DEPLOYING = "deploying"
    ROLLED_BACK = "rolled_back"
    LIVE = "live"

    @property
    def is_under_way(self) -> bool:
        """Whether no other may be started meanwhile."""
        return self in _UNDER_WAY


_UNDER_WAY = frozenset({Stage.ASKED, Stage.STARTING, Stage.RUNNING, Stage.DEPLOYING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """One retraining: the drift that caused it, its stage, and whether it helped.

    `id` is made from the claim, and names the run. Its outcome is recorded under `ref` and `step`.
    `target` holds the values of its target as JSON. `ended_at` is when its run ended, or is taken
    to have ended; its model can be live before. `helped` is None until a window shows it.
    """

    id: str
    window: str
    ref: EventRef
    step: str
    target: str
    stage: Stage
    decided_at: datetime
    changed_at: datetime
    run_id: str = ""
    link: str = ""
    ended_at: datetime | None = None
    model: str = ""  #: name:version
    verdict: str = ""  #: How its model compares with the one that serves.
    rollout: str = ""
    live_at: datetime | None = None
    helped: bool | None = None
    reason: str = ""
    by: str = ""  #: Who approved or rejected it.
    why: str = ""  #: The reason that they gave.
    answered_at: datetime | None = None
    looked_at: datetime | None = None  #: When its target was last asked for its status.
    timeout_at: datetime | None = None  #: When a run that has not ended counts as failed.
    judged_in: str = ""  #: The window that showed whether it helped.
    revision: int = 0  #: Grows with each stage.

    @property
    def may_run(self) -> bool:
        """Whether its run is still to be started, or has not ended as far as is known."""
        return self.ended_at is None and self.stage not in (Stage.ASKED, Stage.REJECTED)

    @property
    def may_be_started(self) -> bool:
        """Whether its target has not accepted it yet, or refused it, or was down too long."""
        return self.stage is Stage.STARTING or (self.stage is Stage.FAILED and not self.run_id)


class LoopStatus(StrEnum):
    """The status of a loop."""

    GAVE_UP = "gave up"
    WAITING = "waits for a person"
    RETRAINING = "retraining"
    DEPLOYING = "deploying"
    PROVING = "proving"  #: Retrained and live: the next window shows whether it helped.
    DRIFTING = "drifting"
    CALM = "calm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One reaction's watch over one monitor: the newest windows, decisions and retrainings last."""

    reaction: str
    workspace: Workspace
    monitor: str
    model: str = ""  #: The model that the monitor watches, "" if the reaction does not name it.
    channels: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    decisions: tuple[Decision, ...] = ()
    retrainings: tuple[Retraining, ...] = ()
    gave_up_at: datetime | None = None
    resumed_at: datetime | None = None  #: When a person last resumed it after it gave up.
    resumed_by: str = ""  #: The person's name and reason.
    notices: tuple[Notice, ...] = ()
    telling_until: datetime | None = None  #: A worker has the messages to itself until then.
    given_up: str = ""
    unsettled: tuple[str, ...] = ()  #: Retrainings whose outcomes are still to be recorded.
    leaving: tuple[str, ...] = ()  #: Retrainings whose places are still to be freed.

    @property
    def id(self) -> str:
        """32 hex digits; the first 16 are the reaction's."""
        return loop_id(self.reaction, self.workspace, self.monitor)

    @property
    def status(self) -> LoopStatus:
        """Its status: of several that hold, the most important one."""
        last = self.retrainings[-1] if self.retrainings else None
        if self.has_given_up:
            return LoopStatus.GAVE_UP
        if last is not None and last.stage in _STATUSES:
            return _STATUSES[last.stage]
        if last is not None and last.stage is Stage.LIVE and last.helped is None:
            return LoopStatus.PROVING
        # Of the newest window, because an older one's last signal may be decided after it.
        newest_first = (self.decided(window.id) for window in reversed(self.windows))
        newest = next(filter(None, newest_first), None)
        is_calm = newest is None or newest.answer is PolicyAnswer.NO_DRIFT
        return LoopStatus.CALM if is_calm else LoopStatus.DRIFTING

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is under way, and it waits for no person."""
        is_open = any(item.may_run or item.stage.is_under_way for item in self.retrainings)
        return not (is_open or self.notices or self.unsettled or self.leaving or self.has_given_up)

    @property
    def has_given_up(self) -> bool:
        """Whether it has given up, and no person has resumed it since."""
        if self.gave_up_at is None:
            return False
        return self.resumed_at is None or self.resumed_at < self.gave_up_at

    @property
    def last(self) -> Retraining | None:
        """The newest retraining."""
        return self.retrainings[-1] if self.retrainings else None

    def find(self, retraining_id: str) -> Retraining | None:
        """Return the retraining of this id, or None."""
        return next((item for item in self.retrainings if item.id == retraining_id), None)

    def seen(self, window_id: str) -> Window | None:
        """Return the window of this id with all its reports, or None."""
        return next((item for item in self.windows if item.id == window_id), None)

    def decided(self, window_id: str) -> Decision | None:
        """Return the decision for a window, or None."""
        return next((item for item in self.decisions if item.window == window_id), None)

    def reference(self, retraining_id: str) -> str:
        """Return the tag's value that ties a run or a model to this loop's retraining."""
        return f"{self.id}-{retraining_id}"

    def with_retraining(self, retraining: Retraining) -> "Loop":
        """Return the loop with this retraining; it replaces the one of its id or is the newest."""
        if self.find(retraining.id) is None:
            kept = (*self.retrainings, retraining)[-RETRAININGS_MAX:]
        else:
            kept = tuple(
                retraining if item.id == retraining.id else item for item in self.retrainings
            )
        return replace(self, retrainings=kept)

    def with_window(self, window: Window) -> "Loop":
        """Return the loop with this window, which replaces the one of its id or is added."""
        others = tuple(item for item in self.windows if item.id != window.id)
        kept = sorted((*others, window), key=lambda item: item.place)
        return replace(self, windows=tuple(kept[-WINDOWS_MAX:]))

    def with_decision(self, decision: Decision) -> "Loop":
        """Return the loop with this decision as the newest, and the only one for its window.

        A decision that led to something is not replaced by one that did not: a cooldown for a
        window's second signal must not hide the retraining that its first one began. The newest
        such decision is kept longest, because cooldowns count from it.
        """
        known = self.decided(decision.window)
        if known is not None and known.answer.is_act and not decision.answer.is_act:
            return self
        others = tuple(item for item in self.decisions if item.window != decision.window)
        kept = (*others, decision)[-DECISIONS_MAX:]
        acts = [item for item in (*others, decision) if item.answer.is_act]
        if acts and acts[-1] not in kept:
            kept = (acts[-1], *kept[1:])
        return replace(self, decisions=kept)


_STATUSES = {
    Stage.ASKED: LoopStatus.WAITING,
    Stage.STARTING: LoopStatus.RETRAINING,
    Stage.RUNNING: LoopStatus.RETRAINING,
    Stage.DEPLOYING: LoopStatus.DEPLOYING,
}


def loop_id(reaction: str, workspace: Workspace, monitor: str) -> str:
    """Return the id of a loop: 16 hex digits of the reaction, 16 of the monitor."""
    return partition_of(reaction) + digest(workspace.key, monitor)[:16]


def partition_of(reaction: str) -> str:
    """Return the 16 hex digits that all loops of a reaction share."""
    return digest(reaction)[:16]
