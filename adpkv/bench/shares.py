"""Where the time of a simulation goes: a sampler that notes, each few milliseconds of processor
time, which module of adpkv runs.

Sampling and not tracing: a tracing profiler makes small functions look several times dearer.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["PARTS", "part_of", "sampled"]

PERIOD_S: Final = 0.002

PARTS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("step-time sums", ("adpkv.worlds.virtual.stretch", "adpkv.model")),
    ("messages, links", ("adpkv.worlds.virtual.event_queue", "adpkv.worlds.virtual.mailbox",
                            "adpkv.transport")),
    ("dispatch and matching", ("adpkv.worlds",)),
    ("agree and route", ("adpkv.core.plan", "adpkv.core.router")),
    ("pool and ledger", ("adpkv.core.block_pool", "adpkv.core.content", "adpkv.memory")),
    ("coordinator, workload", ("adpkv.executor.coordinator", "adpkv.workload")),
    ("rank programs", ("adpkv.executor", "adpkv.core.request", "adpkv.core.scheduler",
                       "adpkv.core.responses")),
    ("sessions", ("adpkv.core",)),
    ("output files", ("adpkv.output",)),
)  # fmt: skip
"""Which modules are which part; the first that fits counts."""


def part_of(module: str) -> str:
    """The part that a module belongs to."""
    for part, prefixes in PARTS:
        if any(module == p or module.startswith(p + ".") for p in prefixes):
            return part
    return "the rest"


@contextmanager
def sampled() -> Iterator[Counter[str]]:
    """Counts samples by module while the block runs; main thread only."""
    found: Counter[str] = Counter()

    def look(_number: int, frame: FrameType | None) -> None:
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if module.startswith("adpkv.") and not module.startswith("adpkv.bench"):
                found[module] += 1
                return
            frame = frame.f_back

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, PERIOD_S, PERIOD_S)
    try:
        yield found
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
