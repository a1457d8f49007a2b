"""How long a rank has left input unread, and whether that is too long (an `unbounded_wait`).

Input is a message in its mailbox, or the end of a transfer that its transport has ready. A rank may
be slow, but it must read its input: if it iterates or waits and still leaves input unread for
longer than a bound, that is reported, once per stretch. Time inside a step or a collective, and
time that a fault has taken from the rank, does not count. The worlds call this module when input
comes and when it is read.
"""

from __future__ import annotations

from collections.abc import Callable

from adpkv.core.ids import NEVER

__all__ = ["InboxAge", "InboxAges", "Report"]


Report = Callable[[str, int, tuple[int, ...]], None]
"""Called with what was unread too long, for how many nanoseconds, and the request that it is about
(an empty tuple if none is)."""


class InboxAge:
    """One source of input of one rank."""

    __slots__ = ("_bound_ns", "_excused_until_ns", "_report", "_request", "_what", "since_ns")

    def __init__(self, what: str, bound_ns: int, report: Report) -> None:
        self._what, self._bound_ns, self._report = what, bound_ns, report
        self.since_ns = NEVER
        self._request = -1
        self._excused_until_ns = 0

    def came(self, now_ns: int, request: int = -1) -> None:
        """Input came, about a request (-1: none). Only the first counts until all is read."""
        if self.since_ns == NEVER:
            self.since_ns, self._request = now_ns, request

    def delay(self, now_ns: int, by_ns: int) -> None:
        """The rank cannot read for the next `by_ns` nanoseconds: leave them out of the age. The age
        that the input has by now is kept."""
        if self.since_ns != NEVER:
            excused_ns = min(self._excused_until_ns, now_ns)
            self.since_ns = max(self.since_ns, excused_ns) + by_ns

    def taken(self, now_ns: int) -> None:
        """The rank has read all input."""
        since_ns = self.since_ns
        if since_ns != NEVER:
            self.since_ns = NEVER
            if now_ns - since_ns > self._bound_ns:
                self._check(now_ns - max(since_ns, self._excused_until_ns))

    def _check(self, waited_ns: int) -> None:
        if waited_ns > self._bound_ns:
            whom = (self._request,) if self._request >= 0 else ()
            self._report(self._what, waited_ns, whom)

    def excuse(self, until_ns: int) -> None:
        """A fault keeps the rank from reading until then."""
        self._excused_until_ns = max(self._excused_until_ns, until_ns)


class InboxAges:
    """All input of one rank: its messages, and the ends of its transfers. Times are nanoseconds."""

    __slots__ = ("bound_ns", "ends", "forced_ns", "messages")

    def __init__(self, bound_ns: int, report: Report) -> None:
        self.bound_ns = bound_ns
        self.messages = InboxAge("messages", bound_ns, report)
        self.ends = InboxAge("the end of a transfer", bound_ns, report)
        self.forced_ns = 0
        """For how long in all faults have kept the rank from reading."""

    def excuse(self, from_ns: int, until_ns: int) -> None:
        """A fault keeps the rank from reading for that time, which is not the rank's neglect."""
        self.forced_ns += max(0, until_ns - from_ns)
        self.messages.excuse(until_ns)
        self.ends.excuse(until_ns)

    def postpone(self, came_ns: int, until_ns: int) -> None:
        """The rank computes until `until_ns`: input that came meanwhile counts from there."""
        if self.messages.since_ns == came_ns:
            self.messages.since_ns = until_ns
        if self.ends.since_ns == came_ns:
            self.ends.since_ns = until_ns

    def delay(self, now_ns: int, by_ns: int) -> None:
        """The rank has read its input in this iteration already, and now makes a step that takes
        `by_ns`."""
        self.messages.delay(now_ns, by_ns)
        self.ends.delay(now_ns, by_ns)

    def close(self, now_ns: int) -> None:
        """The rank leaves: input that it has never read counts up to now."""
        self.messages.taken(now_ns)
        self.ends.taken(now_ns)
