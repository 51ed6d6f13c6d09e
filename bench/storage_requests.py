"""storage_requests_per_event_…: what the worker asks of tables, queues and blobs for one event.

Counted by taps between the app and the storage. The host's own requests, to the same storage, are
told apart by the user agent. Tables exist already: each costs two requests more, once in its life.

Floors. Unmatched: the record. Matched: the claim, its end, the record. Duplicate: one look that
says it was done. Deploy: the claim, the rollout, the message that starts it, the claim's end, the
record.
"""

import time
from collections.abc import Iterator
from statistics import median

from bench.app import Bench, open_bench
from bench.events import Json
from bench.figure import BenchFailed, Figure, note
from sandbox.tap import Request

_FLOORS = {"unmatched": 1, "matched": 3, "duplicate": 1, "deploy": 5}

FIGURES = tuple(f"storage_requests_per_event_{kind}" for kind in _FLOORS)
TINY = {"repeats": 1}

#: The storage SDKs add what this setting says to their user agent; the host's process has none.
_AGENT = "signalbox-bench-worker"
_SETTINGS = {"AZURE_HTTP_USER_AGENT": _AGENT}
_TRIES = 5


def measure(*, repeats: int = 5) -> Iterator[Figure]:
    """Send one event of each kind at a time, and count; the first ones only make the tables."""
    counts: dict[str, list[int]] = {kind: [] for kind in _FLOORS}
    with open_bench(tapped=True) as bench:
        bench.start(settings=_SETTINGS)
        for _ in range(repeats + 1):
            (unmatched,), (matched,) = bench.runs("Completed", 1), bench.runs("Failed", 1)
            counts["unmatched"].append(_count(bench, unmatched))
            counts["matched"].append(_count(bench, matched))
            counts["duplicate"].append(_count(bench, matched))
        # Last: what the rollouts that they start ask for would be counted with the others.
        counts["deploy"] = [_count_deploy(bench, f"model-{each}") for each in range(repeats + 1)]
    for name, kind in zip(FIGURES, _FLOORS, strict=True):
        found = counts[kind]
        note(f"{name}: {found[0]} at first, then {found[1:]}")
        yield Figure(name=name, value=median(found[1:]), unit="requests", floor=_FLOORS[kind])


def _count(bench: Bench, run: Json) -> int:
    return sum(map(_is_ours, _requests(bench, "run_status_changed", run)))


def _count_deploy(bench: Bench, model: str) -> int:
    """Count while the host looks for no rollout: what one asks for is not the event's."""
    for number in range(_TRIES):
        event = bench.register(f"{model}-{number}", "1")
        while not bench.stack.host.idle():
            time.sleep(0.01)
        seen = _requests(bench, "model_registered", event)
        if not any(map(_is_look_for_rollouts, seen)):
            return sum(map(_is_ours, seen))
    raise BenchFailed("the host looked for rollouts whenever an event was handled")


def _requests(bench: Bench, function: str, event: Json) -> list[Request]:
    taps = bench.stack.taps.values()
    for tap in taps:
        tap.clear()
    bench.send(function, [event])
    return [request for tap in taps for request in tap.requests]


def _is_ours(request: Request) -> bool:
    return _AGENT in request.headers.get("user-agent", "")


def _is_look_for_rollouts(request: Request) -> bool:
    path = request.path.rstrip("/")
    return request.method == "GET" and path.endswith("/rollouts/messages")
