"""The modules that a worker imports: when it indexes an app, and up to its first event."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.app import EMPTY_APP, Bench
from demo.stage import APP_ROOT

#: The app's own code that is not below shared/, and the names that CPython makes for itself.
_OWN = ("function_app", "handlers", "_sysconfigdata")
#: Packages of one name that many distributions share: what is below them is told apart.
_SHARED_NAMES = ("azure", "opentelemetry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """The modules that the app imports and an empty app does not, with their own milliseconds."""

    indexing: Mapping[str, float]
    event: Mapping[str, float]


def watch_imports(bench: Bench) -> Imports:
    """Start workers that say what they import, one of them up to an event that tells a channel."""
    _started(bench, APP_ROOT, is_told=True)  # Compiles what is not: that is no part of the cost.
    known = _started(bench, EMPTY_APP)
    indexing = _started(bench, APP_ROOT)
    event = _started(bench, APP_ROOT, is_told=True)
    return Imports(indexing=_without(indexing, known), event=_without(event, {**known, **indexing}))


def packages(modules: Iterable[str]) -> set[str]:
    """Return the third-party packages of modules; `azure` and `opentelemetry` by what is below."""
    outside = (name for name in modules if not name.startswith((*_OWN, "shared")))
    found = {".".join(name.split(".")[: 2 if _is_shared(name) else 1]) for name in outside}
    return {name for name in found if name not in sys.stdlib_module_names} - {*_SHARED_NAMES}


def costs(imports: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the milliseconds of each package and each folder of shared/, the dearest first."""
    found: dict[str, float] = defaultdict(float)
    for name, ms in imports.items():
        parts = name.split(".")
        found[".".join(parts[: 2 if parts[0] == "shared" or _is_shared(name) else 1])] += ms
    return sorted(found.items(), key=lambda item: -item[1])


def parse_import_times(lines: Iterable[str]) -> dict[str, float]:
    """Return the milliseconds of each module, without those that it imports."""
    found = {}
    for line in lines:
        # import time: self [us] | cumulative | imported package
        head, _, rest = line.partition(":")
        parts = [part.strip() for part in rest.split("|")]
        if head == "import time" and len(parts) == 3 and parts[0].isdecimal():
            found[parts[2]] = int(parts[0]) / 1000
    return found


def _started(bench: Bench, app: Path, *, is_told: bool = False) -> dict[str, float]:
    lines: list[str] = []
    bench.start(app, log=lines.append, settings={"PYTHONPROFILEIMPORTTIME": "1"})
    if is_told:
        bench.send("run_status_changed", bench.runs("Failed", 1))
    bench.stack.stop_host()
    return parse_import_times(lines)


def _without(imports: Mapping[str, float], known: Mapping[str, float]) -> dict[str, float]:
    return {name: ms for name, ms in imports.items() if name not in known}


def _is_shared(name: str) -> bool:
    return name.partition(".")[0] in _SHARED_NAMES
