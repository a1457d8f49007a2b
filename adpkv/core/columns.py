"""Where a request's time went: each nanosecond from arrival to last answer is in one column.

Each server measures its own columns on its own clock and sends the durations with its answer.
Clock readings of different ranks are never compared (contract 3.1). Time that no server has
measured lies between the servers and is in `hand_over`. So the columns add up to the total exactly,
even if clocks differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = [
    "COLUMNS",
    "CONTEXT_COLUMNS",
    "CONTEXT_PLACE",
    "GENERATION_COLUMNS",
    "GENERATION_PLACE",
    "WAITING_COLUMNS",
    "Ledger",
    "spans",
]

COORDINATOR_QUEUE: Final = "coordinator_queue"
HAND_OVER: Final = "hand_over"
LOST_ATTEMPTS: Final = "lost_attempts"

CONTEXT_COLUMNS: Final = ("context_queue", "prefill")
"""What a context server measures, in order."""

GENERATION_COLUMNS: Final = (
    "block_wait",
    "slot_wait",
    "peer_slot_wait",
    "kv_transfer",
    "decode_queue",
    "decode",
)
"""What a generation server measures, in order."""

COLUMNS: Final = (
    COORDINATOR_QUEUE,
    *CONTEXT_COLUMNS,
    HAND_OVER,
    *GENERATION_COLUMNS,
    LOST_ATTEMPTS,
)
"""All of them, in the order in which a request passes through."""

CONTEXT_PLACE: Final = COLUMNS.index(CONTEXT_COLUMNS[0])
GENERATION_PLACE: Final = COLUMNS.index(GENERATION_COLUMNS[0])
"""Where those of a server begin."""

WAITING_COLUMNS: Final = (
    COORDINATOR_QUEUE,
    "context_queue",
    "block_wait",
    "slot_wait",
    "peer_slot_wait",
    "decode_queue",
)
"""The columns in which the request only waits; their sum is reported as `queue_wait`."""


def spans(marks: Sequence[int], now_ns: int) -> tuple[int, ...]:
    """The durations in nanoseconds between `marks`, the last one up to `now_ns`; one per mark.

    Args:
        marks: when each column began, by one rank's clock, in order; -1 for one that never began,
            which gets 0. The first mark must be there.
        now_ns: when the last column ended, by the same clock.
    """
    found: list[int] = []
    until_ns = now_ns
    for mark_ns in reversed(marks):
        spent_ns = 0
        if mark_ns >= 0:
            spent_ns, until_ns = until_ns - mark_ns, mark_ns
        found.append(spent_ns if spent_ns > 0 else 0)
    found.reverse()
    return tuple(found)


class Ledger:
    """One request's columns, kept by the coordinator on its own clock.

    A *leg* is the time from one of the methods' calls to the next; each call books its leg.
    """

    __slots__ = ("since_ns", "spent")

    def __init__(self, arrival_ns: int) -> None:
        self.since_ns = arrival_ns
        """When the present leg began."""
        self.spent = [0] * _COUNT
        """Nanoseconds, in the order of `COLUMNS`."""

    def waited(self, now_ns: int) -> None:
        """The request leaves the coordinator's queue."""
        self.spent[_QUEUE] += now_ns - self.since_ns
        self.since_ns = now_ns

    def answered(self, first: int, spent: Sequence[int], now_ns: int) -> None:
        """A server answered the request.

        Args:
            first: the place of the first column that this kind of server measures.
            spent: what it measured from that column on. The rest of the leg is `hand_over`. More
                than the leg comes from a rank whose clock runs fast: it is cut from behind.
            now_ns: when the answer came.
        """
        place, left_ns, booked = first, now_ns - self.since_ns, self.spent
        self.since_ns = now_ns
        for span_ns in spent:
            if span_ns > 0:
                measured_ns = span_ns if span_ns < left_ns else left_ns
                booked[place] += measured_ns
                left_ns -= measured_ns
            place += 1
        booked[_ON_THE_WAY] += left_ns

    def forwarded(self, now_ns: int) -> None:
        """The answer goes on to the client, a moment after it came."""
        self.spent[_ON_THE_WAY] += now_ns - self.since_ns
        self.since_ns = now_ns

    def lost(self, now_ns: int) -> None:
        """The request is computed again: the time of this attempt moves to `lost_attempts`."""
        self.spent[_LOST] += sum(self.spent[_QUEUE + 1 : _LOST])
        self.spent[_QUEUE + 1 : _LOST] = [0] * (_LOST - _QUEUE - 1)
        self.unanswered(now_ns)

    def unanswered(self, now_ns: int) -> None:
        """No server will answer for the present leg: the rank that had the request has failed."""
        self.spent[_LOST] += now_ns - self.since_ns
        self.since_ns = now_ns


_COUNT: Final = len(COLUMNS)
_QUEUE: Final = COLUMNS.index(COORDINATOR_QUEUE)
_ON_THE_WAY: Final = COLUMNS.index(HAND_OVER)
_LOST: Final = COLUMNS.index(LOST_ATTEMPTS)
