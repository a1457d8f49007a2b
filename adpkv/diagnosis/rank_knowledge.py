"""What only the rank itself knows, read from its objects when its job got stuck.

It only reads, and only plain Python values: under MPI the watchdog's thread calls it while the
rank's own thread may be in the middle of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from adpkv.core.session import Session, State
from adpkv.core.values import Outcome, Response
from adpkv.diagnosis.evidence import Pins
from adpkv.executor.collectives import Operation, Pause, Wait
from adpkv.executor.rank import Rank

__all__ = ["NOTHING_KNOWN", "RankKnowledge", "local"]

ONLY_TRANSFERS, ONLY_MESSAGES = "poll", "queue"
"""Kinds of `Pause` in which a rank waits alone, for only one sort of input
(`adpkv.field_policies`)."""

WEIGHTY: Final = (
    Outcome.FAILED,
    Outcome.TIMED_OUT,
    Outcome.CANCELLED,
    Outcome.COMPLETED,
    Outcome.PREFILLED,
)


class RankKnowledge(msgspec.Struct, frozen=True):
    """One rank's part of the evidence; the fields are those of `evidence.RankState`."""

    values: dict[str, int | str | bool] = {}
    pins: Pins = Pins()
    peers: tuple[int, ...] = ()
    messages: bool = False


NOTHING_KNOWN: Final = RankKnowledge()


def local(rank: Rank, op: Operation | None, digest: Callable[[Any], int]) -> RankKnowledge:
    """What a rank that awaits `op` knows; `digest` makes a number of a plan."""
    sessions = list(rank.transceiver.book.sessions.values())
    staged = _staged(rank, op)
    counts = rank.serving.pool.counts()
    held = counts.active + counts.in_transfer + counts.quarantined
    pins = Pins(
        in_flight=_requests(s for s in sessions if s.state.is_exposed and not _in_doubt(s)),
        quarantined=_requests(s for s in sessions if _in_doubt(s)),
        staged=tuple(sorted(response.request_id for response in staged)),
        blocks=max(held - 1, 0),
    )
    waits = isinstance(op, Wait | Pause)
    kind = "" if op is None else op.kind
    # About these sessions the peer may still send a message.
    open_ = [s for s in sessions if not s.state.is_over and s.state is not State.WAITING]
    peers = {s.peer for s in open_ if s.peer >= 0}
    return RankKnowledge(
        values=_values(rank, staged, pins, digest),
        pins=pins,
        peers=tuple(sorted(peers)) if waits and kind != ONLY_MESSAGES else (),
        messages=waits and rank.leader is not None and kind != ONLY_TRANSFERS,
    )


def _values(
    rank: Rank, staged: list[Response], pins: Pins, digest: Callable[[Any], int]
) -> dict[str, int | str | bool]:
    """The most telling first: what makes a rank act, then what it merely has."""
    serving, transceiver = rank.serving, rank.transceiver
    counts, ended = serving.pool.counts(), transceiver.book.counts()
    values: dict[str, int | str | bool] = {
        f"staged, {outcome.replace('_', ' ')}": sum(r.outcome is outcome for r in staged)
        for outcome in WEIGHTY
    }
    lacking = _lacking(rank, counts.free + counts.cached)
    values |= {
        "proposes to stop": "no" if rank.proposal is None else f"with {rank.proposal.code}",
        "finished transfers not taken in": len(transceiver.pending_polls),
        "next request fits": "none waits" if lacking is None else "no" if lacking else "yes",
        "blocks that it lacks": lacking or 0,
        "transfers in flight": len(pins.in_flight),
        "transfers in quarantine": len(pins.quarantined),
        "requests not yet released": len(serving.pending_resource_release),
        "unhealthy": ", ".join(transceiver.monitor.reasons) or "no",
        "has its dummy": serving.leases.has_dummy,
        "plan": f"{digest(rank.plan):08x}",
        "free blocks": counts.free,
        "cached blocks": counts.cached,
        "votes not agreed": len(serving.owner.votes),
        "requests waiting": len(serving.waiting),
        "requests running": serving.running(),
        "transfers failed so far": ended.failed,
        "transfers timed out so far": ended.timed_out,
        "transfers cancelled so far": ended.cancelled,
        "transfers completed so far": ended.completed,
    }
    return values


def _lacking(rank: Rank, free: int) -> int | None:
    """How many blocks are missing for the next request; None if no request waits."""
    waiting = rank.serving.waiting
    if not waiting:
        return None
    return max(rank.serving.limits.blocks_of(waiting[0].spec) - free, 0)


def _staged(rank: Rank, op: Operation | None) -> list[Response]:
    """The responses that wait for the flush, and those that the rank has put into the gather in
    which it is."""
    brought = getattr(op, "payload", None)
    taken = [r for r in brought if isinstance(r, Response)] if isinstance(brought, tuple) else []
    return [*taken, *rank.responses.staged]


def _in_doubt(session: Session) -> bool:
    return session.state is State.QUARANTINED


def _requests(sessions: Iterable[Session]) -> tuple[int, ...]:
    return tuple(sorted(int(session.session_id[0]) for session in sessions))
