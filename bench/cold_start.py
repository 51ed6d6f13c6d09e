"""cold_start…: from the start of a worker until the app is indexed, and to its first handled event.

Floor: the same of an app that has one function, which does nothing.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.app import EMPTY_APP, Bench, open_bench
from bench.figure import BenchFailed, Figure, note
from bench.imports import Imports, costs, watch_imports
from demo.stage import APP_ROOT

FIGURES = ("cold_start_indexed", "cold_start")
TINY = {"repeats": 1}

#: Not needed by an event that only tells a channel: the SDK, and the code for drift.
_FORBIDDEN = ("azure.ai.ml", "shared.retraining")
#: Needed by it: without these, the list of imports is not of what the figure claims.
_NEEDED = ("shared.flow.react", "azure.data.tables", "apprise")
#: In ms.
_WORTH_TELLING = 2


def measure(*, repeats: int = 7) -> Iterator[Figure]:
    """Start both apps in turn and take the fastest of each: the one that nothing disturbed."""
    with open_bench() as bench:
        imports = watch_imports(bench)
        check_imports({**imports.indexing, **imports.event})
        _tell_costs(imports)
        ours, floor = [], []
        for _ in range(repeats + 1):
            floor.append(_start(bench, EMPTY_APP, "nothing"))
            ours.append(_start(bench, APP_ROOT, "run_status_changed"))
            note(f"cold start {ours[-1][1]:.3f} s, of the empty app {floor[-1][1]:.3f} s")
        for number, name in enumerate(FIGURES):
            value, least = (min(times[number] for times in started) for started in (ours, floor))
            yield Figure(name=name, value=value, unit="s", floor=least)


def _start(bench: Bench, app: Path, function: str) -> tuple[float, float]:
    """Return the seconds until the app is indexed, and until its first event is handled."""
    told = len(bench.channel.told)
    bench.start(app)
    indexed_at = datetime.now(UTC)
    try:
        bench.send(function, bench.runs("Failed", 1))
        host = bench.stack.host
        if host.first_completed_at is None:
            raise BenchFailed("the host does not know when the event was handled")
        times = (indexed_at, host.first_completed_at)
        indexed, handled = ((time - host.started_at).total_seconds() for time in times)
    finally:
        bench.stack.stop_host()
    if len(bench.channel.told) - told != (app == APP_ROOT):
        raise BenchFailed("the channel was not told of the event, once")
    return indexed, handled


def check_imports(imported: Mapping[str, float]) -> None:
    """Raise BenchFailed if a worker imports what it should not on its way to the first event."""
    if missing := set(_NEEDED) - imported.keys():
        raise BenchFailed(f"the worker does not say what it imports: no {sorted(missing)}")
    forbidden = tuple(f"{name}." for name in _FORBIDDEN)
    wrong = [name for name in imported if f"{name}.".startswith(forbidden)]
    if wrong:
        raise BenchFailed(f"an event that only tells a channel imported {wrong[0]}")


def _tell_costs(imports: Imports) -> None:
    """Tell what the imports of each package cost, and of each folder of shared/."""
    for what, found in (("to be indexed", imports.indexing), ("then to the event", imports.event)):
        dear = ", ".join(f"{name} {ms:.0f}" for name, ms in costs(found) if ms > _WORTH_TELLING)
        note(f"{len(found)} modules {what}, in {sum(found.values()):.0f} ms: {dear}")
