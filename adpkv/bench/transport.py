"""Each installed transport against its own bare library, in the same two processes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

import msgspec

from adpkv.bench.children import run_ranks
from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.transport_cells import Asked, Cell, Found
from adpkv.config.units import size_text
from adpkv.plugins import TRANSPORT

__all__ = ["CELLS", "QUICK_CELLS", "installed", "transport"]

KIB, MIB = 1 << 10, 1 << 20
CELLS: Final = tuple(
    Cell(block_bytes, blocks, scattered)
    for block_bytes, counts in {
        4 * KIB: (1, 64, 1024),
        64 * KIB: (1, 64, 1024),
        MIB: (1, 64, 256),
        4 * MIB: (1, 64),
    }.items()
    for blocks in counts
    for scattered in ((True, False) if blocks > 1 else (True,))
)
"""4 KiB to 4 MiB in a block, 1 to 1,024 of them."""

QUICK_CELLS: Final = (Cell(64 * KIB, 64), Cell(MIB, 64), Cell(4 * MIB, 1))
"""A few of them."""
LARGE: Final = Cell(MIB, 512)
"""So much is posted while iterations go on."""
BESIDE: Final = Cell(64 * KIB, 64)
IDLE: Final = 1_023
"""Sessions that are open beside a transfer."""

LEAST_RATIO: Final = 0.9
"""Of the bare library's rate, from `FROM_BYTES` per session on."""
FROM_BYTES: Final = MIB
MOST_HELD_S: Final = 2e-3
"""How long posting may hold up an iteration, at p99, on two cores."""
LEAST_BESIDE: Final = 0.9
"""Of the rate without idle sessions: less than this could be measured."""

LIBRARIES: Final = {
    "mpi": ("mpi4py",),
    "nixl": ("nixl_cu13", "nixl_cu12"),
    "ucx": ("ucxx",),
}
"""By transport: the modules of which it needs one."""

BOUND_S: Final = 300.0


def installed() -> list[str]:
    """Our transports whose libraries are here."""
    found = (name for name in TRANSPORT.ours if name in LIBRARIES)
    return [name for name in found if any(map(find_spec, LIBRARIES[name]))]


def transport(
    names: Sequence[str],
    *,
    cells: Sequence[Cell] = CELLS,
    large: Cell = LARGE,
    beside: Cell = BESIDE,
    rounds: int = 11,
) -> list[Figure]:
    """The figures of these transports: each cell; the largest hold-up; what idle sessions cost."""
    found = []
    for name in names:
        cells_found = _measured(name, cells, rounds)
        found += [
            _rate(name, cell, one, rounds) for cell, one in zip(cells, cells_found, strict=True)
        ]
        found.append(_hold_up(name, large, _measured(name, [large], max(3, rounds // 4))[0]))
        found.append(_idle(name, beside, rounds))
    return found


def _measured(name: str, cells: Sequence[Cell], rounds: int, idle: int = 0) -> list[Found]:
    asked = Asked(name, list(cells), rounds, idle)
    said = run_ranks(
        "adpkv.bench.transport_ranks",
        2,
        [msgspec.json.encode(asked).decode()],
        bound_s=BOUND_S,
    )
    return msgspec.convert(said, list[Found])


def _rate(name: str, cell: Cell, found: Found, rounds: int) -> Figure:
    bounded = cell.nbytes >= FROM_BYTES
    return figure(
        f"transport {name}, {_text(cell)}",
        found.ours,
        "GB/s",
        reference=found.bare,
        against=f"bare {name}",
        target=Target("ratio", ">=", LEAST_RATIO) if bounded else None,
        note=f"post {_us(found.post_s)} (bare {_us(found.bare_post_s)}), notice"
        f" {_us(found.notice_s)}, longest call {_us(found.held_most_s)}; a plain copy"
        f" {found.copied:.3g} GB/s; medians of {rounds} rounds in turns",
    )


def _hold_up(name: str, cell: Cell, found: Found) -> Figure:
    return figure(
        f"transport {name}, hold-up of an iteration by {size_text(cell.nbytes)}",
        found.held_p99_s * 1e3,
        "ms",
        target=Target("value", "<=", MOST_HELD_S * 1e3),
        note=f"p99 of the sender's calls, most {found.held_most_s * 1e3:.3g} ms; at"
        f" {found.ours:.3g} GB/s",
    )


def _idle(name: str, cell: Cell, rounds: int) -> Figure:
    alone, beside = (_measured(name, [cell], rounds, idle)[0] for idle in (0, IDLE))
    return figure(
        f"transport {name}, {_text(cell)}, {IDLE:,} idle sessions beside it",
        beside.ours,
        "GB/s",
        reference=alone.ours,
        against="alone",
        target=Target("ratio", ">=", LEAST_BESIDE),
        note=f"a bare transfer in the same runs: {beside.bare:.3g} beside them, {alone.bare:.3g}"
        " alone",
    )


def _text(cell: Cell) -> str:
    how = "" if cell.blocks == 1 else " scattered" if cell.scattered else " in order"
    return f"{size_text(cell.block_bytes)} x {cell.blocks}{how}"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.3g} µs" if abs(seconds) < 1e-3 else f"{seconds * 1e3:,.3g} ms"
