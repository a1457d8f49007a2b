"""What is asked of the two ranks of `transport`, and what they find."""

from __future__ import annotations

import msgspec

__all__ = ["RECEIVER", "SENDER", "Asked", "Cell", "Found", "Kind"]

SENDER, RECEIVER = 0, 1


class Cell(msgspec.Struct, frozen=True):
    """One transfer: so many blocks of so many bytes, adjacent in both memories or scattered."""

    block_bytes: int
    blocks: int
    scattered: bool = True

    @property
    def nbytes(self) -> int:
        """Of all blocks."""
        return self.block_bytes * self.blocks


class Kind(msgspec.Struct, frozen=True):
    """Which transport, between which memories, with staging slots or without."""

    transport: str
    memory: str = "host"
    staged: bool = False

    @property
    def on_devices(self) -> bool:
        """Whether the memories are devices'."""
        return self.memory != "host"

    def __str__(self) -> str:
        staged = " staged" if self.staged else ""
        return f"{self.transport}{staged}{' on GPUs' if self.on_devices else ''}"


class Asked(msgspec.Struct, frozen=True):
    """What to move, and how often. In every second round `idle` sessions are open beside it, and
    never move: then the only cell is found twice, without them and beside them."""

    kind: Kind
    cells: list[Cell]
    rounds: int
    idle: int = 0


class Found(msgspec.Struct, frozen=True):
    """Of one cell. Rates in GB/s, times in seconds: medians of the rounds, but for the hold-up,
    which is over all calls of all rounds."""

    ours: float
    bare: float
    ours_first: float
    """Of the transfer before each, right after others that it had nothing to do with."""
    bare_first: float
    copied: float
    """A plain copy of as many blocks in the receiver's process."""
    post_s: float
    bare_post_s: float
    notice_s: float
    """From when the sender has seen its end to when the receiver has seen its own; below zero if
    the receiver was first."""
    held_p99_s: float
    held_most_s: float
    """How long one call of the sender took: posting and polling."""
    held_at: str
    """Which call took longest, of how many of its transfer."""
