"""Checks of one rank against the contract when it proposes to stop and when it leaves; its report.

Nothing here runs in an iteration: `core.health`, `core.session_book` and `core.inbox_age` keep the
times that are needed. The checks always use the contract's rules, also in a run under a historical
policy; so they report what the policy does wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from adpkv.core import health
from adpkv.core.gap_counts import GapCounts
from adpkv.core.ids import NEVER
from adpkv.core.report import BlockCounts, RankReport, StagingCounts
from adpkv.core.session import State
from adpkv.core.stop import StopReason
from adpkv.core.values import Violation
from adpkv.executor.collectives import CollectiveCounts
from adpkv.executor.rank import Rank
from adpkv.executor.serving import Serving
from adpkv.exit_codes import ExitCode, worst

__all__ = ["block_counts", "check_proposal", "rank_report", "report_now", "unhealthy_stop"]

MOST_CHECKS: Final = 3
"""How many checks a rank may need, one after the other: to see that a session is in quarantine for
too long, to see that the grace period is over, and to leave."""


def unhealthy_stop(rank: Rank) -> StopReason:
    """Why a rank proposes to stop once its grace period is over.

    `UNHEALTHY` asks for a restart, which can serve the requests that were cut off. If the group is
    ending already, only leaving takes long: the code that was decided stays.
    """
    plan, reasons = rank.plan, rank.transceiver.monitor.reasons
    code = ExitCode.COMPLETED if plan.ending else ExitCode.UNHEALTHY
    reason = StopReason(code, f"unhealthy: {', '.join(reasons)}", reasons)
    return reason if plan.stop is None else reason.with_code(plan.stop.code)


def rank_report(rank: Rank, counts: Callable[[], CollectiveCounts]) -> RankReport:
    """A rank's report when it leaves, after its last checks. New violations are recorded."""
    now_ns = rank.ports.clock()
    blocks = block_counts(rank.serving)
    if blocks.leaked:
        belong = "belongs" if blocks.leaked == 1 else "belong"
        detail = f"{blocks.leaked} of {blocks.total} blocks {belong} to nobody"
        _violate(rank, "leak", detail)
    if rank.proposal is None and not rank.was_ill:
        _check_stays(rank, now_ns)
    _check_deadlines(rank)
    rank.inbox_ages.close(now_ns)
    rank.serving.memory.look_at_free()
    return report_now(rank, counts)


def report_now(rank: Rank, counts: Callable[[], CollectiveCounts]) -> RankReport:
    """A rank's report in the middle of a run, without the checks that only hold at the end."""
    made = counts()
    monitor = rank.transceiver.monitor
    violations = tuple(rank.ports.recorder.violations)
    stopped = [] if rank.plan.stop is None else [rank.plan.stop.code]
    return RankReport(
        rank=rank.rank,
        instance=rank.instance.index,
        exit_code=worst([*stopped, *([ExitCode.VIOLATION] if violations else [])]),
        stop=rank.plan.stop,
        iterations=rank.iteration,
        collectives=made.collectives,
        collectives_ns=made.collectives_ns,
        mismatches=made.mismatches,
        transfers=rank.transceiver.book.counts(),
        blocks=block_counts(rank.serving),
        unhealthy_intervals=monitor.intervals,
        first_unhealthy_ns=monitor.first_unhealthy_ns,
        reasons=tuple(monitor.seen_reasons),
        violations=violations,
        left_ns=rank.ports.clock(),
        trace_length=made.trace_length,
        trace=made.trace,
        faults=rank.fired(),
        work=rank.serving.meter.counts(),
        gaps=made.gaps.snapshot() if made.gaps is not None else GapCounts(),
        staging=_staging_counts(rank),
        avoidance=rank.serving.failures.counts(rank.ports.clock()),
    )


def _staging_counts(rank: Rank) -> StagingCounts | None:
    if rank.serving.staged is None:
        return None
    transceiver = rank.transceiver
    total, free = transceiver.slot_counts()
    return StagingCounts(total, free, len(transceiver.book.quarantine))


def block_counts(serving: Serving) -> BlockCounts:
    """The pool's block counts, with blocks in use that no request has as `leaked`.

    A quarantined block still belongs to its request, so it is never counted as leaked (contract
    6.3).
    """
    counts = serving.pool.counts()
    # The dummy's is there until the rank leaves, which one that is stuck or lost never does.
    owned: set[int] = set(serving.leases.dummy_blocks)
    for request in serving.requests.values():
        for lease in (request.lease, request.pins):
            if lease is not None and lease.open:
                owned.update(lease.blocks)
    held = counts.active + counts.in_transfer + counts.quarantined
    return msgspec.structs.replace(counts, leaked=held - len(owned))


def check_proposal(rank: Rank, proposal: StopReason) -> None:
    """Check a rank's first proposal to stop: was it due, and was it due earlier?

    `shutdown_without_cause`: the rank proposes to stop because it is unhealthy, but by the contract
    it is not, or not for the whole grace period (4.2, 4.5).
    `no_shutdown_with_cause`: it stops for another reason, though it was unhealthy for too long
    before. After its first proposal a rank is not checked for this any more.
    """
    now_ns = rank.ports.clock()
    if proposal.code != ExitCode.UNHEALTHY:
        if not rank.was_ill:
            _check_stays(rank, now_ns)
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
        f"the rank says {proposal.detail!r}, the contract sees {seen};"
        f" the grace is {grace_ns / 1e9:g} s",
        _in_doubt(rank),
    )


def _in_doubt(rank: Rank) -> tuple[int, ...]:
    """The requests whose sessions are in quarantine; if there are none, all with a session."""
    sessions = rank.transceiver.book.sessions
    doubtful = [i for i, session in sessions.items() if session.state is State.QUARANTINED]
    return tuple(doubtful or sessions)


def _unhealthy_since(rank: Rank, now_ns: int) -> tuple[int, tuple[str, ...]]:
    """(since when, why) this rank is unhealthy by the contract's rule; `NEVER` if it is healthy.

    If the run follows that rule, the rank's monitor knows the time exactly. Otherwise it follows
    from the present reasons; it is too late only if one reason has replaced another.
    """
    transceiver = rank.transceiver
    inputs = transceiver.health.inputs(rank.ports.transport.last_moved_ns())
    reasons = health.unhealthy_reasons(now_ns, inputs)
    if not reasons:
        return NEVER, ()
    since_ns = min(health.next_change_ns(inputs, _others(reason)) for reason in reasons)
    if rank.rules.unhealthy_reasons is health.unhealthy_reasons:
        since_ns = min(since_ns, transceiver.monitor.unhealthy_since_ns)
    return since_ns, reasons


def _others(reason: str) -> tuple[str, ...]:
    """All reasons but one, so that `next_change_ns` says when that one began to hold."""
    return tuple(other for other in health.REASONS if other != reason)


def _check_stays(rank: Rank, now_ns: int) -> None:
    """`no_shutdown_with_cause`: a session was in quarantine for too long without a proposal.

    A session that is in quarantine for longer than the progress deadline makes the rank unhealthy
    for as long as it stays (contract 4.2 b). So after the grace period the rank had to propose
    shutdown. The slack allows for the time between checks (`MOST_CHECKS`) and for faults.
    """
    transceiver = rank.transceiver
    quarantine = transceiver.book.quarantine
    stay_ns, session = quarantine.longest or (0, None)
    if len(quarantine) and now_ns - quarantine.oldest_ns() > stay_ns:
        stay_ns, session = now_ns - quarantine.oldest_ns(), quarantine.oldest()
    deadline_ns = transceiver.health.inputs().deadline_ns
    bound_ns = deadline_ns + transceiver.monitor.grace_ns
    ages = rank.inbox_ages
    slack_ns = ages.bound_ns + ages.forced_ns + MOST_CHECKS * rank.timing.look_ns
    if session is None or stay_ns <= bound_ns + slack_ns:
        return
    _violate(
        rank,
        "no_shutdown_with_cause",
        f"request {session[0]} was in quarantine for {stay_ns / 1e9:.3f} s, and the rank did not"
        f" propose shutdown; progress deadline and grace are {bound_ns / 1e9:g} s",
        (session[0],),
    )


def _check_deadlines(rank: Rank) -> None:
    """`early_deadline`: a transfer timed out before its deadline (contract 3.1)."""
    for request, at_ns, transfer_ns in rank.transceiver.limits.early_deadlines:
        detail = f"request {request} timed out after {transfer_ns / 1e9:.3f} s of transfer"
        rank.ports.recorder.violation(
            Violation("early_deadline", rank.rank, at_ns, detail, (request,))
        )


def _violate(rank: Rank, kind: str, detail: str, requests: tuple[int, ...] = ()) -> None:
    rank.ports.recorder.violation(Violation(kind, rank.rank, rank.ports.clock(), detail, requests))
