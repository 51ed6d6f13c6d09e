"""The parser of the sandbox's command lines."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any


class Parser(argparse.ArgumentParser):
    """Takes the value of an option as it is, even if it begins with a hyphen.

    Keys are random, and one of 64 begins with a hyphen, which argparse alone takes as an option.
    """

    def __init__(self, **options: Any) -> None:
        self._with_value: set[str] = set()
        super().__init__(**options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument or option, as argparse does."""
        action = super().add_argument(*names, **options)
        if action.nargs is None:
            self._with_value.update(action.option_strings)
        return action

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse a command line, as argparse does."""
        given = iter(sys.argv[1:] if args is None else args)
        joined = [
            f"{word}={value}"
            if word in self._with_value and (value := next(given, None)) is not None
            else word
            for word in given
        ]
        return super().parse_known_args(joined, namespace)
