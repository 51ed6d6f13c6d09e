"""Event Grid trigger: a dataset monitor found drift."""

import azure.functions as func

from handlers._binding import react

bp = func.Blueprint()


@bp.event_grid_trigger(arg_name="event")
def dataset_drift_detected(event: func.EventGridEvent, context: func.Context) -> None:
    """React to a DatasetDriftDetected event, of either schema; the binding hands over both."""
    react(event, context)
