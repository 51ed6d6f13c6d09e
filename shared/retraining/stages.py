"""Stages of a retraining: their order, and the outcome of the step that started it. Pure."""

from dataclasses import replace
from datetime import datetime

from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.retraining.model import Retraining, Stage

#: A retraining goes forward through these; late news never take it back.
_ORDER = (
    Stage.STARTING,
    Stage.RUNNING,
    Stage.TRAINED,
    Stage.REGISTERED,
    Stage.DEPLOYING,
    Stage.LIVE,
)


def moved(retraining: Retraining, stage: Stage, now: datetime, reason: str = "") -> Retraining:
    """Return the retraining at another stage."""
    return replace(retraining, stage=stage, changed_at=now, reason=reason)


def retraining_ended(retraining: Retraining, now: datetime) -> Retraining:
    """Return the retraining with the end of its run; the first report of it stays."""
    return replace(retraining, ended_at=retraining.ended_at or now)


def may_follow(stage: Stage, later: Stage) -> bool:
    """Say whether a retraining can reach a later stage, also from an end that was not final."""
    if stage is Stage.FAILED:  # its lost run has turned up
        return True
    if stage in (Stage.NOT_BETTER, Stage.ROLLED_BACK):  # the replay of a letter can still deploy it
        return later in (Stage.DEPLOYING, Stage.LIVE)
    return is_before(stage, later)


def is_before(stage: Stage, other: Stage) -> bool:
    """Say whether one stage is on the way to the other."""
    return stage in _ORDER and _ORDER.index(stage) < _ORDER.index(other)


def outcome_of_retraining(retraining: Retraining) -> Outcome | None:
    """Return the outcome of the step that started a retraining; None while it is open."""
    if retraining.stage is Stage.STARTING:
        return Outcome(
            status=OutcomeStatus.WAITING,
            detail="it is being started",
            revision=retraining.revision,
        )
    run = retraining.run_id or retraining.id
    details = {
        Stage.REJECTED: f"rejected by {retraining.by}: {retraining.why}",
        Stage.TRAINED: f"run {run} completed",
        Stage.REGISTERED: f"run {run} made {retraining.model}",
        Stage.DEPLOYING: f"run {run} made {retraining.model}, which is being rolled out",
        Stage.LIVE: f"run {run} made {retraining.model}, which is live",
        Stage.NOT_BETTER: f"run {run} made {retraining.model or 'a model'}: {retraining.verdict}",
        Stage.ROLLED_BACK: f"{retraining.model} was rolled back: {retraining.reason}",
        Stage.FAILED: f"run {run} failed: {retraining.reason}",
    }
    detail = details.get(retraining.stage)
    if detail is None:
        return None
    status = _STATUSES.get(retraining.stage, OutcomeStatus.DONE)
    code = _CODES.get(retraining.stage, "")
    return Outcome(
        status=status,
        detail=detail,
        code=code,
        retraining="" if retraining.may_be_started else retraining.id,
        revision=retraining.revision,
    )


_STATUSES = {
    Stage.FAILED: OutcomeStatus.FAILED,
    Stage.ROLLED_BACK: OutcomeStatus.FAILED,
    Stage.REJECTED: OutcomeStatus.SKIPPED,
}
_CODES = {
    Stage.FAILED: "retrain.failed",
    Stage.ROLLED_BACK: "rollout.rolled_back",
    Stage.NOT_BETTER: "better.no",
    Stage.REJECTED: "retrain.rejected",
}
