"""Does a simulation fit into this machine's memory? Refused beforehand, with the figure, where it
cannot: a machine that swaps, or a process that is killed for memory, tells nobody why.

What is counted is the least that a run keeps for certain: its ranks, the requests that come all at
once, the samples of those that end, and the instants of faults. What queues up because servers are
slow is not known here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from adpkv.config.fault_kinds import KINDS
from adpkv.config.workload import ClosedLoopConfig, PoissonConfig, ScriptConfig
from adpkv.errors import UsageError

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["available_bytes", "check_room", "least_bytes"]

RANK_BYTES: Final = 13_000
"""Of a rank that has served nothing: measured, 54.2 MB for 4,096 of them."""

OPEN_BYTES: Final = 850
"""Of a request that has come and has no answer: measured, 259 MB for 300,000 of them."""

SAMPLES_BYTES: Final = 120
"""Of a request that has ended: eight bytes in each of fifteen columns (`observe.requests`)."""

INSTANT_BYTES: Final = 350
"""Of a fault's hit at an instant, drawn before the run begins: measured, 15 MB for 42,000."""

MEMINFO: Final = Path("/proc/meminfo")
CGROUP: Final = Path("/sys/fs/cgroup")


def check_room(experiment: Experiment, available: int | None = None) -> None:
    """Refuse what cannot fit into so many bytes; None: into those of this machine.

    Raises:
        UsageError: it cannot; with what it takes, and of what.
    """
    least = least_bytes(experiment)
    room = available_bytes() if available is None else available
    if room is None or sum(least.values()) <= room:
        return
    parts = ", ".join(f"{_text(n)} for {what}" for what, n in least.items() if n)
    raise UsageError(
        f"{experiment.name}: the simulation takes at least {_text(sum(least.values()))} of memory"
        f" ({parts}), and {_text(room)} are free; fewer ranks or requests fit"
    )


def least_bytes(experiment: Experiment) -> dict[str, int]:
    """What a run keeps for certain, by what it is for."""
    workload = experiment.workload
    requests = at_once = 0
    match workload:
        case ScriptConfig():
            requests = sum(one.times for one in workload.requests)
            at_once = max((one.times for one in workload.requests if not one.every_ns), default=0)
        case ClosedLoopConfig():
            requests, at_once = workload.requests, min(workload.users, workload.requests)
        case PoissonConfig():
            requests = workload.requests
    ranks = experiment.topology.ranks
    instants = sum(
        int((fault.count or 1) * fault.probability) * len(fault.ranks or range(ranks))
        for fault in experiment.faults
        if KINDS[fault.kind].at_an_instant
    )
    return {
        f"{ranks:,} ranks": ranks * RANK_BYTES,
        f"{at_once:,} requests at once": at_once * OPEN_BYTES,
        f"the samples of {requests:,} requests": requests * SAMPLES_BYTES,
        "the instants of faults": instants * INSTANT_BYTES,
    }


def available_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """What this process can still have: of the machine, and of its container. None: unknown."""
    found = [_meminfo(meminfo), _left_in(cgroup)]
    return min((room for room in found if room is not None), default=None)


def _meminfo(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kib) * 1024
    except (OSError, StopIteration, IndexError, ValueError):
        return None


def _left_in(cgroup: Path) -> int | None:
    """Version 2, or 1; no limit is a word in the one and a huge number in the other."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most = int((cgroup / limit).read_text())
            return max(0, most - int((cgroup / used).read_text()))
        except (OSError, ValueError):
            continue
    return None


def _text(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 10**8 else f"{count / 1e6:,.1f} MB"
