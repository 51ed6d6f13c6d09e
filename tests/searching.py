"""How far the searches of tests go: short and repeatable, or long and each time elsewhere."""

import os

#: How many times as far as usual: `make test` and `make check` say less than 1, `make soak` more.
TIMES = float(os.environ.get("SEARCH") or 1)
#: Whether every run is the same one: in CI a change must not fail for what it did not change.
IS_REPEATABLE = TIMES <= 1 and "CI" in os.environ


def examples(usual: int) -> int:
    """Return how many examples a search tries that tries so many in `make test`."""
    return max(1, round(usual * TIMES))
