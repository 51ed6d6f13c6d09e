"""Timer: find what was lost on the way, and forget what is old."""

import azure.functions as func

from shared.services import services

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="%SIGNALBOX_SWEEP_SCHEDULE%")
def sweep(timer: func.TimerRequest) -> None:
    """Do one sweep."""
    services().sweep.run()
