"""One rank: who it is, what it owns, and its doors to the world. What the phases work on.

What a rank says at sync, as of now: the one place where its parts become a `RankStatus`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adpkv.core.block_pool import BlockPool
from adpkv.core.inbox_age import InboxAges
from adpkv.core.membership import Membership
from adpkv.core.ownership import SoleOwner
from adpkv.core.plan import FIRST_PLAN, NO_STOP, GroupLimits, Plan, RankStatus
from adpkv.core.report import FaultCount
from adpkv.core.responses import ResponseBuffer
from adpkv.core.rules import Rules
from adpkv.core.topology import Instance
from adpkv.core.transceiver import Transceiver
from adpkv.executor.leader import Leader
from adpkv.executor.messages import Release
from adpkv.executor.ports import Clock, Mailbox, Recorder, Signals
from adpkv.executor.serving import Serving
from adpkv.executor.transfers import Transfers
from adpkv.memory.port import Memory
from adpkv.model.port import Model
from adpkv.transport.port import Transport

__all__ = ["Rank", "Timing", "status_of"]


def status_of(rank: Rank, abandon_ns: int) -> RankStatus:
    """From `abandon_ns` on, a rank that stops has waited too long for the coordinator's release."""
    serving, transceiver, rank_failure = rank.serving, rank.transceiver, rank.plan.rank_failure
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
        drained=transceiver.is_drained() or transceiver.is_overdue(now_ns),
        overdue=now_ns >= abandon_ns,
        expired=rank.leader.expired(now_ns) if rank.leader is not None else (),
        votes=serving.owner.votes,
        owed=serving.owed(rank_failure.asked) if rank_failure is not None else (),
    )


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a rank waits for what. Nanoseconds."""

    busy_wait_ns: int
    idle_wait_ns: int
    drain_timeout_ns: int
    abandon_ns: int
    """For the coordinator's release, from when it stops: then it leaves without."""
    look_ns: int
    """How far apart two looks of a rank may be while something is in flight, input or not."""


@dataclass(slots=True)
class Rank:
    """Everything of one rank, once, assembled by a world. Changed by the phases alone."""

    rank: int
    instance: Instance
    limits: GroupLimits
    timing: Timing
    clock: Clock
    mailbox: Mailbox
    transport: Transport
    model: Model
    recorder: Recorder
    signals: Signals
    memory: Memory
    pool: BlockPool
    transceiver: Transceiver
    responses: ResponseBuffer
    leader: Leader | None
    """On the rank that takes its instance's messages in; None elsewhere."""
    successor: Callable[[], Leader]
    """Makes the leader that this rank becomes when all before it have failed."""
    membership: Membership
    """Who of its group is left."""
    inbox_ages: InboxAges
    """How long what came in lies there before it is looked at."""
    owner: SoleOwner = field(default_factory=SoleOwner)
    serving: Serving = field(init=False)
    transfers: Transfers = field(init=False)
    """Put in as the rank is assembled: they are made of the fields above."""
    shrinks: bool = False
    """When a rank fails, the others of its group go on; else they stop."""
    rules: Rules = field(default_factory=Rules)
    fired: Callable[[], tuple[FaultCount, ...]] = tuple
    """How often each fault hit this rank so far."""
    plan: Plan = FIRST_PLAN
    iteration: int = 0
    release: Release | None = None
    """On a rank that does not lead: what it will tell its group if it comes to lead it."""
    proposal: int = NO_STOP
    """The exit code with which this rank proposes to stop."""
    detail: str = ""

    @property
    def members(self) -> Sequence[int]:
        """The world ranks of its group that are left, in order; the first leads."""
        return self.membership.living

    def propose(self, code: int, detail: str) -> None:
        """Propose to stop at the next sync; the first proposal of a rank stands."""
        if self.proposal == NO_STOP:
            self.proposal, self.detail = code, detail
