"""Event Grid trigger: a run completed."""

import azure.functions as func

from handlers._binding import react

bp = func.Blueprint()


@bp.event_grid_trigger(arg_name="event")
def run_completed(event: func.EventGridEvent, context: func.Context) -> None:
    """React to a RunCompleted event, of either schema; the binding hands over both."""
    react(event, context, takes=frozenset({"RunCompleted"}))
