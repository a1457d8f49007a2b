"""A program of two real processes with NIXL between them, over TCP: handles that are released in
mid-write, transfers that are withdrawn, and a process that is killed in the middle. (Before and
after: `adpkv.testing.transport_killed`.)

`python -m tests.transport.nixl_killed CASE...` prints one line per case that went as it must. The
child writes into this process's memory, or is written to.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

import numpy as np

from adpkv.memory.host import HostMemory
from adpkv.transport.nixl import NixlTransport
from adpkv.transport.port import EndKind, Transfer, TransportEnd
from adpkv.transport.posting import PostLimits

BLOCKS: Final = 128
SHAPE: Final = (64, 4, 4, 128, 4)
"""Blocks of 1 MiB: a token has 16 KiB."""
BOUND_S: Final = 30.0
QUIET_S: Final = 1.0
"""For how long it is watched what lands."""
LIVING, CHILD = 0, 1
SPAWN: Final = multiprocessing.get_context("spawn")
"""A fork of a process with the library in it cannot use it."""
MARK: Final = 77
WHOLE: Final = tuple(range(BLOCKS))


class End:
    """One process's end of the link. A poll posts a quarter of a transfer."""

    def __init__(self, rank: int, connection: Connection) -> None:
        self.memory = HostMemory(BLOCKS, *SHAPE, lambda *_: None)
        size = self.memory.block_bytes
        self.transport = NixlTransport(
            rank,
            self.memory,
            backend="UCX",
            piece_bytes=size,
            limits=PostLimits(BLOCKS // 4 * size, BLOCKS * size),
            clock=time.perf_counter_ns,
        )
        card = self.transport.card()
        connection.send(card)
        other = connection.recv()
        self.transport.take_cards([card, other] if rank == LIVING else [other, card])

    def bytes(self) -> np.ndarray:
        return np.frombuffer(self.memory.view(0, BLOCKS), np.uint8)

    def landed(self) -> int:
        """How many of the marks at every 64 KiB are there."""
        return int((self.bytes()[:: 1 << 16] == MARK).sum())

    def ends(self, count: int) -> list[TransportEnd]:
        """Poll until so many ends have come."""
        found: list[TransportEnd] = []
        until_s = time.monotonic() + BOUND_S
        while len(found) < count:
            assert time.monotonic() < until_s, f"{found}, and no more"
            found += self.transport.poll()
        return found

    def kinds(self, count: int) -> list[EndKind]:
        return [end.kind for end in self.ends(count)]


def transfer(number: int, sender: int, blocks: tuple[int, ...] = WHOLE) -> Transfer:
    return Transfer(number, 0, sender, 1 - sender, number, blocks, blocks, 0)


def child(connection: Connection) -> None:
    """Does what it is told until it is killed; polls whenever it is told nothing."""
    end = End(CHILD, connection)
    end.bytes()[:] = MARK
    ends: list[TransportEnd] = []
    while True:
        ends += end.transport.poll()
        if not connection.poll():
            continue
        word, *said = connection.recv()
        if word == "post":
            end.transport.post(said[0])
        elif word == "withdraw":
            end.transport.withdraw(said[0])
        elif word == "expect":
            end.transport.expect(said[0])
        elif word == "ends":
            connection.send(ends + end.ends(said[0] - len(ends)))
        elif word == "release":
            _release_at_once(end)
            connection.send("released")
        elif word == "rest":
            connection.send("at rest")
            connection.recv()


def _release_at_once(end: End) -> None:
    """What the field does: write all, and take the handle back."""
    agent = end.transport._agent
    every = np.arange(BLOCKS, dtype=np.int32)
    handle = agent.prepare(LIVING, every, every, b"")
    assert not agent.post(handle), "it has not ended"
    agent._release(handle)  # raises nothing


class Link:
    """This process's end, and the child at the other."""

    def __init__(self) -> None:
        here, there = multiprocessing.Pipe()
        self.process = SPAWN.Process(target=child, args=(there,), daemon=True)
        self.process.start()
        self.pipe, self.end = here, End(LIVING, here)
        self.transport = self.end.transport

    def tell(self, *words: object) -> None:
        self.pipe.send(words)

    def asked(self, *words: object) -> object:
        """What the child answers; this end makes progress meanwhile."""
        self.tell(*words)
        until_s = time.monotonic() + BOUND_S
        while not self.pipe.poll():
            assert time.monotonic() < until_s, f"no answer to {words}"
            self.transport.ready()
        return self.pipe.recv()

    def connect(self) -> None:
        """One small transfer, so that the connection is there."""
        self.transport.expect(transfer(1000, CHILD, (0,)))
        self.tell("post", transfer(1000, CHILD, (0,)))
        assert self.end.kinds(1) == [EndKind.DONE]
        self.end.bytes()[:] = 0

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()


def case_release_proves_nothing(link: Link) -> str:
    """The library accepts the release, and the bytes land afterwards (ai-dynamo/nixl #2044)."""
    link.connect()
    # This end makes no progress meanwhile: on a busy machine all would have landed before.
    link.tell("release")
    assert link.pipe.poll(BOUND_S)
    assert link.pipe.recv() == "released"
    before = link.end.landed()
    until_s = time.monotonic() + QUIET_S
    while time.monotonic() < until_s:
        link.transport.ready()
    later = link.end.landed() - before
    assert later > 0, "nothing landed after the release"
    return f"{later / 16:.1f} of {BLOCKS} MiB landed after the release"


def case_nothing_lands_after_the_end_of_a_withdrawn_write(link: Link) -> str:
    """The contract: the sender's end comes when all that it has posted has ended."""
    link.connect()
    whole = transfer(1, CHILD)
    link.transport.expect(whole)
    link.tell("post", whole)
    link.tell("withdraw", whole.session)
    [end] = link.asked("ends", 2)[-1:]  # the first is that of `connect`
    at_the_end = link.end.landed()
    assert end.session == whole.session
    assert 0 < end.pieces < BLOCKS, "it was withdrawn in the middle"
    assert at_the_end == end.pieces * 16, "every byte that was posted was there"
    link.transport.peer_ended(whole.session, end.pieces)
    [told] = link.end.ends(1)
    assert told.kind is EndKind.FAILED
    until_s = time.monotonic() + QUIET_S
    while time.monotonic() < until_s:
        link.transport.ready()
    assert link.end.landed() == at_the_end
    return f"{end.pieces} of {BLOCKS} MiB posted"


def case_sender_killed_in_the_middle(link: Link) -> str:
    """Bytes may land after the kill, and none after the end."""
    link.connect()
    link.transport.expect(transfer(1, CHILD))
    link.tell("post", transfer(1, CHILD))
    while not link.end.landed():
        link.transport.ready()
    link.kill()
    at_the_kill = link.end.landed()
    link.transport.handle_peer_failure([CHILD])
    assert link.end.kinds(1) == [EndKind.LOST]
    first = link.transport.poll()
    kinds = [end.kind for end in first] or link.end.kinds(1)
    at_the_end = link.end.landed()
    assert kinds == [EndKind.FAILED if at_the_end < BLOCKS * 16 else EndKind.DONE]
    assert not first or at_the_end == BLOCKS * 16, "it is not ended while bytes may come"
    for _ in range(1000):
        link.transport.ready()
    assert link.end.landed() == at_the_end
    return f"{(at_the_end - at_the_kill) / 16:.1f} MiB landed after the kill"


def case_receiver_killed_in_the_middle(link: Link) -> str:
    """The library's error comes first: the write is in doubt until all have agreed."""
    link.connect()
    link.tell("expect", transfer(1, LIVING))
    assert link.asked("rest") == "at rest"
    link.transport.post(transfer(1, LIVING))
    for _ in range(20):
        assert link.transport.poll() == [], "the child reads nothing"
    link.kill()
    assert link.end.kinds(1) == [EndKind.LOST]
    assert link.transport.poll() == []
    link.transport.handle_peer_failure([CHILD])
    [end] = link.end.ends(1)
    assert end.kind is EndKind.FAILED
    link.transport.close()
    until_s = time.monotonic() + BOUND_S
    while not link.transport.is_drained():
        assert time.monotonic() < until_s
    link.transport.release()
    return "lost, then ended"


CASES: dict[str, Callable[[Link], str]] = {
    name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")
}


def main() -> int:
    os.environ["UCX_TLS"] = "tcp,self"
    for name in sys.argv[1:] or CASES:
        link = Link()
        said = CASES[name](link)
        print(f"{name}: {said}", flush=True)
        if link.process.is_alive():
            link.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
