"""What release does not prove, over CUDA IPC: a write of gigabytes between two processes whose
handle is released in mid-write; the same under the contract; and what a policy that trusts the
release does to the next request's KV.

`python -m tests.gpu.release [CASE...]` prints one line for each case that went as it must. The
child writes into this process's memory, from the other device if there is one. Without a device,
but with the stand-in for CuPy, the same runs over TCP in the host's memory, smaller.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from adpkv.gpu.device import Device, device_count, load_cupy
from adpkv.gpu.work import Work, jobs_of
from adpkv.memory.cuda import CudaMemory
from adpkv.memory.port import Region
from adpkv.transport.nixl import NixlTransport
from adpkv.transport.port import EndKind, Transfer, TransportEnd
from adpkv.transport.posting import PostLimits

LIVING, CHILD = 0, 1
BOUND_S: Final = 60.0
QUIET_S: Final = 1.0
MARK: Final = 77
SPAWN: Final = multiprocessing.get_context("spawn")

FAKE: Final = load_cupy().__version__.endswith("fake")
BLOCKS: Final = 128 if FAKE else 256
TOKENS: Final = 64 if FAKE else 4096
SHAPE: Final = (TOKENS, 4, 4, 128, 4)
"""A token has 16 KiB: blocks of 64 MiB, 16 GiB in all, which takes 8 ms within a device and 44 ms
between two; 1 MiB and 128 MiB without a device."""
SAMPLES: Final = 1024
WHOLE: Final = tuple(range(BLOCKS))
LAST: Final = WHOLE[-BLOCKS // 16 :]
EVERY: Final = np.arange(BLOCKS, dtype=np.int32)


class HostPretending(CudaMemory):
    """The stand-in's memory is the host's, and a network library must be told so."""

    def region(self) -> Region:
        found = super().region()
        return Region(found.address, found.nbytes)


class End:
    """One process's end of the link. Pieces are small enough to stop between them."""

    def __init__(self, rank: int, connection: Connection) -> None:
        self.device = Device(rank % device_count())
        self.told: list[tuple[str, str]] = []
        memory = HostPretending if FAKE else CudaMemory
        self.memory = memory(self.device, BLOCKS, *SHAPE, lambda k, d, _: self.told.append((k, d)))
        size = self.memory.block_bytes
        self.transport = NixlTransport(
            rank,
            self.memory,
            backend="UCX",
            piece_bytes=4 * size,
            limits=PostLimits(16 * size, 64 * size),
            clock=time.perf_counter_ns,
            written=self.memory.written,
        )
        card = self.transport.card()
        connection.send(card)
        other = connection.recv()
        self.transport.take_cards([card, other] if rank == LIVING else [other, card])
        self._looks = Work(self.device, 1 << 11, self.device.new_stream())

    def fill(self, value: int) -> None:
        """Each byte of the memory."""
        at, size = self.memory.region().address, self.memory.block_bytes
        jobs = jobs_of(BLOCKS, at + np.arange(BLOCKS) * size, value, size)
        self.memory._work.submit("adpkv_fill", jobs, size)
        self.memory.finish()

    def landed(self) -> int:
        """How many of the samples, evenly spread over the memory, have the mark."""
        region = self.memory.region()
        places = region.address + (np.arange(SAMPLES) + 1) * (region.nbytes // SAMPLES) - 1
        other: list[int] = []
        jobs = jobs_of(SAMPLES, places, MARK, 1)
        self._looks.submit("adpkv_untouched", jobs, 1, checks=True, found=other.extend)
        assert self._looks.drain(BOUND_S)
        return SAMPLES - len(other)

    def ends(self, count: int) -> list[TransportEnd]:
        found: list[TransportEnd] = []
        until_s = time.monotonic() + BOUND_S
        while len(found) < count:
            assert time.monotonic() < until_s, f"{found}, and no more"
            found += self.transport.poll()
        return found


def transfer(number: int, blocks: tuple[int, ...] = WHOLE) -> Transfer:
    return Transfer(number, 0, CHILD, LIVING, number, blocks, blocks, 0)


def child(connection: Connection) -> None:
    """Does what it is told; polls whenever it is told nothing."""
    end = End(CHILD, connection)
    end.fill(MARK)
    ends: list[TransportEnd] = []
    while True:
        ends += end.transport.poll()
        if not connection.poll():
            continue
        word, *said = connection.recv()
        if word == "post":
            end.transport.post(said[0])
        elif word == "post and withdraw":
            end.transport.post(said[0])
            end.transport.poll()
            end.transport.withdraw(said[0].session)
        elif word == "ends":
            connection.send(ends + end.ends(said[0] - len(ends)))
        elif word == "release":
            connection.send(_released_at_once(end))
        elif word == "close":
            return


def _released_at_once(end: End) -> tuple[float, float]:
    """What the field does: write all, and take the handle back. Seconds of the post and of the
    release."""
    agent = end.transport._agent
    handle = agent.prepare(LIVING, EVERY, EVERY, b"")
    began_s = time.perf_counter()
    assert not agent.post(handle), "it has ended already: more bytes are needed"
    posted_s = time.perf_counter()
    handle.release()  # raises nothing
    return posted_s - began_s, time.perf_counter() - posted_s


class Link:
    """This process's end, and the child at the other."""

    def __init__(self) -> None:
        here, there = multiprocessing.Pipe()
        self.process = SPAWN.Process(target=child, args=(there,), daemon=True)
        self.process.start()
        self.pipe, self.end = here, End(LIVING, here)
        self.transport = self.end.transport

    def asked(self, *words: object) -> Any:
        """What the child answers; this end makes progress meanwhile."""
        self.pipe.send(words)
        until_s = time.monotonic() + BOUND_S
        while not self.pipe.poll():
            assert time.monotonic() < until_s, f"no answer to {words}"
            self.transport.ready()
        return self.pipe.recv()

    def connect(self) -> None:
        """One small transfer, so that the connection is there."""
        self.transport.expect(transfer(1000, (0,)))
        self.pipe.send(("post", transfer(1000, (0,))))
        [found] = self.end.ends(1)
        assert found.kind is EndKind.DONE
        self.end.fill(0)

    def quiet(self) -> None:
        until_s = time.monotonic() + QUIET_S
        while time.monotonic() < until_s:
            self.transport.ready()


def case_release_proves_nothing(link: Link) -> str:
    """The library accepts the release, and the bytes land afterwards (ai-dynamo/nixl #2044)."""
    link.connect()
    post_s, release_s = link.asked("release")
    before, began_s, last_s = link.end.landed(), time.perf_counter(), 0.0
    now = before
    until_s = time.monotonic() + QUIET_S
    while time.monotonic() < until_s:
        link.transport.ready()
        found = link.end.landed()
        if found != now:
            now, last_s = found, time.perf_counter() - began_s
    later = now - before
    assert later > 0, "nothing landed after the release"
    whole = link.end.memory.region().nbytes / (1 << 20)
    return (
        f"post {1e3 * post_s:.2f} ms, release {1e3 * release_s:.2f} ms and OK;"
        f" of {whole:.0f} MiB, {whole * later / SAMPLES:.0f} landed after it,"
        f" the last {1e3 * last_s:.1f} ms after the first look"
    )


def case_nothing_lands_after_a_proven_end(link: Link) -> str:
    """The contract: withdrawn in mid-write, the end comes when all that was posted has ended."""
    link.connect()
    whole = transfer(1)
    link.transport.expect(whole)
    link.pipe.send(("post and withdraw", whole))
    [end] = link.asked("ends", 2)[-1:]  # the first is that of `connect`
    at_the_end = link.end.landed()
    assert end.session == whole.session
    link.transport.peer_ended(whole.session, end.pieces)
    [told] = link.end.ends(1)
    assert told.kind in (EndKind.FAILED, EndKind.DONE)
    link.quiet()
    assert link.end.landed() == at_the_end
    return f"{end.pieces} blocks were posted, {at_the_end} of {SAMPLES} samples were there; no more"


def case_who_trusts_the_release_overwrites_the_next_request(link: Link) -> str:
    """The policy of the field: the handle is back, so the blocks are free, and handed out again."""
    link.connect()
    memory, told = link.end.memory, link.end.told
    memory.hand_out(1, WHOLE, [])
    memory.finish()
    told.clear()  # `connect` has written into free blocks
    memory.expect_write(1, WHOLE)
    link.asked("release")
    memory.end_write(1, WHOLE)
    # The next request needs only the last blocks, which are written last.
    memory.release(LAST)
    memory.hand_out(2, LAST, [])
    memory.compute(LAST, LAST, 0, len(LAST) * TOKENS)
    memory.verify(2, LAST, LAST, len(LAST) * TOKENS)
    memory.finish()
    link.quiet()
    memory.verify_again(2, LAST, LAST, len(LAST) * TOKENS)
    memory.finish()
    assert told, "the oracle has found nothing"
    return "; ".join(f"{kind}: {detail}" for kind, detail in told)


CASES: dict[str, Callable[[Link], str]] = {
    name.removeprefix("case_"): case for name, case in globals().items() if name.startswith("case_")
}


def main() -> int:
    if FAKE:
        os.environ["UCX_TLS"] = "tcp,self"
    for name in sys.argv[1:] or CASES:
        link = Link()
        print(f"{name}: {CASES[name](link)}", flush=True)
        link.pipe.send(("close",))
        link.process.join(10)
        if link.process.is_alive():
            link.process.kill()
    return 0


if __name__ == "__main__":
    # The memory of a process that ends is the system's; nothing is under way any more.
    code = main()
    sys.stdout.flush()
    os._exit(code)
