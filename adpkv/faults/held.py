"""What a faulty transport remembers: open transfers, held posts, ends that are kept back."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import Enum

from adpkv.core.ids import NEVER, SessionId
from adpkv.transport.port import Transfer, TransportEnd

__all__ = ["HeldPosts", "KeptEnds", "Open", "Told"]

Wake = Callable[[int], None]


class Told(Enum):
    """How the inner transport's end of a transfer is told."""

    AS_IT_IS = "as it is"
    FAILED = "as a proven failure"
    NEVER = "never: another was told instead"


class Open:
    """One transfer whose end has not been told, or was told before it came."""

    __slots__ = ("end", "held", "inside", "told", "transfer", "until_ns", "withdrawn")

    def __init__(self, transfer: Transfer, *, inside: bool) -> None:
        self.transfer = transfer
        self.inside = inside
        """Whether the inner transport knows of it."""
        self.held = False
        self.withdrawn = False
        """Asked to end while it was held."""
        self.told = Told.AS_IT_IS
        self.until_ns = 0
        """Its end is not told earlier."""
        self.end: TransportEnd | None = None
        """What it ends as, where that is certain and only kept back."""


class HeldPosts:
    """Posts that have not reached the inner transport, in order of time."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._heap: list[tuple[int, int, int, int, Open]] = []
        self._count = 0

    def hold(self, known: Open, until_ns: int) -> None:
        """Keep it until then; NEVER for ever."""
        known.held = True
        self._count += 1
        transfer = known.transfer
        entry = (until_ns, transfer.request_id, transfer.attempt, self._count, known)
        heapq.heappush(self._heap, entry)
        if until_ns < NEVER:
            self._wake(until_ns)

    def due(self, now_ns: int) -> list[Open]:
        """Take out what is held no longer; what a restart has lost meanwhile is left out."""
        found: list[Open] = []
        while self._heap and self._heap[0][0] <= now_ns:
            known = heapq.heappop(self._heap)[4]
            if known.held:
                known.held = False
                found.append(known)
        return found

    def clear(self) -> None:
        """Forget them."""
        self._heap.clear()


class KeptEnds:
    """Ends that are told later than they came, in order of time."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._heap: list[tuple[int, SessionId, int, TransportEnd, Open | None]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def keep(self, known: Open, end: TransportEnd, until_ns: int) -> None:
        """The transfer ends as this, told at that time; void if another takes its place."""
        known.end = end
        self._push(until_ns, end, known)

    def mention(self, end: TransportEnd, at_ns: int) -> None:
        """Tell this, which is not the end of what is known of the transfer."""
        self._push(at_ns, end, None)

    def _push(self, at_ns: int, end: TransportEnd, known: Open | None) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at_ns, end.session, self._count, end, known))
        if at_ns < NEVER:
            self._wake(at_ns)

    def due(self, now_ns: int, book: dict[SessionId, Open]) -> list[TransportEnd]:
        """Take out what is to be told by now; what ends leaves the book."""
        found: list[TransportEnd] = []
        while self.is_due(now_ns):
            _, session, _, end, known = heapq.heappop(self._heap)
            if known is not None and book.get(session) is known:
                del book[session]
            found.append(end)
        return found

    def is_due(self, now_ns: int) -> bool:
        """Is there anything to tell?"""
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            known = heap[0][4]
            if known is None or known.end is heap[0][3]:
                return True
            heapq.heappop(heap)
        return False
