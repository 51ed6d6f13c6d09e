"""The app's functions, from the worker's index."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.functions_host.errors import HostError

EVENT_GRID = "eventGridTrigger"
QUEUE = "queueTrigger"
TIMER = "timerTrigger"
HTTP = "httpTrigger"

TRIGGERS = frozenset({EVENT_GRID, QUEUE, TIMER, HTTP})
_HTTP_OUTPUT = "http"


@dataclass(frozen=True)
class Function:
    """One function: its name, the worker's id for it, its trigger and all its bindings."""

    name: str
    id: str
    trigger: Mapping[str, Any]
    bindings: tuple[Mapping[str, Any], ...]

    @property
    def kind(self) -> str:
        """Return the trigger's binding type, one of TRIGGERS."""
        return str(self.trigger["type"])


def parse_functions(index: Iterable[Mapping[str, Any]]) -> dict[str, Function]:
    """Return the functions by name; HostError if there are none, or this host lacks a binding."""
    functions = {each["name"]: _parse_function(each) for each in index}
    if not functions:
        raise HostError(
            "the worker found 0 functions: is there a function_app.py with a FunctionApp in it?"
        )
    return functions


def find_function(functions: Mapping[str, Function], name: str, kind: str) -> Function | None:
    """Return the function of that name, in its own case, and trigger kind."""
    function = functions.get(name)
    return function if function is not None and function.kind == kind else None


def _parse_function(entry: Mapping[str, Any]) -> Function:
    bindings = tuple(json.loads(raw) for raw in entry["bindings"])
    for binding in bindings:
        if binding["type"] not in TRIGGERS | {_HTTP_OUTPUT}:
            raise HostError(
                f"function {entry['name']} has a binding of type {binding['type']!r}, "
                f"which this host does not provide; it provides {', '.join(sorted(TRIGGERS))}"
            )
    triggers = [binding for binding in bindings if binding["type"] in TRIGGERS]
    if len(triggers) != 1:
        raise HostError(f"function {entry['name']} has {len(triggers)} triggers instead of one")
    return Function(entry["name"], entry["id"], triggers[0], bindings)
