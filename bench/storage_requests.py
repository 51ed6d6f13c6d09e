"""storage_requests_per_event_…: what the worker asks of tables, queues and blobs for one event.

Tables exist already: each costs two requests more, once in its life.

Floors. Unmatched: the record. Matched: the claim, the count of the channel's messages, the claim's
end, the record. Duplicate: one look that says it was done. Deploy: the claim, the rollout, the
message that starts it, the claim's end, the record.
"""

from collections.abc import Iterator
from statistics import median

from bench.app import Bench, open_bench
from bench.events import Json
from bench.figure import Figure, note
from bench.taps import SETTINGS, count, count_deploy

_FLOORS = {"unmatched": 1, "matched": 4, "duplicate": 1, "deploy": 5}

FIGURES = tuple(f"storage_requests_per_event_{kind}" for kind in _FLOORS)
TINY = {"repeats": 1}


def measure(*, repeats: int = 5) -> Iterator[Figure]:
    """Send one event of each kind at a time, and count; the first ones only make the tables."""
    counts: dict[str, list[int]] = {kind: [] for kind in _FLOORS}
    with open_bench(tapped=True) as bench:
        bench.start(settings=SETTINGS)
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
    return len(count(bench, "run_status_changed", run).storage)


def _count_deploy(bench: Bench, model: str) -> int:
    return len(count_deploy(bench, lambda number: bench.register(f"{model}-{number}", "1")).storage)
