"""Excludes time in which this process was suspended from the timeouts of its peers.

When a whole job is suspended (a closed lid, a frozen container, a debugger), all clocks run on, but
no rank was late in that time. So a thread that polls every few milliseconds takes a long gap
between two of its polls as time in which it was suspended itself.
"""

from __future__ import annotations

__all__ = ["SuspensionClock"]


class SuspensionClock:
    """Used by a loop that polls again and again. `longest_ns` is the longest gap between two polls
    that is normal on a busy machine, in nanoseconds; what exceeds it counts as suspended."""

    def __init__(self, longest_ns: int, now_ns: int) -> None:
        self._longest_ns, self._looked_ns = longest_ns, now_ns

    def missed(self, now_ns: int) -> int:
        """To be called at each poll. Returns how many nanoseconds since the last call this process
        was suspended; 0 if it was not."""
        gap_ns, self._looked_ns = now_ns - self._looked_ns, now_ns
        return max(0, gap_ns - self._longest_ns)
