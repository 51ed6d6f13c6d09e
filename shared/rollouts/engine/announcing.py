"""The phases of a rollout, as announcements for other systems."""

from datetime import datetime

from shared.base.ports import Publication
from shared.journal.announcements import announcement, origin_to, short
from shared.rollouts.state.rollout import TOO_LATE, Moment, Rollout

ROLLOUT_PHASE_CHANGED = "Signalbox.RolloutPhaseChanged"


def phases_changed(
    before: Rollout | None, after: Rollout, now: datetime
) -> tuple[Publication, ...]:
    """Return the announcements of a rollout's phases since `before`, or of its first one.

    Each is numbered by its place in the history, so a tick that is done again has the same ids.
    """
    if before is None:
        first = Moment(at=after.since, phase=after.phase)
        return (_phase_changed(after, first, 0, now),)
    entered, last, known = [], before.phase, len(before.history)
    for number, moment in enumerate(after.history[known:], known + 1):
        if moment.phase is not last and not moment.text.startswith(TOO_LATE):
            entered.append(_phase_changed(after, moment, number, now))
        last = moment.phase
    return tuple(entered)


def _phase_changed(rollout: Rollout, moment: Moment, number: int, now: datetime) -> Publication:
    return announcement(
        ROLLOUT_PHASE_CHANGED,
        (rollout.id, str(number), moment.phase),
        about=f"endpoints/{rollout.endpoint}/deployments/{rollout.deployment}",
        source=rollout.workspace.id,
        at=now,
        data={
            **origin_to(rollout.workspace.id, rollout.ref, rollout.reaction_step),
            "rollout": rollout.id,
            "retraining": rollout.retraining,
            "endpoint": rollout.endpoint,
            "deployment": rollout.deployment,
            "stable": rollout.stable,
            "model": {"name": rollout.model.name, "version": rollout.model.version},
            "phase": str(moment.phase),
            "since": moment.at.isoformat(),
            "is_end": moment.phase.is_terminal,
            "traffic": dict(rollout.traffic.split if moment.split is None else moment.split),
            "detail": short(moment.text),
            "revision": number,
        },
    )
