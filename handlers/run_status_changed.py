"""Event Grid trigger: a run went from one status to another."""

import azure.functions as func

from handlers._binding import react

bp = func.Blueprint()


@bp.event_grid_trigger(arg_name="event")
def run_status_changed(event: func.EventGridEvent, context: func.Context) -> None:
    """React to a RunStatusChanged event, of either schema; the binding hands over both."""
    react(event, context, takes=frozenset({"RunStatusChanged"}))
