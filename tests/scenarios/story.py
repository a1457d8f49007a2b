"""Tells a story of `docs/contract.md` in the virtual world, both ways through quiet time, and holds
every story to the same rules: see `tell`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from adpkv.core.record import RequestRecord
from adpkv.core.report import RankReport
from adpkv.executor.collectives import Operation
from adpkv.workload.port import Arrival
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation
from tests.scenarios.script import MS, Script, Traced, arrival, setting
from tests.worlds.virtual.running import Event, Ran, differences, problems, run

__all__ = ["MS", "Script", "Told", "Traced", "arrival", "setting", "tell"]

LONGEST_WAIT_NS = 5_000 * MS
"""No rank stands still for longer, whatever goes wrong on the wire."""


def _traced(experiment: Any, topology: Any, rank: int, **ports: Any) -> Any:
    return Traced(build_rank(experiment, topology, rank, **ports), ports["clock"])


@dataclass
class Told:
    """A story that was told to its end."""

    ran: Ran

    @property
    def job(self) -> Simulation:
        return self.ran.job

    @property
    def summary(self) -> dict[str, Any]:
        return self.ran.summary

    @property
    def outcomes(self) -> list[str]:
        """What each client was told, by request."""
        ordered = sorted(self.ran.records, key=lambda record: record.request_id)
        return [str(record.outcome) for record in ordered]

    def record(self, request: int) -> RequestRecord:
        return next(r for r in self.ran.records if r.request_id == request)

    def events(self, request: int, rank: int | None = None) -> list[Event]:
        """What happened about a request, on one rank or anywhere."""
        return [e for e in self.ran.events if e[3] == request and rank in (None, e[1])]

    def kinds(self, request: int, rank: int) -> list[str]:
        return [str(event[2]) for event in self.events(request, rank)]

    def at_ns(self, kind: str, request: int, rank: int) -> int:
        """When something first happened about a request on a rank."""
        return next(e[0] for e in self.events(request, rank) if e[2] == kind)

    def operations(self, rank: int) -> list[tuple[int, Operation]]:
        return self.job.programs[rank].operations  # type: ignore[attr-defined, no-any-return]

    def flushes(self, ranks: Sequence[int]) -> list[list[list[int]]]:
        """What the ranks of a group brought to each flush where anybody brought anything: the
        requests, rank by rank."""
        brought = [
            [
                [response.request_id for response in operation.payload]  # type: ignore[attr-defined]
                for _, operation in self.operations(rank)
                if operation.site == "flush"
            ]
            for rank in ranks
        ]
        rounds = [list(lists) for lists in zip(*brought, strict=True)]
        return [lists for lists in rounds if any(lists)]

    def report(self, rank: int) -> RankReport:
        return self.ran.reports[rank]


def tell(
    data: dict[str, Any],
    arrivals: Sequence[Arrival] | None = None,
    *,
    in_doubt: Sequence[int] = (),
    prepare: Callable[[Simulation], None] | None = None,
) -> Told:
    """Run the story with and without jumping, and return the latter.

    Holds it to what passing means: both runs are the same; no violation; one terminal response per
    request; all blocks back but for those of the ranks `in_doubt`, which are reported; the ranks of
    a group have the same trace of collectives; no rank waits for long.
    """
    jumped, stepped = (
        run(
            data,
            jump=jump,
            workload=Script(arrivals) if arrivals is not None else None,
            prepare=prepare,
            assemble=_traced,
        )
        for jump in (True, False)
    )
    assert differences(jumped, stepped) == []
    told = Told(stepped)
    assert problems(stepped) == []
    for report in stepped.reports:
        back = report.blocks.free + report.blocks.cached
        kept = report.blocks.quarantined > 0
        assert kept == (report.rank in in_doubt), f"rank {report.rank}: {report.blocks}"
        assert back + report.blocks.quarantined == report.blocks.total
    for instance in told.job.topology.instances:
        _have_the_same_trace(told, instance.members)
    return told


def _have_the_same_trace(told: Told, ranks: Sequence[int]) -> None:
    traces = [
        [(at_ns, m.kind, m.site, m.iteration) for at_ns, m in told.operations(rank)]
        for rank in ranks
    ]
    assert all(trace == traces[0] for trace in traces)
    times = [at_ns for at_ns, *_ in traces[0]]
    longest_ns = max(later - earlier for earlier, later in pairwise(times))
    assert longest_ns <= LONGEST_WAIT_NS, f"a rank stood still for {longest_ns / 1e9} s"
