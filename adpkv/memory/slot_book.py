"""Who has each staging slot of a rank, and who may touch it, for areas whose slots have bytes.

A slot that a peer wrote into is marked with a canary where it was used when it is given back, and
checked when it is given out again: that finds bytes that land after the proof that none will
(contract 2.6). Only the beginnings of some blocks are marked: a chunk covers many blocks, and
filling a slot of 64 MiB would hold up an iteration for as long as a transfer takes.

An area tells the book of each call of `memory.port.SlotWatch`. The book reports what must not be,
and says where the area is to put its marks, and where to look for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from adpkv.core.ids import SessionId
from adpkv.memory.port import Report

__all__ = ["CANARY", "MARK_BYTES", "MOST_MARKS", "Marks", "SlotBook"]

CANARY: Final = 0xDD
"""The value of each marked byte of a slot that was given back; another one than that of a freed
block."""

MARK_BYTES: Final = 64
MOST_MARKS: Final = 512
"""How many blocks of a half are marked at most, and how many bytes of each."""


class Marks(NamedTuple):
    """Marks in one half of a slot: at the beginning of every `step`-th of `blocks` blocks from
    `first`, which are numbered as in the area."""

    first: int
    blocks: int
    step: int


class SlotBook:
    """The slots of one rank. Its reports name no leases, but the request in their text."""

    def __init__(self, slots: int, slot_blocks: int, report: Report) -> None:
        self._slots, self._slot_blocks, self._report = slots, slot_blocks, report
        self._step = max(1, -(-slot_blocks // 2 // MOST_MARKS))
        """Every so many blocks, one is marked."""
        self._owners: dict[int, int] = {}
        """Slot -> the request that has it."""
        self._lent: dict[SessionId, tuple[range, bool]] = {}
        """Session -> the blocks that a peer may touch for it, and whether it writes."""
        self._used: list[tuple[int, int]] = [(0, 0)] * slots
        """How many blocks from the beginning of each half the session uses that has the slot."""
        self._left: list[tuple[int, int]] = [(0, 0)] * slots
        """How many of them have the canary while nobody has the slot."""
        self._written: set[int] = set()
        """The slots into which a peer might write since they were last marked."""

    def take(self, slot: int, request_id: int, blocks: Sequence[int]) -> list[Marks]:
        """A session has the slot from now on; returns the marks that must still be there."""
        if slot in self._owners:
            self._tell(
                "two_owners",
                f"staging slot {slot} of request {self._owners[slot]} given to {request_id}",
            )
            found = []
        else:
            found = self._marks(slot, self._left[slot])
        self._owners[slot] = request_id
        half = self._slot_blocks // 2
        self._used[slot] = min(len(blocks), half), min(max(len(blocks) - half, 0), half)
        return found

    def give_back(self, slot: int, request_id: int) -> list[Marks]:
        """No peer touches the slot any more; returns where it is to be marked."""
        places = range(slot * self._slot_blocks, (slot + 1) * self._slot_blocks)
        if any(lent.start in places for lent, _ in self._lent.values()):
            self._tell("freed_in_doubt", f"staging slot {slot} of request {request_id}")
        if self._owners.get(slot) != request_id:
            return []
        del self._owners[slot]
        first, second = self._left[slot], self._used[slot]
        if slot not in self._written and first == (0, 0):
            return []  # no peer ever wrote here: this rank only sends from it
        self._written.discard(slot)
        self._left[slot] = max(first[0], second[0]), max(first[1], second[1])
        return self._marks(slot, second)

    def free(self) -> Iterator[tuple[int, list[Marks]]]:
        """The slots that nobody has, with the marks that must be there."""
        for slot in range(self._slots):
            if slot not in self._owners:
                yield slot, self._marks(slot, self._left[slot])

    def tell_spoilt(self, slot: int, request_id: int | None) -> None:
        """Some mark was not there when the slot was given to this request; None: at the end."""
        when = "at the end" if request_id is None else f"when given to request {request_id}"
        self._tell("write_after_free", f"staging slot {slot}: found {when}")

    def lend(self, session: SessionId, first: int, count: int, *, writes: bool) -> None:
        """A peer may read these blocks from now on, or write into them."""
        places = range(first, first + count)
        for other, (lent, _) in self._lent.items():
            if lent.start < places.stop and places.start < lent.stop:
                what = f"staging blocks {first} to {first + count - 1}"
                self._tell("two_writers", f"{what} are lent for {other} and {session}")
        self._lent[session] = places, writes
        if writes:
            self._written.add(first // self._slot_blocks)

    def take_back(self, session: SessionId) -> None:
        """The peer does not touch what this session was lent."""
        self._lent.pop(session, None)

    def copies(self, first: int, count: int, *, into: bool) -> None:
        """This rank copies into these blocks, or out of them."""
        how = "packed into" if into else "unpacked"
        for session, (lent, writes) in self._lent.items():
            if lent.start < first + count and first < lent.stop and (writes or into):
                self._tell("freed_in_doubt", f"staging block {first} was {how} for {session}")

    def _marks(self, slot: int, counts: tuple[int, int]) -> list[Marks]:
        """The places of the canary in each half of a slot, in so many blocks from its beginning."""
        half = self._slot_blocks // 2
        firsts = (slot * self._slot_blocks, slot * self._slot_blocks + half)
        return [
            Marks(first, count, self._step)
            for first, count in zip(firsts, counts, strict=True)
            if count
        ]

    def _tell(self, kind: str, detail: str) -> None:
        self._report(kind, detail, ())
