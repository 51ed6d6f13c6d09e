"""Event Grid trigger: a model version was registered."""

import azure.functions as func

from handlers._binding import react

bp = func.Blueprint()


@bp.event_grid_trigger(arg_name="event")
def model_registered(event: func.EventGridEvent, context: func.Context) -> None:
    """React to a ModelRegistered event, of either schema; the binding hands over both."""
    react(event, context, takes=frozenset({"ModelRegistered"}))
