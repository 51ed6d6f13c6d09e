"""cold_start: from the start of a worker to its first handled event, which tells a channel.

Floor: the same of an app that has one function, which does nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bench.app import EMPTY_APP, Bench, open_bench
from bench.figure import BenchFailed, Figure, note
from demo.stage import APP_ROOT

FIGURES = ("cold_start",)
TINY = {"repeats": 1}

#: Modules that the event must not wait for: the SDK, and those that only drift needs.
_FORBIDDEN = ("azure.ai.ml", "shared.retraining")
#: Modules that every event needs. Without them the list of imports is wrong.
_NEEDED = ("shared.flow.react", "azure.data.tables", "apprise")
#: The host is another process's: where a worker has it, the floor is too high.
_HOST = "sandbox.functions_host.host"
#: In ms.
_WORTH_TELLING = 60


def measure(*, repeats: int = 7) -> Iterator[Figure]:
    """Start both apps in turn and take the fastest of each: the one that nothing disturbed."""
    with open_bench() as bench:
        check_imports(_imported(bench))
        ours, floor = [], []
        for _ in range(repeats + 1):
            floor.append(_start(bench, EMPTY_APP, "nothing"))
            ours.append(_start(bench, APP_ROOT, "run_status_changed"))
            note(f"cold start {ours[-1]:.3f} s, of the empty app {floor[-1]:.3f} s")
        yield Figure(name="cold_start", value=min(ours), unit="s", floor=min(floor))


def _start(bench: Bench, app: Path, function: str) -> float:
    told = len(bench.channel.told)
    bench.start(app)
    try:
        bench.send(function, bench.runs("Failed", 1))
        host = bench.stack.host
        if host.first_completed_at is None:
            raise BenchFailed("the host does not know when the event was handled")
        seconds = (host.first_completed_at - host.started_at).total_seconds()
    finally:
        bench.stack.stop_host()
    if len(bench.channel.told) - told != (app == APP_ROOT):
        raise BenchFailed("the channel was not told of the event, once")
    return seconds


def _imported(bench: Bench) -> dict[str, float]:
    """Return what a worker imports up to its first event, and what that takes, in ms."""
    lines: list[str] = []
    bench.start(log=lines.append, settings={"PYTHONPROFILEIMPORTTIME": "1"})
    bench.send("run_status_changed", bench.runs("Failed", 1))
    bench.stack.stop_host()
    return parse_import_times(lines)


def parse_import_times(lines: Iterable[str]) -> dict[str, float]:
    """Return the milliseconds of each module, with all that it imported first."""
    found = {}
    for line in lines:
        # import time: self [us] | cumulative | imported package
        head, _, rest = line.partition(":")
        parts = [part.strip() for part in rest.split("|")]
        if head == "import time" and len(parts) == 3 and parts[1].isdecimal():
            found[parts[2]] = int(parts[1]) / 1000
    return found


def check_imports(imported: Mapping[str, float]) -> None:
    """Raise BenchFailed if a worker imports a forbidden module on its way to the first event."""
    if missing := set(_NEEDED) - imported.keys():
        raise BenchFailed(f"the worker does not say what it imports: no {sorted(missing)}")
    forbidden = tuple(f"{name}." for name in _FORBIDDEN)
    wrong = [name for name in imported if f"{name}.".startswith(forbidden)]
    if wrong:
        raise BenchFailed(f"an event that only tells a channel imported {wrong[0]}")
    if _HOST in imported:
        note(f"both workers import the sandbox's own host, in {imported[_HOST]:.0f} ms of each")
    slowest = sorted(imported.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name} {ms:.0f}" for name, ms in slowest if ms > _WORTH_TELLING)
    note(f"{len(imported)} imports, no {' or '.join(_FORBIDDEN)}; the slowest in ms: {listed}")
