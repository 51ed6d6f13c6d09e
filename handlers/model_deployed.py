"""Event Grid trigger: a model was deployed to a service."""

import azure.functions as func

from handlers._binding import react

bp = func.Blueprint()


@bp.event_grid_trigger(arg_name="event")
def model_deployed(event: func.EventGridEvent, context: func.Context) -> None:
    """React to a ModelDeployed event, of either schema; the binding hands over both."""
    react(event, context, takes=frozenset({"ModelDeployed"}))
