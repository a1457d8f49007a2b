"""A program of two real processes: UCX transports of which one process is killed or stopped.

`python -m tests.transport.ucx_killed CASE...` prints one line per case that went as it must. The
process that is killed is a child; what is asserted is what the living end reports and finds.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

from adpkv.memory.host import HostMemory
from adpkv.transport.port import EndKind, Transfer, TransportEnd
from adpkv.transport.posting import PostLimits
from adpkv.transport.ucx import UcxTransport
from adpkv.transport.ucx_library import library

BLOCKS: Final = 64
SHAPE: Final = (64, 4, 4, 128, 4)
"""Blocks of 1 MiB: a token has 16 KiB."""
BOUND_S: Final = 30.0
LIVING, CHILD = 0, 1
MARK: Final = 77


class End:
    """One process's end of the link."""

    def __init__(self, rank: int, connection: Connection, *, error_handling: bool) -> None:
        self.memory = HostMemory(BLOCKS, *SHAPE, lambda *_: None)
        size = self.memory.block_bytes
        self.transport = UcxTransport(
            library(),
            self.memory,
            piece_bytes=size,
            limits=PostLimits(4 * size, 64 * size),
            error_handling=error_handling,
            clock=time.perf_counter_ns,
        )
        card = self.transport.card()
        connection.send(card)
        other = connection.recv()
        self.transport.take_cards([card, other] if rank == LIVING else [other, card])
        self.connection = connection

    def fill(self, value: int) -> None:
        """All blocks have this byte."""
        self.memory.view(0, BLOCKS)[:] = bytes([value]) * (BLOCKS * self.memory.block_bytes)

    def have(self, value: int) -> bool:
        """Whether all blocks still have this byte."""
        return bytes(self.memory.view(0, BLOCKS)).count(value) == BLOCKS * self.memory.block_bytes

    def until(self, over: Callable[[list[TransportEnd]], bool], what: str) -> list[TransportEnd]:
        """Poll until `over` is true of all ends so far."""
        found: list[TransportEnd] = []
        until = time.perf_counter() + BOUND_S
        while not over(found):
            assert time.perf_counter() < until, f"{what} did not come: {found}"
            found += self.transport.poll()
            gc.collect(0)  # what only a cycle holds is not held
            time.sleep(0)
        return found

    def quiet(self, seconds: float = 0.2) -> list[TransportEnd]:
        """What is reported in this time."""
        until, found = time.perf_counter() + seconds, []
        while time.perf_counter() < until:
            found += self.transport.poll()
        return found


def transfer(number: int, sender: int) -> Transfer:
    """All blocks, from this rank to the other."""
    blocks = tuple(range(BLOCKS))
    return Transfer(number, 0, sender, 1 - sender, number, blocks, blocks, BLOCKS << 20)


def child(connection: Connection, error_handling: bool) -> None:
    """Does what it is told, and polls in between."""
    end = End(CHILD, connection, error_handling=error_handling)
    end.fill(5)
    while True:
        if connection.poll():
            word, *rest = connection.recv()
            getattr(end.transport, word)(*rest)
            connection.send(word)
        end.transport.poll()
        time.sleep(0)


class Pair:
    """The living end and its child."""

    def __init__(self, *, error_handling: bool = True) -> None:
        ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=child, args=(theirs, error_handling))
        self.process.start()
        self.end = End(LIVING, ours, error_handling=error_handling)

    def tell(self, word: str, *arguments: object) -> None:
        """Have the child call its transport."""
        self.end.connection.send((word, *arguments))
        while not self.end.connection.poll():
            self.end.transport.ready()
        self.end.connection.recv()

    def signal(self, number: int) -> None:
        """To the child, and wait until it is gone if that kills it."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.join()


def over(found: list[TransportEnd]) -> bool:
    return any(end.kind in (EndKind.DONE, EndKind.FAILED) for end in found)


def kinds(found: list[TransportEnd]) -> list[EndKind]:
    return [end.kind for end in found]


def never_touched_again(end: End) -> None:
    """After an end: the blocks belong to somebody else, and keep what that one writes."""
    end.fill(MARK)
    assert end.quiet() == []
    assert end.have(MARK), "bytes landed after the proof"


def moved(end: End) -> Callable[[list[TransportEnd]], bool]:
    return lambda _: end.transport.last_moved_ns() > 0


def sender_killed_during(pair: Pair) -> None:
    pair.end.transport.expect(transfer(1, CHILD))
    pair.tell("post", transfer(1, CHILD))
    pair.end.until(moved(pair.end), "a piece")
    pair.signal(signal.SIGKILL)
    found = pair.end.until(over, "an end")
    assert kinds(found) in ([EndKind.LOST, EndKind.FAILED], [EndKind.DONE]), found
    never_touched_again(pair.end)
    assert not pair.end.transport._lingering
    pair.end.transport.handle_peer_failure([CHILD])
    assert pair.end.quiet() == []


def receiver_killed_during(pair: Pair) -> None:
    pair.tell("expect", transfer(1, LIVING))
    pair.end.transport.post(transfer(1, LIVING))
    pair.end.until(moved(pair.end), "a piece")
    pair.signal(signal.SIGKILL)
    found = pair.end.until(over, "an end")
    assert kinds(found) in ([EndKind.LOST, EndKind.FAILED], [EndKind.DONE]), found
    pair.end.transport.post(transfer(2, LIVING))
    assert kinds(pair.end.until(over, "an end")) == [EndKind.LOST, EndKind.FAILED]


def sender_stopped_and_fenced(pair: Pair) -> None:
    """The others agree that it has failed, and its process is only stopped: as with a host that
    cannot be reached, no connection is reported as lost."""
    pair.end.transport.expect(transfer(1, CHILD))
    pair.tell("post", transfer(1, CHILD))
    pair.end.until(moved(pair.end), "a piece")
    pair.signal(signal.SIGSTOP)
    pair.end.quiet()
    pair.end.transport.handle_peer_failure([CHILD])
    found = pair.end.until(over, "an end")
    assert kinds(found) == [EndKind.LOST, EndKind.FAILED], found
    pair.end.fill(MARK)
    pair.signal(signal.SIGCONT)
    assert pair.end.quiet() == []
    assert pair.end.have(MARK), "it went on, and its bytes landed after the proof"
    pair.signal(signal.SIGKILL)


def killed_without_error_handling(pair: Pair) -> None:
    """Nobody says that the sender is gone. Once all know, its receiver ends what was not begun."""
    pair.end.transport.expect(transfer(1, CHILD))
    assert pair.end.quiet() == []
    pair.signal(signal.SIGKILL)
    assert pair.end.quiet() == []
    pair.end.transport.handle_peer_failure([CHILD])
    assert kinds(pair.end.until(over, "an end")) == [EndKind.LOST, EndKind.FAILED]
    never_touched_again(pair.end)


def dropped_request_is_cancelled(pair: Pair) -> None:
    """Why a session keeps its requests: to drop one cancels it, and nobody is told."""
    pair.end.transport.expect(transfer(1, CHILD))
    while pair.end.transport.has_receives_to_post:
        assert pair.end.transport.poll() == []
    [opened] = pair.end.transport._receiving.values()
    del opened.requests[-1]
    opened.wanted -= 1
    _, at, nbytes = opened.cut.until(opened.wanted)[opened.wanted]
    opened.cut.count -= 1
    pair.end.fill(MARK)
    pair.tell("post", transfer(1, CHILD))
    found = pair.end.until(over, "an end")
    assert kinds(found) == [EndKind.DONE]
    last = bytes(pair.end.memory.view(0, BLOCKS)[at : at + nbytes])
    assert last == bytes([MARK]) * nbytes, "its message was received after all"
    pair.signal(signal.SIGKILL)


CASES: Final = {
    name: case
    for name, case in globals().items()
    if callable(case) and getattr(case, "__annotations__", {}).get("pair") == "Pair"
}


def main(names: list[str]) -> None:
    multiprocessing.set_start_method("spawn")
    for name in names or CASES:
        pair = Pair(error_handling="without_error_handling" not in name)
        try:
            CASES[name](pair)
        finally:
            pair.process.kill()
        print(f"passed {name}", flush=True)
    # Without error handling an endpoint's peer would be waited for.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
