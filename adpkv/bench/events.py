"""Plain events a second: what a discrete-event loop of this Python does at best.

A heap of (time, number, action); each event plans its successor. SimPy does the same with its
`timeout`s and generators; it is measured where it happens to be installed, and is no dependency.
"""

from __future__ import annotations

import heapq
import importlib
from collections.abc import Callable
from typing import Any

from adpkv.bench.measuring import seconds

__all__ = ["heapq_rate", "simpy_rate"]


def heapq_rate(processes: int, rounds: int) -> float:
    """Events a second of `processes` clocks that each tick `rounds` times."""
    return processes * rounds / seconds(lambda: _ticks(processes, rounds))


def _ticks(processes: int, rounds: int) -> None:
    heap: list[tuple[int, int, Callable[[int], None], int]] = []
    number = processes
    now = 0

    def tick(left: int) -> None:
        nonlocal number
        if left:
            number += 1
            heapq.heappush(heap, (now + 10, number, tick, left - 1))

    for process in range(processes):
        heapq.heappush(heap, (0, process, tick, rounds - 1))
    while heap:
        now, _, action, left = heapq.heappop(heap)
        action(left)


def simpy_rate(processes: int, rounds: int) -> float | None:
    """The same with SimPy's timeouts; None where it is not installed."""
    try:
        simpy: Any = importlib.import_module("simpy")
    except ImportError:
        return None

    def run() -> None:
        environment = simpy.Environment()

        def process() -> Any:
            for _ in range(rounds):
                yield environment.timeout(10)

        for _ in range(processes):
            environment.process(process())
        environment.run()

    return processes * rounds / seconds(run)
