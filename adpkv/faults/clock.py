"""A rank's clock that jumps ahead of the world's clock at given instants (the fault kind `skew`).

It jumps and does not drift: from each instant on it is ahead by a fixed time. A duration that the
rank measures across a jump is wrong by that time, and the rank has to survive this.
"""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.core.ids import NEVER
from adpkv.executor.ports import Clock

__all__ = ["SkewedClock"]


class SkewedClock:
    """A rank's clock, made from the world's clock. `steps` are (at_ns, ahead_ns): from the world's
    time `at_ns` on the clock is `ahead_ns` further ahead."""

    def __init__(self, clock: Clock, steps: Sequence[tuple[int, int]]) -> None:
        self._clock = clock
        self._steps = sorted(steps)

    def __call__(self) -> int:
        """What the rank's clock reads now, in nanoseconds."""
        return self.reading(self._clock())

    def reading(self, at_ns: int) -> int:
        """What the rank's clock reads at the world's time `at_ns`."""
        return at_ns + sum(ahead_ns for step_ns, ahead_ns in self._steps if step_ns <= at_ns)

    def world_ns(self, reading_ns: int) -> int:
        """The first time of the world at which the rank's clock reads `reading_ns` or more."""
        if reading_ns >= NEVER:
            return NEVER
        ahead_ns = 0
        for step_ns, more_ns in self._steps:
            if reading_ns - ahead_ns <= step_ns:
                break
            ahead_ns = min(ahead_ns + more_ns, reading_ns - step_ns)
        return reading_ns - ahead_ns
