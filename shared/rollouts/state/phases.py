"""The phases of a rollout, and the table of what may follow each of them."""

from collections.abc import Mapping
from enum import StrEnum

from shared.rollouts.strategy.model import StepKind


class Phase(StrEnum):
    """The phases of a rollout."""

    QUEUED = "queued"  #: Waits for its turn on the endpoint.
    CHECKING = "checking"  #: Has the endpoint to itself; looks at what is there, and at the gates.
    ENDPOINT = "endpoint"  #: The endpoint is being created.
    DEPLOYMENT = "deployment"  #: The new deployment is being created, with no traffic.
    PROBING = "probing"  #: The new deployment answers golden requests sent straight to it.
    MIRRORING = "mirroring"  #: A copy of some traffic is being sent to the new deployment.
    SHIFTING = "shifting"  #: Traffic is being moved.
    HOLDING = "holding"  #: The split stays as it is, and the gates measure.
    APPROVING = "approving"  #: A person has to say yes.
    SCALING = "scaling"  #: The new deployment is given other instances.
    CHOOSING = "choosing"  #: The better of old and new is determined.
    HELD = "held"  #: Stays as it is until a person decides.
    LIVE = "live"  #: Serves; the old deployment is kept for a while. The endpoint is free.
    RETIRING = "retiring"  #: The old deployment is being deleted.
    STEPPING_DOWN = "stepping-down"  #: Traffic goes back by the splits that it came up by.
    ROLLING_BACK = "rolling-back"  #: Traffic goes to what is healthy now.
    KEEPING = "keeping"  #: Rolled back; the failed deployment is kept for a while, without traffic.
    REMOVING = "removing"  #: The failed deployment is being deleted.
    DONE = "done"
    ROLLED_BACK = "rolled-back"
    REFUSED = "refused"  #: Nothing was touched: it can't be done, or not here, or was aborted.
    SUPERSEDED = "superseded"  #: Nothing was touched: this version, or a newer one, serves.

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows by itself."""
        return self in TERMINAL


#: The phase of each kind of step, in the order of docs/reference/strategies.md.
PHASES: Mapping[StepKind, Phase] = {
    StepKind.PROBE: Phase.PROBING,
    StepKind.MIRROR: Phase.MIRRORING,
    StepKind.TRAFFIC: Phase.SHIFTING,
    StepKind.HOLD: Phase.HOLDING,
    StepKind.APPROVE: Phase.APPROVING,
    StepKind.SCALE: Phase.SCALING,
    StepKind.BETTER: Phase.CHOOSING,
}
STEPS = tuple(PHASES.values())

_NEXT_STEP = dict.fromkeys(STEPS, "next step")
_OUT_OF_A_STEP = {
    Phase.LIVE: "no step left",
    Phase.HELD: "paused, or a person has to decide",
    Phase.ROLLING_BACK: "failed or aborted",
}
_FAILED = {Phase.STEPPING_DOWN: "failed, `on_failure: step_down`"}

#: From each phase, the phases that may follow, and when. docs/explanation/rollouts.md draws it.
TRANSITIONS: Mapping[Phase, Mapping[Phase, str]] = {
    Phase.QUEUED: {
        Phase.CHECKING: "has the endpoint",
        Phase.REFUSED: "aborted, or `newer: refuse`",
        Phase.KEEPING: "the same, of one that is tried again",
        Phase.SUPERSEDED: "a newer version came",
    },
    Phase.CHECKING: {
        Phase.ENDPOINT: "no endpoint yet",
        Phase.DEPLOYMENT: "all is well",
        **_NEXT_STEP,
        Phase.LIVE: "there is nothing to move",
        Phase.HELD: "a gate can't measure, and a person has to decide",
        Phase.REFUSED: "not its own, no quota, no gate, aborted",
        Phase.KEEPING: "the same, of one that is tried again",
        Phase.SUPERSEDED: "this version or a newer one serves",
    },
    Phase.ENDPOINT: {
        Phase.DEPLOYMENT: "made",
        Phase.ROLLING_BACK: "failed or aborted",
    },
    Phase.DEPLOYMENT: {
        **_NEXT_STEP,
        Phase.ROLLING_BACK: "failed or aborted",
    },
    **{step: {**_NEXT_STEP, **_OUT_OF_A_STEP, **_FAILED} for step in STEPS},
    Phase.CHOOSING: {**_NEXT_STEP, **_OUT_OF_A_STEP},  # not to be better is no failure
    Phase.HELD: {
        Phase.CHECKING: "retried, nothing was made yet",
        **dict.fromkeys(STEPS, "resumed, retried or promoted"),
        Phase.LIVE: "promoted, no step left",
        Phase.REFUSED: "aborted, or nobody decided, and nothing was made",
        Phase.KEEPING: "the same, of one that is tried again",
        Phase.SUPERSEDED: "a newer version came, and nothing was made",
        Phase.STEPPING_DOWN: "nobody decided in time",
        Phase.ROLLING_BACK: "aborted, or nobody decided in time",
    },
    Phase.LIVE: {
        Phase.RETIRING: "kept long enough",
        Phase.DONE: "there is no old one to delete",
        Phase.ROLLING_BACK: "aborted while the old one is kept",
    },
    Phase.RETIRING: {Phase.DONE: "deleted, or not its own to delete"},
    Phase.STEPPING_DOWN: {
        Phase.STEPPING_DOWN: "a split lower",
        Phase.ROLLING_BACK: "at the lowest, aborted, or something is not healthy",
    },
    Phase.ROLLING_BACK: {
        Phase.KEEPING: "what serves was read back and has answered",
        Phase.REMOVING: "the same, and nothing is kept",
    },
    Phase.KEEPING: {
        Phase.REMOVING: "kept long enough",
        Phase.ROLLED_BACK: "there is nothing to delete",
        Phase.QUEUED: "retried",
    },
    Phase.REMOVING: {Phase.ROLLED_BACK: "deleted"},
    Phase.DONE: {},
    Phase.ROLLED_BACK: {Phase.QUEUED: "retried"},
    Phase.REFUSED: {Phase.QUEUED: "retried"},
    Phase.SUPERSEDED: {},
}

#: Nothing follows these by itself.
TERMINAL = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.REFUSED, Phase.SUPERSEDED})

#: In these phases the rollout must have the endpoint to itself.
EXCLUSIVE = frozenset(Phase) - TERMINAL - {Phase.LIVE, Phase.KEEPING}

#: In these phases it is still undecided which deployment will serve on the endpoint.
UNDECIDED = EXCLUSIVE - {Phase.RETIRING, Phase.REMOVING}
