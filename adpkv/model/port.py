"""The model port: what a forward step over a batch costs, and running one for real."""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["Batch", "Model", "rounded_ns"]


class Batch(msgspec.Struct, frozen=True, gc=False):
    """One rank's part of a step.

    `prefill_tokens` prompt tokens are computed, with `prefill_pairs` (token, attended token) pairs
    in all. `sequences` requests decode one token each, and read `context_tokens` KV tokens in all.
    If all are zero, it is a dummy batch.
    """

    prefill_tokens: int = 0
    prefill_pairs: int = 0
    sequences: int = 0
    context_tokens: int = 0


def rounded_ns(ticks: int, ticks_per_ns: int) -> int:
    """The time of a step of `ticks` ticks: the nearest whole nanosecond; a half is rounded up."""
    return (ticks + ticks_per_ns // 2) // ticks_per_ns


class Model(Protocol):
    """A rank's part of the forward step."""

    ticks_per_ns: int
    """How many ticks are one nanosecond; the unit of `line`."""

    def line(self, batch: Batch) -> tuple[int, int]:
        """The cost of steps over this batch: (base, slope), integers in ticks.

        The k-th step in a row, from 0, takes base + k * slope ticks, rounded once to nanoseconds
        (`rounded_ns`). In a row of decode steps each sequence grows by one token per step. The
        values are integers so that the sum of n steps is exact.
        """
        ...

    def run(self, batch: Batch) -> None:
        """Do this rank's part of one step for real, and return when it is done. Under MPI only."""
        ...
