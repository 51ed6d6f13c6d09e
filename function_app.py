"""The function app: its triggers, one blueprint each."""

import os

import azure.functions as func

from handlers import (
    alerts,
    announcements,
    dataset_drift_detected,
    dead_letter,
    drift_events,
    model_deployed,
    model_registered,
    rollouts,
    run_completed,
    run_status_changed,
    sweep,
    workspace_events,
)

app = func.FunctionApp()
app.register_functions(model_registered.bp)
app.register_functions(model_deployed.bp)
app.register_functions(run_completed.bp)
app.register_functions(run_status_changed.bp)
app.register_functions(dataset_drift_detected.bp)
app.register_functions(workspace_events.bp)
app.register_functions(drift_events.bp)
app.register_functions(alerts.bp)
app.register_functions(dead_letter.bp)
app.register_functions(rollouts.bp)
app.register_functions(sweep.bp)
if os.environ.get("SIGNALBOX_OUTCOMES_TOPIC"):
    app.register_functions(announcements.bp)
