"""Counts a worker's requests to storage and to AML for one event.

Counted by taps between the app and the storage, and by the emulated workspace. The host's own
requests, to the same storage, are told apart by the user agent.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from bench.app import Bench
from bench.events import Json
from bench.figure import BenchFailed
from sandbox.tap import Request

#: The SDKs add what this setting says to their user agent; the host's process has none.
_AGENT = "signalbox-bench-worker"
#: The app's user agent for AML, where its requests don't use azure-core.
_APP = "signalbox"
SETTINGS = {"AZURE_HTTP_USER_AGENT": _AGENT}
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The requests of one event, or of several: what each is and what it is about."""

    storage: tuple[str, ...] = ()
    aml: tuple[str, ...] = ()

    def __add__(self, other: "Asked") -> "Asked":
        return Asked(storage=self.storage + other.storage, aml=self.aml + other.aml)


def count(bench: Bench, function: str, event: Json) -> Asked:
    """Have an event handled; return what was asked for."""
    return _told(*_send(bench, function, event))


def count_deploy(bench: Bench, make: Callable[[int], Json]) -> Asked:
    """Have a model's event handled while the host looks for no rollout: those ask for more.

    `make` is given the number of the try, and returns the event.
    """
    for number in range(_TRIES):
        event = make(number)
        while not bench.stack.host.idle():
            time.sleep(0.01)
        storage, aml = _send(bench, "model_registered", event)
        if not any(map(_is_look_for_rollouts, storage)):
            return _told(storage, aml)
    raise BenchFailed("the host looked for rollouts whenever an event was handled")


def _send(bench: Bench, function: str, event: Json) -> tuple[list[Request], list[Json]]:
    taps = bench.stack.taps.values()
    for tap in taps:
        tap.clear()
    bench.stack.control.clear_requests()
    bench.send(function, [event])
    return [request for tap in taps for request in tap.requests], bench.stack.control.requests()


def _told(storage: list[Request], aml: list[Json]) -> Asked:
    ours = filter(is_of_worker, storage)
    theirs = (each for each in aml if (each["userAgent"] or "") == _APP)
    return Asked(
        storage=tuple(f"{each.method} {unquote(each.path.partition('/')[2])}" for each in ours),
        aml=tuple(f"{each['method']} {each['path']}" for each in theirs),
    )


def is_of_worker(request: Request) -> bool:
    """Say whether the worker asked for it, and not the host."""
    return _AGENT in request.headers.get("user-agent", "")


def _is_look_for_rollouts(request: Request) -> bool:
    path = request.path.rstrip("/")
    return request.method == "GET" and path.endswith("/rollouts/messages")
