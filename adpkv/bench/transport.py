"""Transport `mpi` against a bare isend/irecv of the same blocks, in the same two processes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from adpkv.bench.children import run_ranks
from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.transport_ranks import Asked, Sizes
from adpkv.config.units import size_text

__all__ = ["SIZES", "transport"]

KIB, MIB = 1 << 10, 1 << 20
SIZES = (Sizes(64 * KIB, 64), Sizes(MIB, 64), Sizes(64 * MIB, 1))

LEAST_RATIO = 0.8
"""Issue 2, Speed."""

BOUND_S = 120.0


def transport(*, sizes: Sequence[Sizes] = SIZES, rounds: int = 21) -> list[Figure]:
    """One figure per size of transfer."""
    asked = Asked(list(sizes), rounds)
    said = run_ranks(
        "adpkv.bench.transport_ranks",
        2,
        [msgspec.json.encode(asked).decode()],
        bound_s=BOUND_S,
    )
    rates = msgspec.convert(said, list[tuple[float, float]])
    return [
        figure(
            f"transport mpi, {size_text(one.block_bytes)} x {one.blocks}",
            ours,
            "GB/s",
            reference=bare,
            against="bare isend/irecv",
            target=Target("ratio", ">=", LEAST_RATIO),
            note=f"2 ranks, blocks apart, medians of {rounds} alternating rounds",
        )
        for one, (ours, bare) in zip(sizes, rates, strict=True)
    ]
