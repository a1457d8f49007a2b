"""Tells a story of `docs/contract.md` in the virtual world, both ways through quiet time, and holds
every story to the same rules: see `tell`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from adpkv.core.ids import NEVER
from adpkv.core.record import RequestRecord
from adpkv.core.report import RankReport
from adpkv.executor.loop import RankProgram
from adpkv.executor.meetings import Meeting
from adpkv.workload.port import Arrival
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation
from tests.worlds.virtual.running import Event, Ran, differences, problems, run

__all__ = ["MS", "Script", "Told", "Traced", "arrival", "setting", "tell"]

MS = 1_000_000

LONGEST_WAIT_NS = 5_000 * MS
"""No rank stands still for longer, whatever goes wrong on the wire."""


def setting(name: str, context: int, generation: int, **sections: Any) -> dict[str, Any]:
    """An experiment with one instance of each kind, whose steps take whole milliseconds."""
    data: dict[str, Any] = {
        "name": name,
        "topology": {"context": {"ranks": context}, "generation": {"ranks": generation}},
        "kv_cache": {"block_tokens": 16, "blocks": 64, "reuse": False},
        "model": {
            "step_base": "5ms",
            "per_prefill_token": "0s",
            "per_prefill_pair": "0s",
            "per_sequence": "0s",
            "per_context_token": "0s",
        },
        # The requests are a script's; this stands for them where an experiment must have some.
        "workload": {
            "kind": "closed_loop",
            "users": 1,
            "requests": 1,
            "prompt_tokens": {"min": 1, "max": 1},
            "output_tokens": {"min": 1, "max": 1},
        },
    }
    return data | sections


def arrival(
    at_ms: int, prompt: int, output: int, *, wanted: int | None = None, cancel_ms: int = -1
) -> Arrival:
    """A request; `wanted` is the rank that it insists on, in both groups."""
    cancel_ns = cancel_ms * MS if cancel_ms >= 0 else -1
    return Arrival(at_ms * MS, prompt, output, (), cancel_ns, wanted)


class Script:
    """A workload that was written down: implements `Workload`."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self.total = len(arrivals)
        self._left = sorted(arrivals, key=lambda a: a.at_ns)

    def due_ns(self) -> int:
        return self._left[0].at_ns if self._left else NEVER

    def take(self) -> Arrival:
        return self._left.pop(0)

    def ended(self, now_ns: int) -> None: ...


class Traced:
    """A rank program of which each meeting is noted as it is awaited."""

    def __init__(self, program: RankProgram, clock: Callable[[], int]) -> None:
        self.phases = program.phases
        self.meetings: list[tuple[int, Meeting]] = []
        self._program = program
        self._clock = clock

    async def run(self) -> Any:
        program, result = self._program.run(), None
        while True:
            try:
                meeting = program.send(result)
            except StopIteration as end:
                return end.value
            self.meetings.append((self._clock(), meeting))
            result = await meeting


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

    def meetings(self, rank: int) -> list[tuple[int, Meeting]]:
        return self.job.programs[rank].meetings  # type: ignore[attr-defined, no-any-return]

    def flushes(self, ranks: Sequence[int]) -> list[list[list[int]]]:
        """What the ranks of a group brought to each flush where anybody brought anything: the
        requests, rank by rank."""
        brought = [
            [
                [response.request_id for response in meeting.payload]  # type: ignore[attr-defined]
                for _, meeting in self.meetings(rank)
                if meeting.site == "flush"
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
        [(at_ns, m.kind, m.site, m.iteration) for at_ns, m in told.meetings(rank)] for rank in ranks
    ]
    assert all(trace == traces[0] for trace in traces)
    times = [at_ns for at_ns, *_ in traces[0]]
    longest_ns = max(later - earlier for earlier, later in pairwise(times))
    assert longest_ns <= LONGEST_WAIT_NS, f"a rank stood still for {longest_ns / 1e9} s"
