"""Refuses what cannot fit into this machine's memory, with the figures, before it starts: a machine
that swaps, or a process that is killed for memory, gives no such explanation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from adpkv.control_groups import CGROUP_OF_SELF, CGROUPS, groups_above
from adpkv.errors import UsageError

__all__ = ["available_bytes", "refuse_what_cannot_fit", "size_text"]

MEMINFO: Final = Path("/proc/meminfo")

LIMITS: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""The files of control groups version 2, then of version 1: the limit, the usage, and the part of
the usage that the kernel gives back when needed (a key in `memory.stat`). "No limit" is the word
`max` in version 2 and a huge number in version 1."""


def refuse_what_cannot_fit(
    who: str, parts: Mapping[str, int], hint: str, available: int | None = None
) -> None:
    """Refuse what needs more than `available` bytes; None: more than this machine has.

    Args:
        who: what takes the memory, as the beginning of a sentence.
        parts: bytes by purpose.
        hint: what would fit instead.
        available: in bytes.

    Raises:
        UsageError: it does not fit; the message has what it takes, and what is free.
    """
    room = available_bytes() if available is None else available
    needed = sum(parts.values())
    if room is None or needed <= room:
        return
    told = ", ".join(f"{size_text(n)} for {what}" for what, n in parts.items() if n)
    raise UsageError(
        f"{who} takes at least {size_text(needed)} of memory ({told}),"
        f" and {size_text(room)} are free; {hint}"
    )


def available_bytes(
    meminfo: Path = MEMINFO, cgroups: Path = CGROUPS, of_self: Path = CGROUP_OF_SELF
) -> int | None:
    """How much memory this process can still get, in bytes: on the machine, and in the control
    groups above it. None if that is unknown."""
    found = [_meminfo(meminfo), *map(_left_in, groups_above("memory", cgroups, of_self))]
    return min((room for room in found if room is not None), default=None)


def _meminfo(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kib) * 1024
    except (OSError, StopIteration, IndexError, ValueError):
        return None


def _left_in(group: Path) -> int | None:
    """What one control group still grants, in bytes; None without a limit."""
    for limit, used, cached in LIMITS:
        with suppress(OSError, ValueError):
            most = int((group / limit).read_text())
            taken = int((group / used).read_text()) - _cached(group / "memory.stat", cached)
            return max(0, most - max(0, taken))
    return None


def _cached(stat: Path, key: str) -> int:
    with suppress(OSError, ValueError):
        for line in stat.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
    return 0


def size_text(count: int) -> str:
    """A number of bytes, for people."""
    if count >= 10**9:
        return f"{count / 1e9:,.1f} GB"
    return f"{count / 1e6:.{0 if count >= 10**8 else 1}f} MB"
