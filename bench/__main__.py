"""Measures: `python -m bench [NAME…]` prints a line of JSON for each figure, or for those named.

A name is a figure's, or a module's of this folder for all of its figures.
"""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench import (
    arm_requests,
    cold_start,
    drift,
    gates,
    matching,
    memory,
    storage_requests,
    throughput,
    waiting,
)
from bench.figure import BenchFailed, Figure, note

_BENCHES = (
    cold_start,
    memory,
    throughput,
    storage_requests,
    arm_requests,
    waiting,
    drift,
    gates,
    matching,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a figure could not be measured."""
    options = _parse(arguments)
    try:
        with _quiet():
            for figure in _measure(options.names, is_tiny=options.tiny):
                print(figure.line(), flush=True)
    except BenchFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log to what is critical, while it is measured.

    A host that stops fails what still runs, and says so; so does drift that waits in the twin.
    """
    levels = {logger: logger.level for logger in map(logging.getLogger, ("sandbox", "shared"))}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _measure(names: Sequence[str], *, is_tiny: bool) -> Iterator[Figure]:
    for bench in _BENCHES:
        family = bench.__name__.rpartition(".")[2]
        wanted = {figure for figure in bench.FIGURES if {figure, family} & set(names) or not names}
        if not wanted:
            continue
        note(f"{family} …")
        sizes = bench.TINY if is_tiny else {}
        yield from (figure for figure in bench.measure(**sizes) if figure.name in wanted)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = {bench.__name__.rpartition(".")[2] for bench in _BENCHES}
    known.update(figure for bench in _BENCHES for figure in bench.FIGURES)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(sorted(known)))
    parser.add_argument("--tiny", action="store_true", help="as little as shows that it works")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - known):
        parser.error(f"no figure or module is named {', '.join(unknown)}")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
