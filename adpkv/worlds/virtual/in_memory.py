"""`simulate_in_memory`: a simulation without side effects, for a program that uses adpkv as a
library."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from adpkv.config import Experiment
from adpkv.core.event_lines import EventLine, detail_of
from adpkv.core.record import RequestRecord
from adpkv.core.sample import RankSample
from adpkv.errors import RankLostError, StuckError
from adpkv.executor.loop import RankProgram
from adpkv.output import BrokenOff, EventSink, NullEventLog
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.custom_ports import OURS, Ports
from adpkv.worlds.virtual.memory_check import check_memory
from adpkv.worlds.virtual.run import Simulation
from adpkv.worlds.virtual.signals import WATCH_EVERY, Progress, watch

__all__ = ["InMemory", "simulate_in_memory"]


class InMemory(NamedTuple):
    """The result of a simulation that has written no files; `error` if it was broken off."""

    summary: dict[str, object]
    requests: list[RequestRecord]
    events: list[tuple[int, int, str, int, dict[str, Any]]]
    samples: list[RankSample]
    error: StuckError | RankLostError | None = None


def simulate_in_memory(
    experiment: Experiment,
    *,
    jump: bool = True,
    on_progress: Progress | None = None,
    assemble: Callable[..., RankProgram] = build_rank,
    ports: Ports = OURS,
) -> InMemory:
    """Simulate an experiment without side effects: no file, no signal handler, no global setting.

    Raises:
        UsageError: it does not fit into memory, or the workload cannot be read.
    """
    check_memory(experiment)
    kept, began_s = Kept(), time.perf_counter()
    events: EventSink = kept if experiment.observe.events else NullEventLog()
    samples: list[RankSample] = []
    job = Simulation(
        experiment,
        jump=jump,
        events=events,
        on_sample=samples.append if experiment.observe.events else None,
        assemble=assemble,
        ports=ports,
    )

    def ended(reports: list[Any], broken_off: BrokenOff | None = None) -> dict[str, object]:
        return job.summary(reports, job.tally, time.perf_counter() - began_s, broken_off)

    try:
        reports = job.run(watch(job, on_progress), WATCH_EVERY)
    except (StuckError, RankLostError) as error:
        broken_off = BrokenOff.by(error, job.coordinator.total - job.coordinator.done)
        summary = ended(job.reports_now(), broken_off)
        return InMemory(summary, job.records, kept.events, samples, error)
    if on_progress is not None:
        on_progress(*job.progress())
    return InMemory(ended(reports), job.records, kept.events, samples)


class Kept:
    """An `EventSink` that keeps the events in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int, str, int, dict[str, Any]]] = []

    def write(
        self, at_ns: int, rank: int, kind: str, request_id: int, detail: dict[str, object]
    ) -> None:
        """Keep one event."""
        self.events.append((at_ns, rank, kind, request_id, detail))

    def add(self, line: EventLine) -> None:
        """The same, of a line."""
        self.events.append((line.at_ns, line.rank, line.kind, line.request, detail_of(line)))

    def flush(self) -> None:
        """Nothing is pending."""

    def close(self) -> None:
        """Nothing is pending."""
