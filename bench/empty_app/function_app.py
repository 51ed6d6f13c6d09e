"""The least that a function app can be: one Event Grid function that does nothing."""

import azure.functions as func

app = func.FunctionApp()


@app.event_grid_trigger(arg_name="event")
def nothing(event: func.EventGridEvent) -> None:
    """Do nothing."""
