"""Time in which this process looked, told apart from time in which it could not.

A stopped job (a closed lid, a frozen container, a debugger) is stopped with all its clocks running.
Who counts how long others stay away must not count the time in which it was away itself: nobody was
late in it. So whoever looks every few milliseconds takes a gap between two looks for what it is.
"""

from __future__ import annotations

__all__ = ["SuspensionClock"]


class SuspensionClock:
    """Somebody looks again and again; `longest_ns` is the longest that a turn on a busy machine
    takes, in nanoseconds. What is beyond that was missed."""

    def __init__(self, longest_ns: int, now_ns: int) -> None:
        self._longest_ns, self._looked_ns = longest_ns, now_ns

    def missed(self, now_ns: int) -> int:
        """It looks: how much of the time since its last look it was not there."""
        gap_ns, self._looked_ns = now_ns - self._looked_ns, now_ns
        return max(0, gap_ns - self._longest_ns)
