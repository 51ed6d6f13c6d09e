"""How tests wait, and how they measure: neither depends on what else the machine is doing."""

import time
from collections.abc import Callable

#: Far longer than anything takes that is waited for: only what never happens takes so long.
PATIENCE = 60.0


def eventually(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        time.sleep(0.02)


def cpu_seconds(run: Callable[[], object], times: int = 3) -> float:
    """Return the CPU time of the quickest of several runs, without that of other threads."""
    spent = []
    for _ in range(times):
        began = time.thread_time()
        run()
        spent.append(time.thread_time() - began)
    return min(spent)
