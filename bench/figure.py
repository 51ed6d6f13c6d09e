"""Figures of the benchmarks, and how they are printed."""

import json
import sys
from dataclasses import dataclass

#: Of a rate, more is better: its ratio is turned round.
_RATE = "/s"


class BenchFailed(Exception):
    """A measurement does not have the meaning of its figure; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value beside its floor: what nothing that does the same could go below."""

    name: str
    value: float
    unit: str
    floor: float

    @property
    def ratio(self) -> float:
        """How many times the floor it costs: value / floor, or floor / value of a rate."""
        if self.unit.endswith(_RATE):
            return self.floor / self.value
        return self.value / self.floor

    def line(self) -> str:
        """Return the figure as one line of JSON."""
        return json.dumps(
            {
                "name": self.name,
                "value": round(self.value, 3),
                "unit": self.unit,
                "floor": round(self.floor, 3),
                "ratio": round(self.ratio, 2),
            }
        )


def note(text: str) -> None:
    """Tell whoever watches how it goes; the figures alone are on standard output."""
    print(f"  {text}", file=sys.stderr, flush=True)
