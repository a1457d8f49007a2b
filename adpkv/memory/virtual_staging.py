"""The staging slots of the virtual world: a ledger of who may touch them, and of what is in them.

Instead of bytes each block holds the content key of the KV that is in it. A key goes the way that
bytes would go: from a block of the sender's pool into its slot, into the receiver's slot, and into
a block of the receiver's pool. So a chunk in a wrong place, or bytes of another transfer, are found
by `verify` as they would be in real memory. Each use of a slot is checked when it happens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from adpkv.core.ids import SessionId
from adpkv.memory.port import Fence, Region, Report
from adpkv.memory.virtual import NOBODY, LedgerMemory

__all__ = ["LedgerStaging", "StagedLedger"]

MOST_REMEMBERED: Final = 4096
"""How many of a rank's latest sends are remembered, for bytes that land after their end."""

NOTHING: Final = -1
"""In place of a content key: nothing that anybody knows."""


class StagedLedger(LedgerMemory):
    """A pool's ledger that also knows what is in each block."""

    def __init__(self, blocks: int, block_tokens: int, block_bytes: int, report: Report) -> None:
        super().__init__(blocks, block_tokens, block_bytes, report)
        self.content: dict[int, int] = {}
        """Block -> content key of its KV."""

    def compute(
        self, blocks: Sequence[int], keys: Sequence[int], first_token: int, end_token: int
    ) -> None:
        """Prefill has written these blocks."""
        size = self.block_tokens
        for index in range(first_token // size, -(-end_token // size)):
            self.content[blocks[index]] = keys[index]

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Whether each block holds what it must."""
        return self._compare(f"request {request_id}", blocks, keys)

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Whether each block still holds what it must."""
        return self._compare(f"request {request_id}: overwritten after arrival", blocks, keys)

    def _compare(self, what: str, blocks: Sequence[int], keys: Sequence[int]) -> bool:
        content = self.content
        wrong = [at for at, block in enumerate(blocks) if content.get(block, NOTHING) != keys[at]]
        if wrong:
            owner = self._owner_of(blocks[wrong[0]])
            detail = f"{what}: {len(wrong)} of {len(blocks)} blocks hold something else"
            self._report("wrong_kv", f"{detail}, the first at place {wrong[0]}", (owner,))
        return not wrong


class _Lent(NamedTuple):
    session: SessionId
    number: int
    """In place of a lease: the link remembers it with an expected transfer."""
    peer: int
    places: range
    writes: bool


class _Held(NamedTuple):
    request_id: int
    writer: int
    """Receiver: the lease for which the slot is unpacked."""


class LedgerStaging:
    """`memory.port.StagingArea` and its `SlotWatch` without bytes; one rank's.

    Args:
        areas: the areas of all ranks of the job so far, by rank; this one adds itself.
        work: `work(nbytes)` begins to copy so much, and returns the fence behind it.
        report: `report(kind, detail, requests)`; it gets requests in place of leases.
    """

    def __init__(
        self,
        rank: int,
        slots: int,
        slot_blocks: int,
        *,
        pool: StagedLedger,
        areas: dict[int, LedgerStaging],
        work: Callable[[int], Fence],
        report: Report,
    ) -> None:
        self.slots, self.slot_blocks = slots, slot_blocks
        self.block_bytes = pool.block_bytes
        self._pool, self._work, self._report = pool, work, report
        self._areas = areas
        areas[rank] = self
        self.content: dict[int, int] = {}
        """Block of the area -> content key of what is in it."""
        self._held: dict[int, _Held] = {}
        self._lent: dict[SessionId, _Lent] = {}
        self._numbers = 0
        self._sent: OrderedDict[SessionId, range] = OrderedDict()
        """Where the bytes of this rank's latest sends are."""

    # -- copies ----------------------------------------------------------------------------------

    def region(self) -> Region:
        """There are no bytes."""
        return Region(0, 0)

    def view(self, first: int, count: int) -> memoryview:
        """There are no bytes."""
        return memoryview(b"")

    def pack(self, blocks: Sequence[int], first: int) -> Fence:
        """Copy blocks of the pool into adjacent blocks of the area."""
        places = range(first, first + len(blocks))
        self._check_not_lent(places, "packed into")
        request_id = self._holder(first)
        if NOBODY in self._pool.owners(blocks):
            detail = f"request {request_id} packs blocks that are free"
            self._report("read_after_free", detail, (request_id,))
        found = self._pool.content
        for place, block in zip(places, blocks, strict=True):
            self.content[place] = found.get(block, NOTHING)
        return self._work(len(blocks) * self.block_bytes)

    def unpack(self, first: int, blocks: Sequence[int]) -> Fence:
        """Copy adjacent blocks of the area into blocks of the pool."""
        places = range(first, first + len(blocks))
        self._check_not_lent(places, "unpacked", written=True)
        held = self._held.get(first // self.slot_blocks)
        self._pool.land(NOBODY if held is None else held.writer, blocks, whole=False)
        for place, block in zip(places, blocks, strict=True):
            self._pool.content[block] = self.content.get(place, NOTHING)
        return self._work(len(blocks) * self.block_bytes)

    # -- who may touch what ----------------------------------------------------------------------

    def take(self, slot: int, request_id: int, blocks: Sequence[int]) -> None:
        """A session has the slot from now on, and `blocks` of the pool."""
        held = self._held.get(slot)
        if held is not None:
            detail = f"staging slot {slot} of request {held.request_id} given to {request_id}"
            self._report("two_owners", detail, (held.request_id, request_id))
        self._held[slot] = _Held(request_id, self._pool.awaited(blocks))

    def give_back(self, slot: int, request_id: int) -> None:
        """No peer touches the slot any more."""
        places = range(slot * self.slot_blocks, (slot + 1) * self.slot_blocks)
        self._check_not_lent(places, "given back")
        held = self._held.get(slot)
        if held is not None and held.request_id == request_id:
            del self._held[slot]

    def lend(self, session: SessionId, peer: int, first: int, count: int, *, writes: bool) -> None:
        """A peer may read these blocks from now on, or write into them."""
        places = range(first, first + count)
        for other in self._lent.values():
            if _overlap(other.places, places):
                detail = f"staging blocks from {first} are lent for {other.session} and {session}"
                self._report("two_writers", detail, (other.session[0], session[0]))
        self._numbers += 1
        self._lent[session] = _Lent(session, self._numbers, peer, places, writes)
        if not writes:
            self._sent[session] = places
            if len(self._sent) > MOST_REMEMBERED:
                self._sent.popitem(last=False)

    def take_back(self, session: SessionId) -> None:
        """The peer does not touch what this session was lent."""
        self._lent.pop(session, None)

    def _check_not_lent(self, places: range, how: str, *, written: bool = False) -> None:
        for lent in self._lent.values():
            if _overlap(lent.places, places) and (lent.writes or not written):
                detail = f"staging block {places.start} was {how} while lent for {lent.session}"
                self._report("freed_in_doubt", detail, (lent.session[0],))

    def _holder(self, place: int) -> int:
        held = self._held.get(place // self.slot_blocks)
        return -1 if held is None else held.request_id

    # -- what the link does ----------------------------------------------------------------------

    def awaited(self, blocks: Sequence[int]) -> int:
        """The number of the lending for which a peer may write into these blocks."""
        for lent in self._lent.values():
            if lent.writes and blocks[0] in lent.places:
                return lent.number
        return NOBODY

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """The link wrote into the blocks for lending `owner`."""
        lent = next((one for one in self._lent.values() if one.number == owner), None)
        if lent is None or not lent.writes:
            now = self._holder(blocks[0])
            detail = f"bytes landed in staging block {blocks[0]}, which request {now} has now"
            self._report("write_after_free", detail, () if now < 0 else (now,))
            whole = False
        source = self._source(lent, len(blocks)) if lent is not None and whole else None
        for at, place in enumerate(blocks):
            self.content[place] = NOTHING if source is None else source[at]

    def _source(self, lent: _Lent, count: int) -> list[int] | None:
        """What the sender's slot holds of a session; None if its rank has sent no such."""
        area = self._areas.get(lent.peer)
        places = area._sent.get(lent.session) if area is not None else None
        if area is None or places is None or len(places) != count:
            return None
        return [area.content.get(place, NOTHING) for place in places]


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop
