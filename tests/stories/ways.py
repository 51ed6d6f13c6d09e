"""The two ways of an event: by a direct trigger, and by a queue, as host and worker have them.

By a direct trigger an event is read and written again, and the worker makes an object of it whose
members are all that is left. By a queue its text arrives as it was sent.
"""

import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from azure.functions.eventgrid import EventGridEventInConverter
from azure.functions.meta import Datum

import handlers
from sandbox.functions_host import newtonsoft
from shared import services
from tests.stories.world import World

#: Those of every module of `handlers`: the app itself can be asked for them only once.
_DECLARED = [
    builder._function
    for found in pkgutil.iter_modules(handlers.__path__)
    if (blueprint := getattr(importlib.import_module(f"handlers.{found.name}"), "bp", None))
    for builder in blueprint._function_builders
]
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    each.get_user_function().__name__: each.get_user_function() for each in _DECLARED
}
TRIGGERS = {each.get_user_function().__name__: each.get_trigger().type for each in _DECLARED}
#: The function that docs/reference/delivery.md names for a type of event.
BY_TYPE = {
    "modelregistered": "model_registered",
    "modeldeployed": "model_deployed",
    "runcompleted": "run_completed",
    "runstatuschanged": "run_status_changed",
    "datasetdriftdetected": "dataset_drift_detected",
    "driftdetected": "dataset_drift_detected",
}
QUEUES = ("workspace_events", "drift_events")
_CONTEXT = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=""))


class Ways:
    """The app's functions, on a world."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self._patch = monkeypatch

    def by_queue(self, text: str, queue: str = "workspace_events") -> None:
        """Have the function of a queue called with a message."""
        self.call(queue, message=func.QueueMessage(id="m", body=text.encode()))

    def by_trigger(self, text: str, function: str = "") -> None:
        """Have Event Grid functions called with each event of a body; by its type if not told."""
        found = newtonsoft.read(text)
        events = found if isinstance(found, list) else [found]
        if not all(isinstance(event, dict) for event in events):
            raise ValueError("the host takes objects only")
        for event in events:
            body = newtonsoft.write(event)
            decoded = EventGridEventInConverter.decode(Datum(body, "json"), trigger_metadata=None)
            kind = str(event.get("eventType") or event.get("type") or "")
            name = BY_TYPE.get(kind.rpartition(".")[2].lower(), "model_registered")
            self.call(function or name, event=decoded)

    def by_http(self, text: str) -> None:
        """Have an action group call."""
        request = func.HttpRequest("POST", "/api/alerts", body=text.encode())
        self.call("alerts", request=request)

    def call(self, function: str, **given: Any) -> None:
        """Call one of the app's functions."""
        # Where it is looked up differs: a module may have the name of its own.
        target = FUNCTIONS[function]
        with self._patch.context() as patch:
            patch.setattr(services, "services", lambda: self.world)
            if "services" in target.__globals__ and callable(target.__globals__["services"]):
                patch.setitem(target.__globals__, "services", lambda: self.world)
            target(**given, context=_CONTEXT)

    def seen(self) -> dict[str, Any]:
        """Return what came of it: outcomes, claims, letters, messages.

        A reason that lists the members of an envelope is cut: the worker leaves fewer of them.
        """
        rows = self.world.rows
        return {
            "outcomes": sorted(
                (
                    (row.partition, row.key, *(row.values[name] for name in ("type", "outcomes")))
                    for row in rows("SignalboxEvents")
                ),
                key=str,
            ),
            "claims": sorted((row.partition, row.key) for row in rows("SignalboxLedger")),
            "letters": sorted(
                (
                    letter.code,
                    letter.reason.partition("; it has ")[0],
                    letter.about,
                    _data_of(letter.body),
                )
                for letter in self.world.all_letters()
            ),
            "told": sorted(self.world.told()),
        }


def _data_of(body: str) -> str:
    """Return what an event tells, without what its envelope adds."""
    try:
        envelope = json.loads(body)
    except ValueError:
        return body
    data = envelope.get("data") if isinstance(envelope, dict) else envelope
    return json.dumps(data, sort_keys=True)
