"""What each rank is asked about itself: as it proposes to stop, and as it leaves.

Nothing here is looked at in an iteration: the times that matter are kept by whoever they happen to
(`core.health`, `core.session_book`, `core.inbox_ages`). What must hold is the *contract's* rule,
also where a run follows another one: that is how a policy is found out.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from adpkv.core import health
from adpkv.core.ids import NEVER
from adpkv.core.plan import NO_STOP
from adpkv.core.report import BlockCounts, RankReport
from adpkv.core.session import State
from adpkv.core.token_gaps import GapCounts
from adpkv.core.values import Violation
from adpkv.executor.collectives import CollectiveCounts
from adpkv.executor.rank import Rank
from adpkv.executor.serving import Serving
from adpkv.exit_codes import ExitCode, worst

__all__ = ["block_counts", "look_at_proposal", "rank_report", "report_now", "unhealthy_stop"]

LOOKS = 3
"""To see that something is in quarantine for too long; that the grace is over; and on the way
out."""


def unhealthy_stop(rank: Rank) -> tuple[int, str]:
    """What ill health past its grace ends a job with: code and detail. 75 asks for a restart, which
    serves what was cut off. Where the end is decided already, only leaving takes long: the code
    stays that of the decision."""
    plan, detail = rank.plan, f"unhealthy: {', '.join(rank.transceiver.monitor.reasons)}"
    if plan.stop != NO_STOP:
        return plan.stop, detail
    return (ExitCode.COMPLETED if plan.ending else ExitCode.UNHEALTHY), detail


def rank_report(rank: Rank, counts: Callable[[], CollectiveCounts]) -> RankReport:
    """A rank's counters and findings as it leaves, after a last look at everything."""
    now_ns = rank.clock()
    blocks = block_counts(rank.serving)
    if blocks.leaked:
        detail = f"{blocks.leaked} of {blocks.total} blocks belong to nobody"
        _violate(rank, "leak", detail)
    if rank.proposal == NO_STOP:
        _look_at_stays(rank, now_ns)
    _look_at_deadlines(rank)
    rank.inbox_ages.close(now_ns)
    rank.serving.memory.look_at_free()
    return report_now(rank, counts)


def report_now(rank: Rank, counts: Callable[[], CollectiveCounts]) -> RankReport:
    """The same in the middle of a run, without a last look: nothing has come to its end."""
    met = counts()
    monitor = rank.transceiver.monitor
    violations = tuple(rank.recorder.violations)
    stopped = [] if rank.plan.stop == NO_STOP else [rank.plan.stop]
    return RankReport(
        rank=rank.rank,
        instance=rank.instance.index,
        exit_code=worst([*stopped, *([ExitCode.VIOLATION] if violations else [])]),
        detail=rank.plan.detail,
        iterations=rank.iteration,
        collectives=met.collectives,
        collectives_ns=met.collectives_ns,
        mismatches=met.mismatches,
        transfers=rank.transceiver.book.counts(),
        blocks=block_counts(rank.serving),
        unhealthy_intervals=monitor.intervals,
        first_unhealthy_ns=monitor.first_unhealthy_ns,
        reasons=tuple(monitor.seen_reasons),
        violations=violations,
        left_ns=rank.clock(),
        met=met.met,
        trace=met.trace,
        faults=rank.fired(),
        work=rank.serving.meter.counts(),
        gaps=met.gaps.snapshot() if met.gaps is not None else GapCounts(),
    )


def block_counts(serving: Serving) -> BlockCounts:
    """The block equation as the pool sees it, with what belongs to nobody as `leaked`.

    A block in quarantine belongs to its pending request: kept, reported, never called leaked
    (contract 6.3).
    """
    counts = serving.pool.counts()
    owned: set[int] = set()
    for request in serving.requests.values():
        if request.lease is not None and request.lease.open:
            owned.update(request.lease.blocks)
    held = counts.active + counts.in_transfer + counts.quarantined
    return msgspec.structs.replace(counts, leaked=held - len(owned))


def look_at_proposal(rank: Rank, code: int, detail: str) -> None:
    """A rank proposes to stop for the first time: was it time, and had it cause?

    `shutdown_without_cause`: it says that it is ill, and by the contract it is not, or was not for
    the whole grace (4.2, 4.5). Before the first proposal a long stay in quarantine is held against
    the rank; afterwards it has done what it could.
    """
    now_ns = rank.clock()
    if code != ExitCode.UNHEALTHY:
        _look_at_stays(rank, now_ns)
        return
    since_ns, reasons = _unhealthy_since(rank, now_ns)
    grace_ns = rank.transceiver.monitor.grace_ns
    if now_ns - since_ns >= grace_ns:
        return
    seen = "nothing wrong"
    if reasons:
        seen = f"{', '.join(reasons)} for {(now_ns - since_ns) / 1e9:.3f} s"
    _violate(
        rank,
        "shutdown_without_cause",
        f"the rank says {detail!r}, the contract sees {seen}; the grace is {grace_ns / 1e9:g} s",
        _in_doubt(rank),
    )


def _in_doubt(rank: Rank) -> tuple[int, ...]:
    """The requests whose transfers are in quarantine, or else all that have one."""
    sessions = rank.transceiver.book.sessions
    doubtful = [i for i, session in sessions.items() if session.state is State.QUARANTINED]
    return tuple(doubtful or sessions)


def _unhealthy_since(rank: Rank, now_ns: int) -> tuple[int, tuple[str, ...]]:
    """Since when the contract's own rule has called this rank ill, and why; NEVER if it is well.

    The rank's monitor knows it exactly where it follows that rule. Else the reasons of now tell
    since when they have held, which is late only where one took over from another."""
    transceiver = rank.transceiver
    seen = transceiver.health.inputs()
    seen = msgspec.structs.replace(
        seen, moved_ns=max(seen.moved_ns, rank.transport.last_moved_ns())
    )
    reasons = health.unhealthy_reasons(now_ns, seen)
    if not reasons:
        return NEVER, ()
    since_ns = min(health.next_change_ns(seen, _others(reason)) for reason in reasons)
    if rank.rules.unhealthy_reasons is health.unhealthy_reasons:
        since_ns = min(since_ns, transceiver.monitor.unhealthy_since_ns)
    return since_ns, reasons


def _others(reason: str) -> tuple[str, ...]:
    """All reasons but one: so `next_change_ns` says when that one sets in."""
    return tuple(other for other in health.REASONS if other != reason)


def _look_at_stays(rank: Rank, now_ns: int) -> None:
    """`no_shutdown_with_cause`: an entry that stays in quarantine for longer than the progress
    deadline makes the rank ill for as long as it stays (4.2 b), so after the grace the rank had to
    propose shutdown. The slack is a look each for seeing it, proposing, and leaving."""
    transceiver = rank.transceiver
    quarantine = transceiver.book.quarantine
    stay_ns, session = quarantine.longest or (0, None)
    if len(quarantine) and now_ns - quarantine.oldest_ns() > stay_ns:
        stay_ns, session = now_ns - quarantine.oldest_ns(), quarantine.oldest()
    deadline_ns = transceiver.health.inputs().deadline_ns
    bound_ns = deadline_ns + transceiver.monitor.grace_ns
    slack_ns = rank.inbox_ages.bound_ns + rank.inbox_ages.forced_ns + LOOKS * rank.timing.look_ns
    if session is None or stay_ns <= bound_ns + slack_ns:
        return
    _violate(
        rank,
        "no_shutdown_with_cause",
        f"request {session[0]} was in quarantine for {stay_ns / 1e9:.3f} s, and the rank did not"
        f" propose shutdown; progress deadline and grace are {bound_ns / 1e9:g} s",
        (session[0],),
    )


def _look_at_deadlines(rank: Rank) -> None:
    """`early_deadline`: a transfer was given up that had less time than its deadline (3.1)."""
    for request, at_ns, transfer_ns in rank.transceiver.limits.early_deadlines:
        detail = f"request {request} timed out after {transfer_ns / 1e9:.3f} s of transfer"
        rank.recorder.violation(Violation("early_deadline", rank.rank, at_ns, detail, (request,)))


def _violate(rank: Rank, kind: str, detail: str, requests: tuple[int, ...] = ()) -> None:
    rank.recorder.violation(Violation(kind, rank.rank, rank.clock(), detail, requests))
