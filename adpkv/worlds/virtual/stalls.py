"""Stalls of a group: stretches of time in which none of its steps goes on, as real ones have them.

Time is cut into windows of equal length. Each has one stall, which lies in it whole; when it begins
and how long it is are drawn by the seed, the group and the window. So it belongs to the time and
not to a step: several steps, and all that waits for them, meet the same one, and a run that makes
many steps as one meets the same stalls as one that makes each by itself.
"""

from __future__ import annotations

from typing import Final

from adpkv.config.calibration import StallCalibration
from adpkv.random_draws import integer
from adpkv.worlds.virtual.draws import drawing

__all__ = ["Stalls"]

_KEPT: Final = 4
"""Windows whose stalls are remembered: a group asks for times that grow."""


class Stalls:
    """The stalls of one group.

    Args:
        costs: how often there is one, and how long they are.
        seed, group: what they are drawn by.
    """

    __slots__ = ("_every_ns", "_found", "_group", "_length", "_seed")

    def __init__(self, costs: StallCalibration, seed: int, group: int) -> None:
        self._every_ns, self._seed, self._group = costs.every_ns, seed, group
        self._length = drawing(costs.length, seed, "stall")
        self._found: dict[int, tuple[int, int]] = {}

    def past(self, begin_ns: int, took_ns: int) -> int:
        """When something ends that begins at `begin_ns` and takes `took_ns` beside stalls."""
        every_ns = self._every_ns
        window, at_ns, left_ns = begin_ns // every_ns, begin_ns, took_ns
        while True:
            over_ns = (window + 1) * every_ns
            if at_ns + every_ns == over_ns and left_ns > every_ns:
                # All of the window: where in it its stall begins is of no concern.
                left_ns -= every_ns - self._length_ns(window)
            else:
                since_ns, until_ns = self._stall(window)
                if at_ns < until_ns:
                    if at_ns + left_ns <= since_ns:
                        return at_ns + left_ns
                    left_ns -= max(since_ns - at_ns, 0)
                    at_ns = until_ns
                if at_ns + left_ns <= over_ns:
                    return at_ns + left_ns
                left_ns -= over_ns - at_ns
            window, at_ns = window + 1, over_ns

    def _stall(self, window: int) -> tuple[int, int]:
        """(beginning, end) of the stall in this window."""
        found = self._found.get(window)
        if found is None:
            if len(self._found) >= _KEPT:
                self._found.clear()
            length_ns = self._length_ns(window)
            latest_ns = self._every_ns - length_ns
            begin_ns = window * self._every_ns + integer(
                0, latest_ns, self._seed, "stall begins", self._group, window
            )
            found = self._found[window] = begin_ns, begin_ns + length_ns
        return found

    def _length_ns(self, window: int) -> int:
        return min(self._length(self._group, window), self._every_ns)
