"""The real worker indexes the app: the functions that it finds, and the cost of an idle app."""

import importlib
import json
import pkgutil

import pytest
from azure.functions import Blueprint

import handlers
from function_app import app
from tests.app.stage import REPOSITORY, Stage

#: Each function's trigger, as the host is told.
EVENT_GRID = {"type": "eventGridTrigger", "direction": "IN", "name": "event"}
QUEUE = {
    "type": "queueTrigger",
    "direction": "IN",
    "name": "message",
    "connection": "AzureWebJobsStorage",
}
TRIGGERS = {
    "model_registered": EVENT_GRID,
    "model_deployed": EVENT_GRID,
    "run_completed": EVENT_GRID,
    "run_status_changed": EVENT_GRID,
    "dataset_drift_detected": EVENT_GRID,
    "alerts": {
        "type": "httpTrigger",
        "direction": "IN",
        "name": "request",
        "methods": ["POST"],
        "authLevel": "FUNCTION",
        "route": "alerts",
    },
    "workspace_events": QUEUE | {"queueName": "workspace-events"},
    "drift_events": QUEUE | {"queueName": "drift-events"},
    "dead_letter": QUEUE | {"queueName": "dead-letter"},
    "rollouts": QUEUE | {"queueName": "rollouts"},
    "sweep": {
        "type": "timerTrigger",
        "direction": "IN",
        "name": "timer",
        "schedule": "%SIGNALBOX_SWEEP_SCHEDULE%",
    },
}
#: The outputs of functions: only that of the HTTP trigger has one.
OUTPUTS = {"alerts": [{"type": "http", "direction": "OUT", "name": "$return"}]}


def test_the_worker_finds_exactly_these_functions(stage: Stage) -> None:
    assert sorted(stage.stack.host.functions()) == sorted(TRIGGERS)


@pytest.mark.parametrize("function", TRIGGERS)
def test_a_function_has_one_trigger_and_no_other_binding_but_its_answer(
    stage: Stage, function: str
) -> None:
    bindings = stage.stack.host.functions()[function]
    expected = [TRIGGERS[function], *OUTPUTS.get(function, [])]
    assert [
        {name: binding.get(name) for name in known}
        for binding, known in zip(bindings, expected, strict=True)
    ] == expected


def test_every_blueprint_of_the_handlers_is_registered() -> None:
    modules = [
        importlib.import_module(f"handlers.{found.name}")
        for found in pkgutil.iter_modules(handlers.__path__)
    ]
    declared = sum(len(module.bp._function_builders) for module in modules if hasattr(module, "bp"))
    assert all(isinstance(module.bp, Blueprint) for module in modules if hasattr(module, "bp"))
    # One is there only if a setting names a topic.
    assert declared - 1 == len(app.get_functions()) == len(TRIGGERS)


def test_a_message_is_tried_again_after_a_minute_and_read_as_it_is() -> None:
    host = json.loads((REPOSITORY / "host.json").read_text())
    assert host["extensions"]["queues"] == {
        "messageEncoding": "none",
        "maxPollingInterval": "00:00:05",
        "visibilityTimeout": "00:01:00",
        "maxDequeueCount": 5,
        "batchSize": 16,
        "newBatchThreshold": 8,
    }
