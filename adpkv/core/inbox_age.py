"""Input of a rank that it has not taken in: since when it lies there, and whether that is too long.

A rank may be slow, but it must look: an end that its transport holds ready, or a message, that lies
there for longer than a bound although the rank iterates or waits is a wait without end that nobody
planned. Worlds tell when something comes and when it is taken; each stretch is reported once.
"""

from __future__ import annotations

from collections.abc import Callable

from adpkv.core.ids import NEVER

__all__ = ["InboxAge", "InboxAges", "Report"]


Report = Callable[[str, int, tuple[int, ...]], None]
"""Hears what lay there too long, for how many nanoseconds, and which request it is about."""


class InboxAge:
    """One source of input of one rank."""

    __slots__ = ("_bound_ns", "_excused_until_ns", "_report", "_request", "_since_ns", "_what")

    def __init__(self, what: str, bound_ns: int, report: Report) -> None:
        self._what, self._bound_ns, self._report = what, bound_ns, report
        self._since_ns = NEVER
        self._request = -1
        self._excused_until_ns = 0

    def came(self, now_ns: int, request: int = -1) -> None:
        """Something is there now, about a request; only the first counts until all is taken."""
        if self._since_ns == NEVER:
            self._since_ns, self._request = now_ns, request

    def postpone(self, came_ns: int, until_ns: int) -> None:
        """What came at `came_ns` came in the middle of a step or collective that ends at
        `until_ns`: it lies there from then on."""
        if self._since_ns == came_ns:
            self._since_ns = until_ns

    def delay(self, now_ns: int, by_ns: int) -> None:
        """What is there cannot be looked at for so long from now on: its time goes on afterwards.
        Until now it has lain there for as long as the rank could look."""
        if self._since_ns != NEVER:
            excused_ns = min(self._excused_until_ns, now_ns)
            self._since_ns = max(self._since_ns, excused_ns) + by_ns

    def taken(self, now_ns: int) -> None:
        """The rank took in all that was there."""
        since_ns = self._since_ns
        if since_ns != NEVER:
            self._since_ns = NEVER
            if now_ns - since_ns > self._bound_ns:
                self._judge(now_ns - max(since_ns, self._excused_until_ns))

    def _judge(self, waited_ns: int) -> None:
        if waited_ns > self._bound_ns:
            whom = (self._request,) if self._request >= 0 else ()
            self._report(self._what, waited_ns, whom)

    def excuse(self, until_ns: int) -> None:
        """Until then the rank cannot look."""
        self._excused_until_ns = max(self._excused_until_ns, until_ns)


class InboxAges:
    """All input of one rank: its messages, and the ends of its transfers."""

    __slots__ = ("bound_ns", "ends", "forced_ns", "messages")

    def __init__(self, bound_ns: int, report: Report) -> None:
        self.bound_ns = bound_ns
        self.messages = InboxAge("messages", bound_ns, report)
        self.ends = InboxAge("the end of a transfer", bound_ns, report)
        self.forced_ns = 0
        """For how long in all a fault kept the rank from looking."""

    def excuse(self, from_ns: int, until_ns: int) -> None:
        """A fault keeps the rank from looking for that time: it is not the rank's doing."""
        self.forced_ns += max(0, until_ns - from_ns)
        self.messages.excuse(until_ns)
        self.ends.excuse(until_ns)

    def postpone(self, came_ns: int, until_ns: int) -> None:
        """The rank computes until then, which is no neglect of what came meanwhile."""
        self.messages.postpone(came_ns, until_ns)
        self.ends.postpone(came_ns, until_ns)

    def delay(self, now_ns: int, by_ns: int) -> None:
        """The rank had looked already in this iteration, whose step takes so long."""
        self.messages.delay(now_ns, by_ns)
        self.ends.delay(now_ns, by_ns)

    def close(self, now_ns: int) -> None:
        """The rank leaves: what it has never taken in counts up to now."""
        self.messages.taken(now_ns)
        self.ends.taken(now_ns)
