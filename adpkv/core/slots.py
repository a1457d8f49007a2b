"""How many transfers and blocks may be exposed at once, in all and per peer (contract 4.3).

A session holds its slot until it is proven that no peer touches its blocks, so also while it is in
quarantine. So one stuck peer can never put more than its share of transfers into quarantine.

With staging a slot also is a place: a part of the rank's staging area that belongs to this session
alone (contract 2.6), known by its number.
"""

from __future__ import annotations

from dataclasses import dataclass

from adpkv.core.ids import SessionId
from adpkv.core.rank_status import NO_LIMIT
from adpkv.core.session import Session
from adpkv.heaps import heappop, heappush

__all__ = ["SlotLimits", "SlotQueue"]

Room = tuple[int, tuple[tuple[int, int, int], ...]]
"""(sessions in all, (peer, transfers, blocks) of each peer with which there are some)."""


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """In-flight limits of one rank: transfers in all, transfers and blocks per peer.

    With staging there are no more transfers in flight than `staging` slots, and no limit of blocks
    applies: a peer touches slots, not blocks. 0: no staging.
    """

    total: int
    per_peer: int
    blocks_per_peer: int
    staging: int = 0


class SlotQueue:
    """Sessions that wait for a slot, first come, first served for each peer.

    A peer that has its share in flight does not delay the others (#13824: 128 transfers behind one
    slot). Costs O(1) per session while no limit is reached; when a slot is freed O(waiting peers),
    and a move of the sessions that wait for the same peer.
    """

    def __init__(self, limits: SlotLimits) -> None:
        self._limits = limits
        self._total = min(limits.total, limits.staging or limits.total)
        self._per_peer = limits.per_peer
        self._blocks_per_peer = NO_LIMIT if limits.staging else limits.blocks_per_peer
        self._free = list(range(limits.staging))
        """A heap of the free staging slots: the lowest is given out first, as its bytes may still
        be in a cache. And memory that was never needed is never touched."""
        self._numbers: dict[SessionId, int] = {}
        """The staging slots of the sessions that have one."""
        self._in_use = 0
        self._held: dict[int, list[int]] = {}
        self.waiting: dict[int, list[Session]] = {}
        """By peer: the sessions that have no slot yet. Read only."""
        self._room: Room | None = None
        """The last result of `room`, until something changes."""

    def wait(self, session: Session) -> None:
        """Add a session that wants a slot for a transfer with `session.peer`."""
        self._room = None
        queue = self.waiting.get(session.peer)
        if queue is None:
            self.waiting[session.peer] = [session]
        else:
            queue.append(session)

    def leave(self, session: Session) -> bool:
        """Remove a session; returns whether it was waiting. O(waiting sessions of its peer)."""
        queue = self.waiting.get(session.peer)
        if queue is None or session not in queue:
            return False
        self._room = None
        queue.remove(session)
        if not queue:
            del self.waiting[session.peer]
        return True

    def admit(self) -> list[Session]:
        """Give slots to as many waiting sessions as the limits allow, the peers taking turns.
        Returns these sessions."""
        admitted: list[Session] = []
        if self._in_use >= self._total:
            return admitted
        for peer, queue in [*self.waiting.items()]:
            before = len(admitted)
            for session in queue:
                if self._in_use >= self._total or not self._take(peer, session):
                    break
                admitted.append(session)
            count = len(admitted) - before
            if count == len(queue):
                del self.waiting[peer]
            elif count:
                # To the end, so that another peer gets the next free slot. Only a peer that got one
                # moves: a call that gives none must change nothing, or the number of calls would
                # affect the result.
                del self.waiting[peer], queue[:count]
                self.waiting[peer] = queue
            if self._in_use >= self._total:
                break
        return admitted

    def _take(self, peer: int, session: Session) -> bool:
        """Give the session a slot; False if its peer has its share in flight."""
        held, blocks = self._held.get(peer), len(session.blocks)
        count, taken = (1, blocks) if held is None else (held[0] + 1, held[1] + blocks)
        if count > self._per_peer or taken > self._blocks_per_peer:
            return False
        self._room = None
        if held is None:
            self._held[peer] = [count, taken]
        else:
            held[0], held[1] = count, taken
        self._in_use += 1
        if self._limits.staging:
            self._numbers[session.session_id] = heappop(self._free)
        return True

    def give_back(self, session: Session) -> None:
        """Free the slot of a session whose blocks no peer touches any more."""
        self._room = None
        held = self._held[session.peer]
        held[0] -= 1
        held[1] -= len(session.blocks)
        if not held[0]:
            del self._held[session.peer]
        self._in_use -= 1
        if self._limits.staging:
            heappush(self._free, self._numbers.pop(session.session_id))

    def number(self, session: Session) -> int:
        """The staging slot of a session that has a slot; -1 without staging."""
        return self._numbers.get(session.session_id, -1)

    def room(self) -> Room:
        """(sessions that could have a slot now, (peer, transfers, blocks) that could be begun with
        each peer with which there are some). Those that wait for a slot count as if they had it."""
        if self._room is None:
            self._room = self._counted()
        return self._room

    def _counted(self) -> Room:
        limits = self._limits
        if not self.waiting:
            none, most, blocks = bool(limits.staging), limits.per_peer, limits.blocks_per_peer
            peers = sorted(self._held) if len(self._held) > 1 else self._held
            held = [
                (peer, most - count, NO_LIMIT if none else blocks - taken)
                for peer in peers
                for count, taken in (self._held[peer],)
            ]
            return self._total - self._in_use, tuple(held)
        wait = sum(len(queue) for queue in self.waiting.values())
        shares = []
        for peer in sorted({*self._held, *self.waiting}):
            count, blocks = self._held.get(peer, (0, 0))
            for session in self.waiting.get(peer, ()):
                count, blocks = count + 1, blocks + len(session.blocks)
            left = NO_LIMIT if limits.staging else limits.blocks_per_peer - blocks
            shares.append((peer, limits.per_peer - count, left))
        return self._total - self._in_use - wait, tuple(shares)

    def numbers(self) -> tuple[int, int]:
        """How many staging slots there are, and how many of them no session has."""
        return self._limits.staging, len(self._free)
