"""A retraining's stage, as an announcement for other systems."""

from datetime import datetime

from shared.base.ports import Publication
from shared.journal.announcements import announcement, origin_to, short
from shared.retraining.model import Loop, Retraining

RETRAINING_STAGE_CHANGED = "Signalbox.RetrainingStageChanged"


def stage_changed(loop: Loop, retraining: Retraining, now: datetime) -> Publication:
    """Return the announcement of the stage that a retraining is at; each revision has one id."""
    return announcement(
        RETRAINING_STAGE_CHANGED,
        (retraining.id, retraining.stage, str(retraining.revision)),
        about=f"monitors/{loop.monitor}/retrainings/{retraining.id}",
        source=loop.workspace.id,
        at=now,
        data={
            **origin_to(loop.workspace.id, retraining.ref, retraining.step),
            "retraining": retraining.id,
            "monitor": loop.monitor,
            "window": retraining.window,
            "stage": str(retraining.stage),
            "run": retraining.run_id,
            "model": retraining.model,
            "rollout": retraining.rollout,
            "reason": short(retraining.reason or retraining.verdict),
            "revision": retraining.revision,
        },
    )
