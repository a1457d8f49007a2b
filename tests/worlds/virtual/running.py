"""Running one experiment in the virtual world, and everything that must hold of any run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from adpkv.config import parse
from adpkv.core.record import RequestRecord
from adpkv.core.report import RankReport
from adpkv.core.token_gaps import GapCounts
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome
from adpkv.executor.phases import Phases
from adpkv.workload.port import Workload
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.virtual.run import Simulation

__all__ = ["Event", "Ran", "Timeline", "differences", "examine", "problems", "run"]

MOST_EVENTS = 2_000_000
"""Of a small experiment's event queue: one that has more will never end."""

UNEQUAL_BY_DESIGN = ("wall_s", "iterations", "collectives")
"""What jumping changes in a summary."""

Event = tuple[int, int, str, int, dict[str, object]]
"""(at_ns, rank, kind, request, detail), as told."""


class Timeline:
    """An `EventSink` that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(
        self, at_ns: int, rank: int, kind: str, request_id: int, detail: dict[str, object]
    ) -> None:
        self.events.append((at_ns, rank, kind, request_id, detail))

    def flush(self) -> None: ...

    def close(self) -> None: ...


class EagerPhases(Phases):
    """Looks at everything in each iteration, whether something is due or not: what it finds that
    the real one does not, somebody waited for in vain."""

    def observe(self) -> None:
        self._wake_ns = 0
        super().observe()


EAGER = partial(build_rank, phases=EagerPhases)


@dataclass
class Ran:
    """One run, over."""

    job: Simulation
    events: list[Event]
    records: list[RequestRecord]
    reports: list[RankReport]
    summary: dict[str, Any]

    @property
    def bytes(self) -> bytes:
        """What `events.jsonl` would hold."""
        return msgspec.json.encode(self.events)

    @property
    def exit_code(self) -> int:
        code = self.summary["exit_code"]
        assert isinstance(code, int)
        return code


def run(
    data: dict[str, Any],
    *,
    jump: bool = True,
    workload: Workload | None = None,
    prepare: Callable[[Simulation], None] | None = None,
    assemble: Callable[..., Any] = build_rank,
    most_events: int = MOST_EVENTS,
) -> Ran:
    """Run an experiment to its end; `prepare` may change the job before it begins."""
    timeline = Timeline()
    job = Simulation(
        parse(data, data["name"]),
        jump=jump,
        events=timeline,
        workload=workload,
        assemble=assemble,
    )
    if prepare is not None:
        prepare(job)
    left = most_events

    def watch() -> None:
        nonlocal left
        left -= 1
        assert left, f"{data['name']} does not end: at {job.world.queue.now / 1e9} s"

    reports = job.run(watch)
    summary: dict[str, Any] = job.summary(reports, job.tally, 0.0)
    return Ran(job, timeline.events, job.records, reports, summary)


def differences(one: Ran, other: Ran) -> list[str]:
    """What two runs of the same experiment must have in common, and have not."""
    found = []
    if one.bytes != other.bytes:
        pairs = zip(one.events, other.events, strict=False)
        first = next((f"{a} against {b}" for a, b in pairs if a != b), "one is longer")
        found.append(f"events differ ({len(one.events)}, {len(other.events)}): {first}")
    if one.records != other.records:
        first = next(
            (
                f"{a} against {b}"
                for a, b in zip(one.records, other.records, strict=False)
                if a != b
            ),
            "one has more",
        )
        found.append(f"records differ: {first}")
    for key, value in one.summary.items():
        if key not in UNEQUAL_BY_DESIGN and value != other.summary[key]:
            found.append(f"summary.{key} differs: {value} against {other.summary[key]}")
    return found


def problems(ran: Ran) -> list[str]:
    """What the oracles have to say; empty for a run that kept the contract."""
    found = [f"violation: {violation}" for violation in ran.summary["violations"]]
    lost = ran.summary["lost"]
    if ran.exit_code not in ((5,) if _ends_with(ran, lost) else (0, 75, 130, 143)):
        found.append(f"exit code {ran.exit_code}")
    counts = Counter(record.request_id for record in ran.records)
    if sorted(counts) != list(range(ran.job.coordinator.submitted)):
        found.append("not every request has an answer")
    if any(count > 1 for count in counts.values()):
        found.append("a request has two records")
    if ran.exit_code == 0 and len(ran.records) != ran.job.coordinator.total:
        found.append("the workload was not served to its end")
    found += [f"{record}" for record in ran.records if record.responses > 1]
    found += [
        f"columns: {record}"
        for record in ran.records
        if min(record.columns()) < 0 or sum(record.columns()) != record.ended_ns - record.arrival_ns
    ]
    found += _wrong_gaps(ran)
    for report in ran.reports:
        found += _wrong_in(report)
    for rank, program in enumerate(ran.job.programs):
        if rank not in lost:
            found += _left_behind(program.phases.rank)
    return found


def _ends_with(ran: Ran, lost: list[int]) -> bool:
    """Is this the end of the job? Of one that goes on without its failed, when the coordinator
    heard that it has no instance of a kind any more."""
    if ran.job.experiment.on_rank_failure == "shutdown":
        return bool(lost)
    topology = ran.job.topology
    told = [e[4] for e in ran.events if e[2] == "rank_lost" and e[4]["leader"] == -1]
    gone = {topology.instance_of(detail["lost"]) for detail in told}
    return any(gone >= set(topology.of_kind(kind)) for kind in Kind)


def _wrong_gaps(ran: Ran) -> list[str]:
    """Where every request was completed, the gaps between tokens fill the time in which they
    decoded; of a clock that jumps, only their number is known."""
    faults = {fault.kind for fault in ran.job.experiment.faults}
    completed = all(record.outcome is Outcome.COMPLETED for record in ran.records)
    if "sigkill" in faults or not completed:
        return []
    gaps = GapCounts.together(report.gaps for report in ran.reports)
    count = sum(record.tokens - 1 for record in ran.records)
    decoded_ns = sum(record.decode_queue_ns + record.decode_ns for record in ran.records)
    found = [f"{gaps.count} gaps, not {count}"] if gaps.count != count else []
    if "skew" not in faults and gaps.total_ns != decoded_ns:
        found.append(f"gaps of {gaps.total_ns} ns in {decoded_ns} ns of decode")
    return found


def _wrong_in(report: RankReport) -> list[str]:
    blocks, transfers, staging = report.blocks, report.transfers, report.staging
    parts = (blocks.free, blocks.cached, blocks.active, blocks.in_transfer, blocks.quarantined)
    found = []
    if sum(parts) != blocks.total:
        found.append("the block equation does not hold")
    if blocks.leaked or blocks.active or blocks.in_transfer:
        found.append("blocks are held after the end")
    if staging is not None:
        if blocks.quarantined:
            found.append("blocks are quarantined, although no peer touches any")
        if staging.quarantined != transfers.quarantined_now:
            found.append(f"quarantined slots and transfers do not agree: {staging}")
        if staging.free + staging.quarantined != staging.total:
            found.append(f"slots are held after the end: {staging}")
    elif bool(blocks.quarantined) != bool(transfers.quarantined_now):
        found.append("quarantined blocks and transfers do not agree")
    return [f"rank {report.rank}: {text}: {blocks} {transfers}" for text in found]


def _left_behind(rank: Any) -> list[str]:
    """Load, lists and slots that nobody is behind any more."""
    serving, book = rank.serving, rank.transceiver.book
    rank.serving.pool.check_integrity()
    found = []
    if serving.open_tokens or serving.open_requests:
        found.append(f"open load {serving.open_tokens} tokens, {serving.open_requests} requests")
    if serving.waiting or serving.has_work() or len(rank.responses):
        found.append("something waits or runs")
    if set(serving.requests) != set(serving.pending_resource_release):
        found.append(f"requests {sorted(serving.requests)} were not let go")
    if len(serving.pending_resource_release) != book.in_flight:
        found.append(f"{book.in_flight} in flight, {serving.pending_resource_release} pending")
    if len(book.quarantine) != book.in_flight:
        found.append(f"{book.in_flight} in flight, {len(book.quarantine)} quarantined")
    return [f"rank {rank.rank}: {text}" for text in found]


def examine(data: dict[str, Any], *, eager: bool = True) -> list[str]:
    """Run an experiment with and without jumping, and looking always; what is wrong with a run or
    between two."""
    try:
        jumped = run(data)
        stepped = run(data, jump=False)
        looked = run(data, jump=False, assemble=EAGER) if eager else stepped
    except Exception as error:  # the seed must be told, whatever it was
        return [f"{type(error).__name__}: {error}"]
    found = differences(jumped, stepped) + problems(jumped)
    return found or [f"looking always: {text}" for text in differences(jumped, looked)]
