"""A clock that steps ahead: what a rank reads, and when by the world's clock it will read what.

A step, not a drift: from one instant on the clock is ahead by so much. Durations that a rank
measures across it are wrong by that, which is what is to be survived.
"""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.core.ids import NEVER
from adpkv.executor.ports import Clock

__all__ = ["SkewedClock"]


class SkewedClock:
    """A rank's clock over the world's. `steps` are (at_ns, ahead_ns), in the world's time."""

    def __init__(self, clock: Clock, steps: Sequence[tuple[int, int]]) -> None:
        self._clock = clock
        self._steps = sorted(steps)

    def __call__(self) -> int:
        """What the rank reads now."""
        return self.reading(self._clock())

    def reading(self, at_ns: int) -> int:
        """What it reads at a time of the world."""
        return at_ns + sum(ahead_ns for step_ns, ahead_ns in self._steps if step_ns <= at_ns)

    def world_ns(self, reading_ns: int) -> int:
        """The first time of the world at which it reads as much or more."""
        if reading_ns >= NEVER:
            return NEVER
        ahead_ns = 0
        for step_ns, more_ns in self._steps:
            if reading_ns - ahead_ns <= step_ns:
                break
            ahead_ns = min(ahead_ns + more_ns, reading_ns - step_ns)
        return reading_ns - ahead_ns
