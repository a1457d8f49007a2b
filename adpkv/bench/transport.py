"""Each installed transport against its own bare library, in the same two processes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

import msgspec

from adpkv.bench.children import run_ranks
from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.transport_cells import Asked, Cell, Found, Kind
from adpkv.config.units import size_text
from adpkv.errors import AdpkvError, UsageError
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
    for scattered in ((True, False) if blocks == 64 else (True,))
)
"""4 KiB to 4 MiB in a block, 1 to 1,024 of them; scattered, and 64 of them in order too."""

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
LEAST_RATIO_ON_DEVICES: Final = 0.95
FROM_BYTES_ON_DEVICES: Final = 64 * MIB
STAGED: Final = Cell(64 * KIB, 1024)
LEAST_RATIO_STAGED: Final = 7.0
"""Of the bare library's rate on devices, which has a descriptor for each block."""
LEAST_OF_COPY: Final = 0.4
"""Of one copy between the devices, staged."""
MOST_HELD_MS: Final = 2.0
"""How long posting may hold up an iteration, at p99, on two cores."""
MOST_HELD_ON_DEVICES_MS: Final = 0.3
LEAST_BESIDE: Final = 0.9
"""Of the rate without idle sessions: less than this could be measured."""

LIBRARIES: Final = {
    "mpi": ("mpi4py",),
    "nixl": ("nixl_cu13", "nixl_cu12"),
    "ucx": ("ucxx",),
}
"""By transport: the modules of which it needs one."""

BOUND_S: Final = 600.0


def installed() -> list[Kind]:
    """What can be measured here: our transports whose libraries are installed, in host memory and
    on devices, staged and not."""
    found = (name for name in TRANSPORT.ours if name in LIBRARIES)
    names = [name for name in found if any(map(find_spec, LIBRARIES[name]))]
    kinds = [Kind(name, staged=staged) for name in names for staged in (False, True)]
    if _has_devices():
        kinds += [Kind(name, "cuda", staged) for name in names for staged in (False, True)]
    # MPI moves no device's memory: it goes through pinned slots of the host.
    return [kind for kind in kinds if kind.staged or not kind.on_devices or kind.transport != "mpi"]


def _has_devices() -> bool:
    from adpkv.gpu.device import device_count

    try:
        return device_count() > 0
    except UsageError:
        return False


def transport(
    kinds: Sequence[Kind],
    *,
    cells: Sequence[Cell] = CELLS,
    large: Cell = LARGE,
    beside: Cell = BESIDE,
    rounds: int = 8,
) -> list[Figure]:
    """The figures of these kinds: each cell; the largest hold-up; what idle sessions cost."""
    found: list[Figure] = []
    for kind in kinds:
        try:
            found += _of_kind(kind, cells, large, beside, rounds)
        except AdpkvError as error:
            # The other kinds' figures took minutes: they are not lost for one.
            why = str(error).partition("\n")[2].strip() or str(error)
            found.append(Figure(f"transport {kind}", 0.0, "", met=False, note=f"failed: {why}"))
    return found


def _of_kind(
    kind: Kind, cells: Sequence[Cell], large: Cell, beside: Cell, rounds: int
) -> list[Figure]:
    found = []
    for cell, one in zip(cells, _measured(kind, cells, rounds), strict=True):
        found.append(_rate(kind, cell, one, rounds))
        if kind.staged and kind.on_devices and cell == STAGED:
            found.append(_of_copy(kind, cell, one))
    found.append(_hold_up(kind, large, _measured(kind, [large], _rounds(kind, rounds))[0]))
    if not kind.staged:
        found.append(_idle(kind, beside, rounds))
    return found


def _rounds(kind: Kind, rounds: int) -> int:
    """How many of the large transfer: on devices one takes 4 ms and few calls, on a host 0.4 s."""
    return 2 * rounds if kind.on_devices else max(3, rounds // 4)


def _measured(kind: Kind, cells: Sequence[Cell], rounds: int, idle: int = 0) -> list[Found]:
    asked = Asked(kind, list(cells), rounds, idle)
    said = run_ranks(
        "adpkv.bench.transport_ranks",
        2,
        [msgspec.json.encode(asked).decode()],
        bound_s=BOUND_S,
    )
    return msgspec.convert(said, list[Found])


def _target(kind: Kind, cell: Cell) -> Target | None:
    if kind.staged:
        bounded = kind.on_devices and kind.transport != "mpi" and cell == STAGED
        return Target("ratio", ">=", LEAST_RATIO_STAGED) if bounded else None
    if kind.on_devices:
        bounded = cell.nbytes >= FROM_BYTES_ON_DEVICES
        return Target("ratio", ">=", LEAST_RATIO_ON_DEVICES) if bounded else None
    return Target("ratio", ">=", LEAST_RATIO) if cell.nbytes >= FROM_BYTES else None


def _rate(kind: Kind, cell: Cell, found: Found, rounds: int) -> Figure:
    return figure(
        f"transport {kind}, {_text(cell)}",
        found.ours,
        "GB/s",
        reference=found.bare,
        against=f"bare {kind.transport}",
        target=_target(kind, cell),
        note=f"post {_us(found.post_s)} (bare {_us(found.bare_post_s)}), notice"
        f" {_us(found.notice_s)}, longest call {_us(found.held_most_s)} ({found.held_at});"
        f" {_copy(kind)} {found.copied:.3g} GB/s; the first of two {found.ours_first:.3g} (bare"
        f" {found.bare_first:.3g}); medians of {rounds} rounds in turns",
    )


def _of_copy(kind: Kind, cell: Cell, found: Found) -> Figure:
    return figure(
        f"transport {kind}, {_text(cell)}, beside one copy",
        found.ours,
        "GB/s",
        reference=found.copied,
        against=_copy(kind),
        target=Target("ratio", ">=", LEAST_OF_COPY),
    )


def _copy(kind: Kind) -> str:
    return "cudaMemcpyPeer" if kind.on_devices else "a plain copy"


def _hold_up(kind: Kind, cell: Cell, found: Found) -> Figure:
    most_ms = MOST_HELD_ON_DEVICES_MS if kind.on_devices else MOST_HELD_MS
    return figure(
        f"transport {kind}, hold-up of an iteration by {size_text(cell.nbytes)}",
        found.held_p99_s * 1e3,
        "ms",
        target=Target("value", "<=", most_ms),
        note=f"p99 of the sender's calls, most {found.held_most_s * 1e3:.3g} ms ({found.held_at});"
        f" at {found.ours:.3g} GB/s",
    )


def _idle(kind: Kind, cell: Cell, rounds: int) -> Figure:
    alone, beside = _measured(kind, [cell], 2 * rounds, IDLE)
    return figure(
        f"transport {kind}, {_text(cell)}, {IDLE:,} idle sessions beside it",
        beside.ours,
        "GB/s",
        reference=alone.ours,
        against="alone",
        target=Target("ratio", ">=", LEAST_BESIDE),
        note=f"a bare transfer in the same turns: {beside.bare:.3g} beside them, {alone.bare:.3g}"
        " alone",
    )


def _text(cell: Cell) -> str:
    how = "" if cell.blocks == 1 else " scattered" if cell.scattered else " in order"
    return f"{size_text(cell.block_bytes)} x {cell.blocks}{how}"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.3g} µs" if abs(seconds) < 1e-3 else f"{seconds * 1e3:,.3g} ms"
