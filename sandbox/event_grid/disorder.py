"""Disorder: the duplicates, delays and changes of order that at-least-once delivery allows."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Disorder:
    """How untidily events are delivered; times are in real seconds, not scaled.

    `duplicate`: how often each event is delivered. `delay`: held back this long before its first
    attempt. `reorder`: each copy is held back by up to this much more, at random, so that later
    events overtake earlier ones. The same seed gives the same disorder.
    """

    duplicate: int = 1
    delay: float = 0.0
    reorder: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a disorder that would lose events."""
        if self.duplicate < 1 or self.delay < 0 or self.reorder < 0:
            raise ValueError("an event is delivered at least once, and not before it is published")

    def hold_times(self) -> Iterator[tuple[float, ...]]:
        """Yield, for one event after the other, how long each of its copies is held back."""
        chance = random.Random(self.seed)
        while True:
            yield tuple(
                self.delay + chance.uniform(0.0, self.reorder) for _ in range(self.duplicate)
            )
