"""The staged transport over transport virtual, by the bodies that every transport must pass, with
slots far smaller than the transfers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from test_virtual_transport import (
    BANDWIDTH_BYTES_PER_S,
    BLOCK_BYTES,
    LATENCY_NS,
    Time,
    bare,
    faulty,
)

from adpkv.memory.virtual_staging import LedgerStaging, StagedLedger
from adpkv.testing.transport import BLOCKS, BODIES
from adpkv.testing.transport_killed import BODIES as KILLED
from adpkv.testing.transport_killed import MORTAL, SEED
from adpkv.transport.port import Transfer, Transport, TransportEnd
from adpkv.transport.staged import StagedTransport
from adpkv.transport.staged_chunks import Posted
from adpkv.transport.virtual import Network
from adpkv.worlds.virtual.copy_engine import CopyEngine

SLOTS = 256
"""More than a body has sessions: the slot of one follows from its number."""

MESSAGE_NS = 50_000


class End:
    """One side, in this process."""

    here = True

    def __init__(self, link: Link, rank: int, around: Any, half: int) -> None:
        time = link.time
        self.complaints: list[str] = []
        self._pool = StagedLedger(BLOCKS, 16, BLOCK_BYTES, self._complain)
        self._pool.hand_out(1, range(BLOCKS), ())
        self._area = LedgerStaging(
            rank,
            SLOTS,
            2 * half,
            pool=self._pool,
            areas=link.areas,
            work=CopyEngine(rank, BANDWIDTH_BYTES_PER_S, time).begin,
            report=self._complain,
        )
        inner = link.network.end(rank, self._area)  # type: ignore[arg-type]
        self.staged = StagedTransport(
            around(inner, rank, time),
            self._area,
            link.tell,
            pack_bytes=1 << 40,
            repeat_ns=1_000_000,
            clock=time.clock,
            wake=lambda _: None,
            watch=self._area,
        )
        self.ready, self.close = self.staged.ready, self.staged.close
        self.withdraw, self.peer_ended = self.staged.withdraw, self.staged.peer_ended
        self.last_moved_ns = self.staged.last_moved_ns
        self._open: dict[Any, Transfer] = {}

    def _complain(self, *said: Any) -> None:
        self.complaints.append(str(said))

    def expect(self, transfer: Transfer) -> bool:
        self._pool.expect_write(transfer.request_id + 1, transfer.target)
        self._open[transfer.session] = transfer
        return self.staged.expect(_with_slots(transfer))

    def post(self, transfer: Transfer) -> None:
        self.staged.post(_with_slots(transfer))

    def poll(self) -> list[TransportEnd]:
        ends = self.staged.poll()
        for end in ends:
            transfer = self._open.pop(end.session, None)
            if transfer is not None:
                self._pool.end_write(transfer.request_id + 1, transfer.target)
        return ends

    def fill(self, blocks: tuple[int, ...], seed: int) -> None:
        for place, block in enumerate(blocks):
            self._pool.content[block] = 1000 * seed + place

    def holds(self, blocks: tuple[int, ...], seed: int) -> bool:
        found = [self._pool.content.get(block) for block in blocks]
        return found == [1000 * seed + place for place in range(len(blocks))]


def _with_slots(transfer: Transfer) -> Transfer:
    slot = transfer.request_id % SLOTS
    return msgspec.structs.replace(transfer, source_slot=slot, target_slot=slot)


class Link:
    """The pair of ends, and the time between them."""

    def __init__(self, half: int, around: Callable[[Transport, int, Time], Transport]) -> None:
        self.time = Time()
        self.areas: dict[int, LedgerStaging] = {}
        self.network = Network(2, LATENCY_NS, BANDWIDTH_BYTES_PER_S, self.time)
        self.sender, self.receiver = (End(self, rank, around, half) for rank in (0, 1))
        # What a staged sender says when it was done: so many chunks, and nothing of a further one.
        self.blocks_per_piece = Fraction(half, Posted(1).packed())

    def tell(self, sender: int, session: Any, chunks: int) -> None:
        end = (self.sender, self.receiver)[sender]
        at_ns = self.time.now_ns + MESSAGE_NS
        self.time.later(at_ns, sender, lambda _: end.staged.unpacked(session, chunks), None)

    def step(self) -> None:
        self.time.step()
        for side in (self.sender, self.receiver):
            side.ready()

    def meet(self) -> None:
        """Both are here: nothing to wait for."""

    def rest(self) -> None:
        """Both are here: nothing to wait for."""

    def agree(self, pieces: int) -> int:
        return pieces


class Mortal:
    """The end of rank 0 of a link, and rank 1, which dies."""

    def __init__(self, half: int) -> None:
        self.link = Link(half, bare)
        self._living, self._mortal = self.link.sender, self.link.receiver
        self._mortal.fill(tuple(range(BLOCKS)), SEED)
        self._is_gone = False
        self.expect, self.post = self._living.expect, self._living.post
        self.poll = self._living.poll
        self.fill, self.holds = self._living.fill, self._living.holds

    def step(self) -> None:
        self.link.time.step()
        self._living.ready()
        if not self._is_gone:
            self._mortal.ready()

    def tell(self, word: str, transfer: Transfer) -> None:
        getattr(self._mortal, word)(transfer)

    def kill(self) -> None:
        self._is_gone = True
        self.link.network.handle_peer_failure(MORTAL)
        self._living.staged.handle_peer_failure(MORTAL)


@pytest.mark.parametrize("half", [1, 8])
@pytest.mark.parametrize("name", KILLED)
def test_the_staged_transport_conforms_where_a_peer_dies(name: str, half: int) -> None:
    end = Mortal(half)
    KILLED[name](end)
    assert end.link.sender.complaints == []


@pytest.mark.parametrize("half", [1, 3, 8])
@pytest.mark.parametrize("around", [bare, faulty])
@pytest.mark.parametrize("name", BODIES)
def test_the_staged_transport_conforms(
    name: str, around: Callable[[Transport, int, Time], Transport], half: int
) -> None:
    link = Link(half, around)
    BODIES[name](link)  # type: ignore[arg-type]
    assert link.sender.complaints + link.receiver.complaints == []
