"""What a rank says at sync, as of now: the one place where its parts become a `RankStatus`."""

from __future__ import annotations

from adpkv.core.plan import RankStatus
from adpkv.executor.rank import Rank

__all__ = ["status_of"]


def status_of(rank: Rank, abandon_ns: int) -> RankStatus:
    """From `abandon_ns` on, a rank that stops has waited too long for the coordinator's release."""
    serving, transceiver, loss = rank.serving, rank.transceiver, rank.plan.loss
    quarantined = len(transceiver.book.quarantine)
    now_ns = rank.clock()
    tokens, requests, running = serving.load()
    return RankStatus(
        work=serving.has_work(),
        tokens=tokens,
        requests=requests,
        running=running,
        in_transfer=transceiver.book.in_flight - quarantined,
        quarantined=quarantined,
        reasons=transceiver.monitor.reasons,
        stop=rank.proposal,
        detail=rank.detail,
        settled=transceiver.is_settled() or transceiver.is_overdue(now_ns),
        overdue=now_ns >= abandon_ns,
        expired=rank.leader.expired(now_ns) if rank.leader is not None else (),
        verdicts=serving.owner.verdicts,
        owed=serving.owed(loss.asked) if loss is not None else (),
    )
