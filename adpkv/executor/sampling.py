"""When a rank writes down how it is: often enough to draw, and seldom enough to cost nothing.

A rank looks as it begins an iteration. Lines are `FIRST_NS` apart at first, and later a fixed share
of the time since the run began, so their number grows with the logarithm of its length: no setting,
no bound to choose, and a drawing of the whole run is equally fine at any length. With many ranks
the share is larger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from adpkv.core.ids import NEVER
from adpkv.core.sample import RankSample

if TYPE_CHECKING:
    from adpkv.executor.ports import Clock
    from adpkv.executor.rank import Rank

__all__ = ["OFF", "Sampler"]

FIRST_NS: Final = 10_000_000
"""The time between the first lines of a rank."""

MOST_PER_RUN: Final = 100
LEAST_PER_RUN: Final = 8
"""A line comes after this share of the time so far: one part of so many."""

FEW_RANKS: Final = 40
"""Up to so many ranks have `MOST_PER_RUN`."""


class Sampler:
    """One rank's. `clock` is the world's, the same as of its events; without `write` it is off."""

    __slots__ = ("_clock", "_write", "due_ns", "parts")

    def __init__(
        self, ranks: int = 1, clock: Clock | None = None, write: Writer | None = None
    ) -> None:
        self._clock, self._write = clock, write
        self.parts = max(LEAST_PER_RUN, min(MOST_PER_RUN, FEW_RANKS * MOST_PER_RUN // ranks))
        self.due_ns = NEVER if write is None else 0
        """When the next line is due, on the rank's own clock."""

    def take(self, rank: Rank, now_ns: int) -> None:
        """Write a line; `now_ns` is the rank's own clock, which may be wrong."""
        share_ns = now_ns // self.parts
        self.due_ns = now_ns + (share_ns if share_ns > FIRST_NS else FIRST_NS)
        self.last(rank)

    def last(self, rank: Rank) -> None:
        """The same outside of the order, as it leaves or as its run is broken off."""
        write, clock = self._write, self._clock
        if write is not None and clock is not None:
            write(_sample(rank, clock()))


OFF: Final = Sampler()
"""Of a run without events. It never has anything to do, so all ranks may share it."""

Writer = Callable[[RankSample], None]
"""Keeps a line, or writes it."""


def _sample(rank: Rank, at_ns: int) -> RankSample:
    serving, transceiver = rank.serving, rank.transceiver
    blocks, work = serving.pool.counts(), serving.meter.counts()
    doubtful = len(transceiver.book.quarantine)
    # By place: with a name each, msgspec looks for the place of each of them.
    return RankSample(
        at_ns,
        rank.rank,
        blocks.free,
        blocks.cached,
        blocks.active,
        blocks.in_transfer,
        blocks.quarantined,
        serving.open_requests,
        serving.running(),
        transceiver.book.in_flight - doubtful,
        doubtful,
        not transceiver.monitor.reasons,
        work.steps,
        work.step_ns,
        work.own_ns,
        work.tokens,
    )
