"""Event Grid trigger: a dataset monitor, or a check of one's own, tells of drift."""

import azure.functions as func

from handlers._binding import react
from shared.events.envelopes import OF_CHECKS

bp = func.Blueprint()


@bp.event_grid_trigger(arg_name="event")
def dataset_drift_detected(event: func.EventGridEvent, context: func.Context) -> None:
    """React to a DatasetDriftDetected event or to one of a custom topic, of either schema.

    Drift of AML's model monitors (v2) arrives with the events of their runs.
    """
    react(event, context, takes=OF_CHECKS)
