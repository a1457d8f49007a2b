"""Everything that must hold of any run that follows the contract: what the ranks' own checks say,
and what can only be seen of a run that is over.

What a rank cannot do about a lie of the machine is no business of theirs (`variation.LIES`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from adpkv.core.ids import NEVER
from adpkv.core.record import RequestRecord
from adpkv.core.report import RankReport
from adpkv.core.token_gaps import together
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome, Violation
from adpkv.exit_codes import ExitCode
from adpkv.exploration.admitted import wrongly_admitted
from adpkv.exploration.bound import waited_bound
from adpkv.exploration.owners import owner_of_doubt
from adpkv.output.summary import Ending, ending_of
from adpkv.worlds.virtual.run import Simulation

__all__ = ["EXIT_CODE", "Ended", "Wrong", "ending_of_job", "problems"]

CODES: Final = (ExitCode.COMPLETED, ExitCode.UNHEALTHY, ExitCode.SIGINT, ExitCode.SIGTERM)
"""With which a run may end that kept the contract."""
LOST_CODES: Final = (ExitCode.RANK_LOST,)
"""And one that lost a rank, where that ends the job."""

ANSWERED: Final = frozenset({Outcome.COMPLETED, Outcome.REFUSED})
"""The outcomes of who came after all was healed: admission may refuse also a healthy job's, and
whether it had to is asked of each (`admitted`)."""

EXIT_CODE: Final = "exit_code_"
"""The kind of a wrong exit code begins so."""

NS_PER_S: Final = 1e9

Event = tuple[int, int, str, int, dict[str, Any]]
"""(at_ns, rank, kind, request, detail)"""


@dataclass(frozen=True, slots=True)
class Ended:
    """One run that has come to its end."""

    job: Simulation
    events: Sequence[Event]
    records: Sequence[RequestRecord]
    reports: Sequence[RankReport]
    ending: Ending


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that should not be. `kind` is what it is, without any number of this run."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return self.detail


def ending_of_job(
    job: Simulation, records: Sequence[RequestRecord], reports: Sequence[RankReport]
) -> Ending:
    """As the run's summary would have it, without measuring anything: that would take a twentieth
    of the run's time."""
    answered = job.coordinator.total == job.coordinator.submitted
    served = answered and all(record.outcome is not Outcome.FAILED for record in records)
    violations = job.violations(reports)
    return ending_of(job.experiment, reports, served=served, violations=violations)


def problems(ran: Ended, healed_ns: int = NEVER) -> list[Wrong]:
    """What the oracles say of a run; empty for one that kept the contract. From `healed_ns` on
    nothing disturbs it."""
    code, lost, violations = ran.ending
    found = [Wrong(v.kind, _said(v)) for v in violations]
    if code not in (LOST_CODES if _ends_with(ran, lost) else CODES):
        found.append(Wrong(f"{EXIT_CODE}{int(code)}", f"exit code {code}"))
    found += _unanswered(ran, code)
    found += [Wrong("columns", f"columns: {r}") for r in ran.records if _uneven(r)]
    found += _wrong_gaps(ran)
    for report in ran.reports:
        found += _wrong_in(report)
    for rank, program in enumerate(ran.job.programs):
        if rank not in lost:
            found += _left_behind(program.phases.rank)
    if healed_ns < NEVER and code == ExitCode.COMPLETED:
        found += _not_recovered(ran, healed_ns)
    return found + _unserved(ran, lost)


def _said(violation: Violation) -> str:
    rank = violation.rank
    who = f"rank {rank}" if rank >= 0 else "the coordinator"
    return f"{violation.detail}; on {who} after {violation.at_ns / NS_PER_S:.6f} s"


def _uneven(record: RequestRecord) -> bool:
    columns = record.columns()
    return min(columns) < 0 or sum(columns) != record.ended_ns - record.arrival_ns


def _unanswered(ran: Ended, code: int) -> list[Wrong]:
    counts = Counter(record.request_id for record in ran.records)
    found = []
    if sorted(counts) != list(range(ran.job.coordinator.submitted)):
        found.append(Wrong("no_record", "not every request has an answer"))
    if any(count > 1 for count in counts.values()):
        found.append(Wrong("two_records", "a request has two records"))
    if code == ExitCode.COMPLETED and len(ran.records) != ran.job.coordinator.total:
        found.append(Wrong("not_served", "the workload was not served to its end"))
    return found + [Wrong("two_responses", f"{r}") for r in ran.records if r.responses > 1]


def _unserved(ran: Ended, lost: Sequence[int]) -> list[Wrong]:
    """What was kept from being served, though nobody failed it."""
    names = {record.request_id: record.client_id for record in ran.records}
    refused = wrongly_admitted(ran.job.experiment, names, ran.events)
    replicated = ran.job.experiment.topology.replicated
    waited = [] if replicated else waited_bound(ran.events, lost)
    found = [("wrong_admission", text) for text in refused]
    return [Wrong(*one) for one in (*found, *(("waited_bound", text) for text in waited))]


def _not_recovered(ran: Ended, healed_ns: int) -> list[Wrong]:
    """Liveness: who came after all was healed is served, or refused by admission, and nothing is in
    doubt any more. Not of a job that went on without an instance: it would have ended else, and
    been started again."""
    if ran.job.coordinator.outages.every:
        return []
    valid = [r for r in ran.records if r.arrival_ns >= healed_ns]
    found = [
        Wrong("not_recovered", f"came after all was healed, and ended so: {r}")
        for r in valid
        if r.outcome not in ANSWERED
    ]
    for report in ran.reports:
        if report.transfers.quarantined_now:
            owner = owner_of_doubt(ran.job, report.rank)
            text = f"rank {report.rank}: in doubt for ever: {owner}; {report.transfers}"
            found.append(Wrong("still_quarantined", text))
    return found


def _ends_with(ran: Ended, lost: list[int]) -> bool:
    """Is this the end of the job? Of one that goes on without its failed, when the coordinator
    heard that it has no instance of a kind any more."""
    if not lost or ran.job.experiment.on_rank_failure == "shutdown":
        return bool(lost)
    topology = ran.job.topology
    told = [e[4] for e in ran.events if e[2] == "rank_lost" and e[4]["leader"] == -1]
    gone = {topology.instance_of(detail["lost"]) for detail in told}
    return any(gone >= set(topology.of_kind(kind)) for kind in Kind)


def _wrong_gaps(ran: Ended) -> list[Wrong]:
    """Where every request was completed, the gaps between tokens fill the time in which they
    decoded; of a clock that jumps, only their number is known."""
    if any(record.outcome is not Outcome.COMPLETED for record in ran.records):
        return []
    faults = {fault.kind for fault in ran.job.experiment.faults}
    if "sigkill" in faults or any(record.recomputed for record in ran.records):
        return []  # the tokens of earlier attempts were generated too
    gaps = together(report.gaps for report in ran.reports)
    count = sum(max(record.tokens - 1, 0) for record in ran.records)
    decoded_ns = sum(record.decode_queue_ns + record.decode_ns for record in ran.records)
    if gaps.count != count:
        return [Wrong("gaps", f"{gaps.count} gaps, not {count}")]
    if "skew" not in faults and gaps.total_ns != decoded_ns:
        return [Wrong("gaps", f"gaps of {gaps.total_ns} ns in {decoded_ns} ns of decode")]
    return []


def _wrong_in(report: RankReport) -> list[Wrong]:
    blocks, transfers, staging = report.blocks, report.transfers, report.staging
    parts = (blocks.free, blocks.cached, blocks.active, blocks.in_transfer, blocks.quarantined)
    found = []
    if sum(parts) != blocks.total:
        found.append(("block_equation", "the block equation does not hold"))
    if blocks.leaked or blocks.active or blocks.in_transfer:
        found.append(("held_blocks", "blocks are held after the end"))
    if staging is not None:
        if blocks.quarantined:
            text = "blocks are quarantined, although no peer touches any"
            found.append(("held_blocks", text))
        if staging.quarantined != transfers.quarantined_now:
            text = f"quarantined slots and transfers do not agree: {staging}"
            found.append(("held_slots", text))
        if staging.free + staging.quarantined != staging.total:
            found.append(("held_slots", f"slots are held after the end: {staging}"))
    elif bool(blocks.quarantined) != bool(transfers.quarantined_now):
        text = "quarantined blocks and transfers do not agree"
        found.append(("quarantine_count", text))
    where = f"{blocks} {transfers}"
    return [Wrong(kind, f"rank {report.rank}: {text}: {where}") for kind, text in found]


def _left_behind(rank: Any) -> list[Wrong]:
    """Load, lists and slots that nobody is behind any more."""
    serving, book = rank.serving, rank.transceiver.book
    serving.pool.check_integrity()
    found = []
    if serving.open_tokens or serving.open_requests:
        load = f"open load {serving.open_tokens} tokens, {serving.open_requests} requests"
        found.append(("open_load", load))
    if serving.waiting or serving.has_work() or len(rank.responses):
        found.append(("work_left", "something waits or runs"))
    if set(serving.requests) != set(serving.pending_resource_release):
        text = f"requests {sorted(serving.requests)} were not let go"
        found.append(("requests_left", text))
    if len(serving.pending_resource_release) != book.in_flight:
        text = f"{book.in_flight} in flight, {len(serving.pending_resource_release)} pending"
        found.append(("pending_left", text))
    if len(book.quarantine) != book.in_flight:
        text = f"{book.in_flight} in flight, {len(book.quarantine)} quarantined"
        found.append(("pending_left", text))
    return [Wrong(kind, f"rank {rank.rank}: {text}") for kind, text in found]
