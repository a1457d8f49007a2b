"""What a rank does about ill health that lasts, and about a signal: it proposes to stop, or tells
the coordinator, which can serve on without its instance, or finish what is open first."""

from __future__ import annotations

from collections.abc import Callable

from adpkv.core.illness import Illness
from adpkv.core.stop import StopReason
from adpkv.executor.audit import check_proposal, unhealthy_stop
from adpkv.executor.rank import Rank
from adpkv.exit_codes import ExitCode

__all__ = ["asked_by_signal", "unhealthy_too_long"]

Propose = Callable[[StopReason], None]


def asked_by_signal(rank: Rank, code: int, propose: Propose) -> None:
    """A signal asks to stop, with this exit code. Only SIGTERM leaves time to finish: who presses
    Ctrl-C, or closes the terminal, looks on."""
    reason = StopReason(code, "asked to stop by a signal")
    if rank.conduct.finishes and code == ExitCode.SIGTERM:
        rank.closing = rank.closing or reason
    else:
        propose(reason)


def unhealthy_too_long(rank: Rank, propose: Propose) -> None:
    """The rank's grace is over, or was: propose to stop, or tell that the rank is ill, and when it
    is so no more. A group that ends anyway has nothing to gain by being drained."""
    reasons = rank.transceiver.monitor.reasons
    if not reasons:
        rank.illness = None
    elif not rank.conduct.drains or rank.plan.ending or rank.plan.stop is not None:
        propose(unhealthy_stop(rank))
    else:
        if rank.illness is None:
            check_proposal(rank, unhealthy_stop(rank))
            rank.was_ill = True
        rank.illness = Illness(unhealthy_stop(rank), rank.transceiver.stuck_peers())
