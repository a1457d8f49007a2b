"""All parts of one rank in one record, on which the phases work; and the rank's status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from adpkv.core.block_pool import BlockPool
from adpkv.core.failure_memory import MemoryLimits, Trust
from adpkv.core.group_limits import GroupLimits
from adpkv.core.illness import Illness
from adpkv.core.inbox_age import InboxAges
from adpkv.core.membership import Membership
from adpkv.core.ownership import SoleOwner
from adpkv.core.plan import FIRST_PLAN, Plan
from adpkv.core.rank_status import NO_LIMIT, RankStatus
from adpkv.core.report import FaultCount
from adpkv.core.responses import ResponseBuffer
from adpkv.core.router import LOOKED_AT, LOOKED_PAST, candidates
from adpkv.core.rules import Rules
from adpkv.core.stop import StopReason
from adpkv.core.topology import Instance
from adpkv.core.transceiver import Transceiver
from adpkv.core.values import RequestSpec
from adpkv.executor.leader import Leader
from adpkv.executor.messages import Admit, LeaderMessage, Release
from adpkv.executor.ports import Clock, Mailbox, Recorder, Signals
from adpkv.executor.sampling import OFF, Sampler
from adpkv.executor.serving import Serving
from adpkv.executor.transfers import Transfers
from adpkv.memory.port import Memory
from adpkv.model.port import Model
from adpkv.transport.port import Transport
from adpkv.transport.staged import StagedTransport

__all__ = ["Conduct", "Rank", "RankPorts", "Succession", "Timing", "status_of", "to_look_at"]


_ALL_ROOM: Final = (NO_LIMIT, NO_LIMIT, NO_LIMIT, ())
_FULL: Final = Trust.FULL


def status_of(rank: Rank, abandon_ns: int, group_input: Sequence[LeaderMessage]) -> RankStatus:
    """What a rank contributes to the next sync.

    Args:
        abandon_ns: from then on, a rank that is stopping does not wait for the coordinator's
            release any more.
        group_input: the broadcast on which the group decides in this sync, if it is there.
    """
    serving, transceiver, plan, limits = rank.serving, rank.transceiver, rank.plan, rank.limits
    book, failures, leader = transceiver.book, serving.failures, rank.leader
    in_flight, quarantined = book.in_flight, book.quarantined
    clock = rank.ports.clock
    now_ns = clock()
    work, tokens, requests, running = serving.load()
    blocks, seats, slots, peers = serving.room() if limits.late else _ALL_ROOM
    asked = limits.asks_cached or (limits.reuses and plan.waiting.count)
    # By place: with a name each, msgspec looks for the place of each of them.
    return RankStatus(
        work,
        True,  # able
        tokens,
        requests,
        running,
        blocks,
        seats,
        slots,
        peers,
        serving.turn,
        in_flight - quarantined,
        quarantined,
        transceiver.monitor.reasons,
        rank.proposal,
        not in_flight or now_ns >= transceiver.drain_deadline_ns,  # drained
        now_ns >= abandon_ns,  # overdue
        leader.expired(now_ns) if leader is not None else (),
        rank.owner.votes,
        _cached(rank, group_input, blocks) if asked else (),
        failures.trust(now_ns) if failures.pause_ns else _FULL,
        serving.owed(plan.rank_failure.asked) if plan.rank_failure is not None else (),
        rank.illness,
        rank.closing,
        book.reused,
        tuple(serving.pending_resource_release) if limits.recomputes else (),
    )


def _cached(
    rank: Rank, group_input: Sequence[LeaderMessage], free: int
) -> tuple[tuple[int, int, int, int], ...]:
    """What the rank has cached of the requests that the next plan may route: if the router asks for
    it, and of those that wait and do not fit into its `free` blocks without."""
    waiting = rank.plan.waiting
    if not rank.limits.asks_cached:
        return rank.serving.cached(candidates(waiting, (), LOOKED_PAST), free)
    new = (message.spec for message in group_input if isinstance(message, Admit))
    return rank.serving.cached(candidates(waiting, new, LOOKED_AT), -1)


def to_look_at(rank: Rank, plan: Plan) -> tuple[RequestSpec, ...]:
    """Those that wait by this plan of which the rank's status says what it has cached of them."""
    limits, waiting = rank.limits, plan.waiting
    if not limits.reuses or not waiting.count:
        return ()
    return waiting.foremost(LOOKED_AT if limits.asks_cached else LOOKED_PAST)


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a rank does instead of proposing to stop, as the coordinator can do better."""

    drains: bool = False
    """An unhealthy rank says so: its instance is taken out of service."""
    finishes: bool = False
    """On SIGTERM what is open is finished."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a rank waits for what. Nanoseconds."""

    busy_wait_ns: int
    """The longest wait of the group while transfers are in flight or blocks are to be released."""
    idle_wait_ns: int
    """The longest wait of the group otherwise."""
    drain_timeout_ns: int
    abandon_ns: int
    """How long a rank that stops waits for the coordinator's release; then it leaves without."""
    look_ns: int
    """The longest time between two checks of a rank while a transfer is in flight."""


@dataclass(frozen=True, slots=True)
class RankPorts:
    """How a rank reaches the outside."""

    clock: Clock
    mailbox: Mailbox
    transport: Transport
    model: Model
    recorder: Recorder
    signals: Signals
    memory: Memory
    staged: StagedTransport | None = None
    """The part of `transport` that packs and unpacks; None without staging."""
    sampler: Sampler = OFF
    """Writes down how the rank is over time."""


@dataclass(slots=True)
class Succession:
    """What a rank needs when another rank of its group fails."""

    membership: Membership
    """Which ranks of its group have not failed."""
    successor: Callable[[], Leader]
    """Makes the `Leader` for this rank if all ranks before it have failed."""
    shrinks: bool = False
    """The others of the group go on; else they stop."""
    release: Release | None = None
    """On a rank that does not lead: the release it has got, to broadcast if it becomes leader."""


@dataclass(slots=True)
class Rank:
    """All parts of one rank. A world assembles it; afterwards only the phases change it."""

    rank: int
    instance: Instance
    limits: GroupLimits
    timing: Timing
    ports: RankPorts
    pool: BlockPool
    transceiver: Transceiver
    responses: ResponseBuffer
    leader: Leader | None
    """On the rank that leads its group; None on the others."""
    succession: Succession
    inbox_ages: InboxAges
    """How long input stays unread."""
    owner: SoleOwner = field(default_factory=SoleOwner)
    serving: Serving = field(init=False)
    transfers: Transfers = field(init=False)
    """Set while the rank is assembled, as they are made from the fields above."""
    rules: Rules = field(default_factory=Rules)
    memory_limits: MemoryLimits = field(default_factory=MemoryLimits)
    """When its failures make it avoided."""
    fired: Callable[[], tuple[FaultCount, ...]] = tuple
    """Returns how often each injected fault has hit this rank so far."""
    plan: Plan = FIRST_PLAN
    iteration: int = 0
    proposal: StopReason | None = None
    """Why this rank proposes to stop; None while it does not."""
    conduct: Conduct = Conduct()
    """What it does where it would else propose to stop."""
    illness: Illness | None = None
    """That it was unhealthy for its grace, where an instance like that is drained; None if it is
    not, or healthy again."""
    was_ill: bool = False
    closing: StopReason | None = None
    """That it was asked to stop by a signal, where what is open is finished first."""

    @property
    def members(self) -> Sequence[int]:
        """The world ranks of its group that have not failed, in order; the first leads."""
        return self.succession.membership.living
