"""The strategy of a rollout: its steps, its gates, and what follows when something fails."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from shared.workspaces.metrics import Measure


class StepKind(StrEnum):
    """The kinds of step, under the names that they have in reactions.yaml."""

    PROBE = "probe"
    MIRROR = "mirror"
    TRAFFIC = "traffic"
    HOLD = "hold"
    APPROVE = "approve"
    SCALE = "scale"
    BETTER = "better"


#: How long the answer to a probe is waited for where nothing else is known.
USUAL_WAIT: Final = timedelta(seconds=10)
#: No longer than a tick has its rollout to itself.
LONGEST_WAIT: Final = timedelta(minutes=1)


def wait_for(request_timeout: timedelta | None) -> timedelta:
    """Return how long the answer to a probe is waited for: as the endpoint waits, or 10 s."""
    return min(max(USUAL_WAIT, request_timeout or USUAL_WAIT), LONGEST_WAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A golden request, and what its answer has to be.

    `request` is a file of the app, "" for an empty request; `status` is the status that counts;
    `latency` is the longest time that an answer may take, None for any; `output` is a file of the
    app with the JSON that is expected, "" for any, whose numbers may differ by `tolerance`, as a
    share of the expected number or, near zero, as such. `timeout` is what an answer is waited for,
    None until it is known how long the endpoint lets it take.
    """

    request: str = ""
    status: int = 200
    latency: timedelta | None = None
    output: str = ""
    tolerance: float = 1e-6
    timeout: timedelta | None = None
    tries: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStep:
    """One step. Which of the values it has depends on its kind."""

    kind: StepKind
    percent: int = 0  #: MIRROR, and TRAFFIC: how far from the first split to the last.
    span: timedelta = timedelta(0)  #: HOLD: how long; APPROVE: how long it waits for a yes.
    probe: Probe | None = None  #: PROBE.
    instances: int = 0  #: SCALE; 0 is as many as the stable deployment has.
    measure: Measure | None = None  #: BETTER: by what; less is better.


class NoVerdict(StrEnum):
    """The decision if a gate has no verdict."""

    WAIT = "wait"  #: Go on measuring, no longer than the strategy's `patience`.
    HOLD = "hold"  #: Stay on this split until a person decides.
    FAIL = "fail"  #: Treat it as failed.


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A limit on one measure of the new deployment. At least one limit is given.

    `max` is absolute; `max_increase` and `max_ratio` are held against the stable deployment over
    the same window. Rates are shares (0.01 is 1%), latencies milliseconds, CPU and memory percent.
    `min_requests` is how many requests the new deployment must have had for a verdict; of measure
    `requests` it is the limit. An observed gate is measured, kept and shown, and decides nothing.
    """

    measure: Measure
    max: float | None = None
    max_increase: float | None = None
    max_ratio: float | None = None
    min_requests: int = 100
    no_data: NoVerdict = NoVerdict.WAIT
    too_few: NoVerdict = NoVerdict.WAIT
    unavailable: NoVerdict = NoVerdict.WAIT
    observe: bool = False

    @property
    def is_relative(self) -> bool:
        """Whether it needs the stable deployment."""
        return self.max_increase is not None or self.max_ratio is not None


class OnFailure(StrEnum):
    """The decision when a step or a gate fails."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    STEP_DOWN = "step_down"


class OnConflict(StrEnum):
    """The decision when another tool has changed the split."""

    ADOPT = "adopt"
    HOLD = "hold"
    ABORT = "abort"


class Newer(StrEnum):
    """The decision about an older rollout of the model that has the endpoint."""

    WAIT = "wait"
    SUPERSEDE = "supersede"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A rollout as it is written under `rollouts:` in reactions.yaml, or ready-made.

    `confidence` limits failures by chance: at 0.99 the gates, over all looks, fail one in a hundred
    rollouts that are as good as the deployment that serves. `patience` is the longest extension of
    a hold that lacks data; `answer_within` is the longest that a held rollout waits for a person
    before `on_failure` applies.
    """

    name: str
    steps: tuple[RolloutStep, ...]
    gates: tuple[Gate, ...] = ()
    confidence: float = 0.99
    patience: timedelta = timedelta(hours=1)
    answer_within: timedelta = timedelta(days=7)
    on_failure: OnFailure = OnFailure.ROLLBACK
    on_conflict: OnConflict = OnConflict.HOLD
    newer: Newer = Newer.WAIT
    keep_failed: timedelta = timedelta(hours=1)
    step_down_every: timedelta = timedelta(minutes=5)
