"""The model port: what a forward step over a batch costs, and running one for real."""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["Batch", "Model", "rounded_ns"]


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What one rank brings to a step.

    `prefill_tokens` prompt tokens are computed, attending to `prefill_pairs` (token, earlier token)
    pairs in all; `sequences` decode one token each, over `context_tokens` tokens of KV together.
    All zero is a dummy.
    """

    prefill_tokens: int = 0
    prefill_pairs: int = 0
    sequences: int = 0
    context_tokens: int = 0


def rounded_ns(ticks: int, ticks_per_ns: int) -> int:
    """What a step of so many ticks takes: the nearest whole nanosecond, the later of two."""
    return (ticks + ticks_per_ns // 2) // ticks_per_ns


class Model(Protocol):
    """A rank's part of the forward step."""

    ticks_per_ns: int
    """The grain of its costs: a whole number of ticks is a nanosecond."""

    def line(self, batch: Batch) -> tuple[int, int]:
        """(base, slope) in ticks: the k-th of a row of decode steps over this batch, which grows by
        one token per sequence and step, takes base + k * slope, rounded once to nanoseconds
        (`rounded_ns`). Integers, so that the sum of n steps is exact."""
        ...

    def run(self, batch: Batch) -> None:
        """Do this rank's part of one step in real time."""
        ...
