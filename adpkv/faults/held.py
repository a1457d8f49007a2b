"""The state of a faulty transport: open transfers, posts that it holds back, ends that it
delays."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from adpkv.core.ids import NEVER, SessionId
from adpkv.heaps import heappop, heappush
from adpkv.transport.port import Transfer, TransportEnd

__all__ = ["DelayedEnds", "HeldPosts", "OpenTransfer", "ReportedAs"]

Wake = Callable[[int], None]


class ReportedAs(Enum):
    """How the end that the inner transport reports is passed on to the rank."""

    AS_IT_IS = "as it is"
    FAILED = "as a proven failure"
    NEVER = "never: another end was reported instead"


class OpenTransfer:
    """A transfer whose end the inner transport has not reported yet, or not yet to the rank."""

    __slots__ = ("end", "held", "inside", "reported_as", "transfer", "until_ns", "withdrawn")

    def __init__(self, transfer: Transfer, *, inside: bool) -> None:
        self.transfer = transfer
        self.inside = inside
        """Whether the inner transport was given the transfer."""
        self.held = False
        self.withdrawn = False
        """The rank withdrew it while it was held back."""
        self.reported_as = ReportedAs.AS_IT_IS
        self.until_ns = 0
        """Its end is not reported before this time."""
        self.end: TransportEnd | None = None
        """Its end, if that is certain already and only delayed."""


class HeldPosts:
    """Posts that have not been passed on to the inner transport, in order of time."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._heap: list[tuple[int, int, int, int, OpenTransfer]] = []
        self._count = 0

    def hold(self, known: OpenTransfer, until_ns: int) -> None:
        """Hold a post back until `until_ns`; NEVER: for ever."""
        known.held = True
        self._count += 1
        transfer = known.transfer
        entry = (until_ns, transfer.request_id, transfer.attempt, self._count, known)
        heappush(self._heap, entry)
        if until_ns < NEVER:
            self._wake(until_ns)

    def due(self, now_ns: int) -> list[OpenTransfer]:
        """Remove and return the posts whose time has come. Posts whose transfer has ended meanwhile
        are left out."""
        found: list[OpenTransfer] = []
        while self._heap and self._heap[0][0] <= now_ns:
            known = heappop(self._heap)[4]
            if known.held:
                known.held = False
                found.append(known)
        return found

    def clear(self) -> None:
        """Forget all held posts."""
        self._heap.clear()


class DelayedEnds:
    """Ends of transfers that are reported later than they occurred, in order of time."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._heap: list[tuple[int, SessionId, int, TransportEnd, OpenTransfer | None]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def delay(self, known: OpenTransfer, end: TransportEnd, until_ns: int) -> None:
        """Report `end` as the end of this transfer at `until_ns`. A later call for the same
        transfer replaces it."""
        known.end = end
        self._push(until_ns, end, known)

    def report(self, end: TransportEnd, at_ns: int) -> None:
        """Report `end` at `at_ns` without closing the transfer: its own end is still to come, or is
        suppressed."""
        self._push(at_ns, end, None)

    def _push(self, at_ns: int, end: TransportEnd, known: OpenTransfer | None) -> None:
        self._count += 1
        heappush(self._heap, (at_ns, end.session, self._count, end, known))
        if at_ns < NEVER:
            self._wake(at_ns)

    def due(self, now_ns: int, book: dict[SessionId, OpenTransfer]) -> list[TransportEnd]:
        """Remove and return the ends that are due at `now_ns`. Transfers that end with this are
        removed from `book`."""
        found: list[TransportEnd] = []
        while self.is_due(now_ns):
            _, session, _, end, known = heappop(self._heap)
            if known is not None and book.get(session) is known:
                del book[session]
            found.append(end)
        return found

    def is_due(self, now_ns: int) -> bool:
        """Is any end due at `now_ns`?"""
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            known = heap[0][4]
            if known is None or known.end is heap[0][3]:
                return True
            heappop(heap)
        return False
