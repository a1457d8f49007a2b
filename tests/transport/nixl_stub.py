"""NIXL as the transport uses it, on a clock of its own: a post takes as long as a test says, and
writes end when it says so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest

from adpkv.memory.port import PASSED, Fence, Region
from adpkv.transport import nixl_agent
from adpkv.transport.nixl import NixlTransport
from adpkv.transport.port import Transfer
from adpkv.transport.posting import PostLimits

__all__ = ["BLOCK_BYTES", "BUDGET_NS", "LOST", "Library", "SomeError", "scattered", "transport"]

BLOCK_BYTES = 8
BLOCKS = 4096
BUDGET_NS = 200_000
DONE, OPEN, LOST = 0, 1, -1


class SomeError(Exception):
    """What the library raises."""


class Library:
    """One agent's library. `post_ns` says how long a post of so many descriptors takes."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self.post_ns: Callable[[int], int] = lambda descriptors: 10_000 + 5_000 * descriptors
        self.state_ns = 0
        """How long it takes to ask for a write's state."""
        self.at_once = False
        """Whether a write ends in its post."""
        self.writes: list[SimpleNamespace] = []
        """Each write that was posted: blocks, notice, state."""
        self.told: list[bytes] = []
        """Notices that went by themselves."""
        self.released: list[int] = []
        self.notices: dict[str, list[bytes]] = {}
        self.asked_for_notices = 0
        self.lost = False
        self._made: list[SimpleNamespace] = []

    def clock(self) -> int:
        return self.now_ns

    def make(
        self,
        op: object,
        own: object,
        source: Sequence[int],
        peer: object,
        target: Sequence[int],
        notice: bytes,
        through: object,
        skip: bool,
    ) -> int:
        pairs = list(zip(source, target, strict=True))
        runs = 1 + sum((a[0] + 1, a[1] + 1) != b for a, b in pairwise(pairs))
        self._made.append(SimpleNamespace(pairs=pairs, descriptors=runs, notice=notice, state=OPEN))
        return len(self._made) - 1

    def post(self, handle: int, notice: bytes) -> int:
        one = self._made[handle]
        if self.lost:
            raise SomeError("disconnected")
        self.now_ns += self.post_ns(one.descriptors)
        one.notice = notice or one.notice
        one.state = DONE if self.at_once else OPEN
        self.writes.append(one)
        return one.state

    def state(self, handle: int) -> int:
        self.now_ns += self.state_ns
        if self._made[handle].state == LOST:
            raise SomeError("disconnected")
        return int(self._made[handle].state)

    def notify(self, to: str, notice: bytes, through: object) -> None:
        if self.lost:
            raise SomeError("disconnected")
        self.told.append(notice)

    def take_notices(self, _: object, __: object) -> dict[str, list[bytes]]:
        self.asked_for_notices += 1
        found, self.notices = self.notices, {}
        return found

    def end(self, *which: int) -> None:
        """These writes end, in the order in which they were posted; all without a word."""
        for at in which or range(len(self.writes)):
            self.writes[at].state = DONE


class _Memory:
    block_bytes = BLOCK_BYTES

    def region(self) -> Region:
        return Region(4096, BLOCKS * BLOCK_BYTES, 0)


def transport(
    monkeypatch: pytest.MonkeyPatch,
    library: Library,
    *,
    post_ns: int = BUDGET_NS,
    most: int = 64,
    piece_bytes: int = BLOCKS * BLOCK_BYTES,
    written: Callable[[], Fence] = lambda: PASSED,
) -> NixlTransport:
    """Rank 0's end of the transport over this library; its peers are ranks 1 and 2."""
    module, bindings = ModuleType("stub_nixl"), ModuleType("stub_nixl._bindings")
    vars(bindings).update(
        nixlSomeError=SomeError, NIXL_SUCCESS=DONE, NIXL_IN_PROG=OPEN, NIXL_WRITE="write"
    )
    bound = SimpleNamespace(
        makeXferReq=library.make,
        postXferReq=library.post,
        getXferStatus=library.state,
        releaseXferReq=library.released.append,
        getNotifs=library.take_notices,
        genNotif=library.notify,
    )
    agent: Any = SimpleNamespace(
        agent=bound,
        backends={"UCX": 1},
        create_backend=lambda *_: None,
        register_memory=lambda *_: 1,
        get_agent_metadata=lambda: b"",
        prep_xfer_dlist=lambda *_: SimpleNamespace(_handle=5),
        add_remote_agent=lambda _: "peer",
    )
    vars(module).update(nixl_agent_config=lambda **_: None, nixl_agent=lambda *_: agent)
    monkeypatch.setitem(sys.modules, "stub_nixl", module)
    monkeypatch.setitem(sys.modules, "stub_nixl._bindings", bindings)
    monkeypatch.setattr(nixl_agent, "library", lambda: (module, "1.5.1"))
    large = BLOCKS * BLOCK_BYTES
    made = NixlTransport(
        0,
        _Memory(),
        backend="UCX",
        piece_bytes=piece_bytes,
        limits=PostLimits(large, 16 * large, most),
        post_ns=post_ns,
        clock=library.clock,
        written=written,
    )
    card = made.card()
    made.take_cards([card, msgspec.structs.replace(card), card])
    return made


def scattered(number: int, blocks: int, receiver: int = 1) -> Transfer:
    """A transfer of so many descriptors."""
    places = tuple(range(0, 2 * blocks, 2))
    return Transfer(number, 0, 0, receiver, number, places, places, blocks * BLOCK_BYTES)
