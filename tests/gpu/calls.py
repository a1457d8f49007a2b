"""What single calls cost on a machine with GPUs: `python -m tests.gpu.calls cuda|nixl`.

`cuda`: calls of CuPy and numpy, and how fast some ways to copy scattered blocks are. `nixl`, on two
ranks: calls of NIXL, each with 1 descriptor, many adjacent blocks, and scattered ones.
"""

from __future__ import annotations

import ctypes
import random
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from statistics import median
from typing import Any

import numpy as np

KIB, MIB = 1 << 10, 1 << 20


def us(call: Callable[[], Any], times: int = 200, after: Callable[[], Any] | None = None) -> str:
    """Microseconds of a call: median and worst of nine in ten."""
    took = []
    try:
        for _ in range(times):
            began = time.perf_counter_ns()
            call()
            took.append(time.perf_counter_ns() - began)
            if after is not None:
                after()
    except Exception as error:
        return f"failed: {error!r}"
    took.sort()
    return (
        f"{took[len(took) // 2] / 1e3:8.2f} us, 9 of 10 below {took[len(took) * 9 // 10] / 1e3:.2f}"
    )


def say(what: str, found: object) -> None:
    print(f"{what:60} {found}", flush=True)


PLAIN = r"""
typedef unsigned int u32;
typedef unsigned long long u64;
extern "C" __global__ void plain(const u32 *blocks, u64 pool, u64 area, u64 nbytes) {
    const uint4 *from = (const uint4 *)(pool + blocks[blockIdx.x] * nbytes);
    uint4 *to = (uint4 *)(area + blockIdx.x * nbytes);
    const u64 stride = gridDim.y * blockDim.x;
    for (u64 i = blockIdx.y * blockDim.x + threadIdx.x; i < nbytes / 16; i += stride)
        to[i] = from[i];
}
extern "C" __global__ void eight(const u32 *blocks, u64 pool, u64 area, u64 nbytes) {
    const uint4 *__restrict__ from = (const uint4 *)(pool + blocks[blockIdx.x] * nbytes);
    uint4 *__restrict__ to = (uint4 *)(area + blockIdx.x * nbytes);
    const u64 stride = gridDim.y * blockDim.x, wide = nbytes / 16;
    u64 i = blockIdx.y * blockDim.x + threadIdx.x;
    for (; i + 7 * stride < wide; i += 8 * stride) {
        uint4 got[8];
#pragma unroll
        for (int k = 0; k < 8; k++) got[k] = __ldcs(from + i + k * stride);
#pragma unroll
        for (int k = 0; k < 8; k++) __stcs(to + i + k * stride, got[k]);
    }
    for (; i < wide; i += stride) to[i] = from[i];
}
"""
"""Copies of whole blocks without what the real kernel does for odd ones: one word at a time, and
eight at a time past the caches."""


def cuda() -> None:
    """One process, one device."""
    from adpkv.gpu.device import Device, pinned_view
    from adpkv.gpu.work import Work, jobs_of

    numbers = tuple(random.Random(1).sample(range(2048), 1024))
    device = Device(0)
    runtime, on, done = device.runtime, device.stream.ptr, device.wait
    pool, area = device.allocate(128 * MIB), device.allocate(64 * MIB)
    host, there = device.allocate_pinned(MIB), device.allocate(MIB)
    room, event = pinned_view(host, MIB).data, device.new_event()
    column = np.asarray(numbers, np.uint64)
    say("np.asarray(tuple of 1,024, uint64)", us(lambda: np.asarray(numbers, np.uint64)))
    say("pack_into, a tuple of 1,024", us(lambda: struct.pack_into("1024I", room, 0, *numbers)))
    say("np.arange(512, dtype=int32)", us(lambda: np.arange(512, dtype=np.int32)))
    say("jobs_of(1024, a, b, c)", us(lambda: jobs_of(1024, column, column, 65536)))
    say("jobs_of(1, 1, 2, 3)", us(lambda: jobs_of(1, 1, 2, 3)))
    args = (host, pool, area, 4096)
    say("device.launch", us(lambda: device.launch("adpkv_pack", 1, 1, args), 200, done))
    copy = partial(runtime.memcpyAsync, there, host, 4096, 4, on)
    say("memcpyAsync 4 KiB to the device", us(copy, 200, done))
    say("eventRecord", us(lambda: runtime.eventRecord(event, on), 200, done))
    say("eventQuery, passed", us(lambda: runtime.eventQuery(event)))
    work = Work(device)

    def until_passed(call: Callable[[], Any]) -> None:
        call()
        point = work.point()
        while not point.passed():
            pass

    for count in (1, 64, 512, 1024):
        call = partial(work.copy, "adpkv_pack", numbers[:count], pool, area, 65536)
        say(f"Work.copy, {count} of 64 KiB", us(call, 50, lambda: work.drain(1)))
        say(f"the same until it is known to be done, {count}", us(partial(until_passed, call), 50))
    _variants(device, pool, area, host, there, numbers)


def _variants(device: Any, pool: int, area: int, host: int, there: int, numbers: Any) -> None:
    """Scattered blocks, by several kernels; GB/s count each byte once."""
    module = device._cupy.RawModule(code=PLAIN)
    functions = {name: module.get_function(name).kernel.ptr for name in ("plain", "eight")}
    functions["adpkv_pack"] = device._kernels["adpkv_pack"].function
    prepared = device._kernels["adpkv_pack"]
    for size, count in ((4096, 1024), (65536, 512), (65536, 1024), (MIB, 64)):
        blocks = [number % (128 * MIB // size) for number in numbers[:count]]
        device.wait()
        struct.pack_into(f"{count}I", memoryview(_bytes(host)), 0, *blocks)
        device.copy(there, host, 4 * count)
        device.wait()
        for (name, function), slice_bytes, threads, (where, at) in product(
            functions.items(), (4096, 8192, 16384, 32768, 65536), (256, 512),
            (("device", there), ("pinned", host)),
        ):  # fmt: skip
            if slice_bytes > size:
                continue
            for place, value in enumerate((at, pool, area, size)):
                prepared.values[place] = value
            grid, on = (count, size // slice_bytes), device.stream.ptr
            launch = partial(
                device._launch, function, *grid, 1, threads, 1, 1, 0, on, prepared.pointers_at, 0
            )
            took = _took(device, launch)
            what = f"{size} x {count}, {name}, slices {slice_bytes}, {threads} threads, {where}"
            say(what, f"{took * 1e6:8.2f} us {size * count / took / 1e9:8.1f} GB/s")


def _bytes(address: int) -> Any:
    return (ctypes.c_uint8 * MIB).from_address(address)


def _took(device: Any, launch: Callable[[], Any]) -> float:
    """Seconds of one launch among twenty in a row."""
    launch()
    device.wait()
    found = []
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(20):
            launch()
        device.wait()
        found.append((time.perf_counter() - began) / 20)
    return median(found)


def nixl() -> None:
    """Two ranks: rank 0 writes into rank 1's memory by one agent each."""
    from mpi4py import MPI

    from adpkv.gpu.device import Device, device_count
    from adpkv.memory.port import HOST, Region
    from adpkv.transport.nixl_agent import Agent

    world = MPI.COMM_WORLD
    device = Device(world.rank % device_count())

    class Blocks:
        block_bytes = 65536
        at = device.allocate(128 * MIB)

        def region(self) -> Region:
            fake = device._cupy.__version__.endswith("fake")
            return Region(self.at, 128 * MIB, HOST if fake else device.number)

    agent = Agent(world.rank, Blocks(), "UCX")
    agent.take_cards(world.allgather(agent.card()))
    world.Barrier()
    if world.rank == 1:
        # A receiver polls.
        until, stop = time.monotonic() + 100, world.Irecv(bytearray(1), 0)
        while time.monotonic() < until and not stop.Test():
            agent.notices()
        return
    api = agent._agent
    whole, half, single = (np.arange(n, dtype=np.int32) for n in (1024, 512, 1))
    scattered = np.array(random.Random(1).sample(range(0, 2048, 2), 1024), np.int32)[:64]

    asked = {"1 block": single, "512 adjacent": half, "1,024 adjacent": whole}
    for name, blocks in {**asked, "64 scattered": scattered}.items():
        _writes(agent, name, blocks)
    say("notices, nothing", us(agent.notices))
    region, peer = agent._region, agent._peer(1)
    theirs = agent._addresses[1].region

    def single_descriptor(nbytes: int) -> Any:
        return api.initialize_xfer(
            "WRITE",
            api.get_xfer_descs([(region.address, nbytes, max(region.device, 0))], agent._kind),
            api.get_xfer_descs([(theirs.address, nbytes, max(theirs.device, 0))], agent._kind),
            peer.name,
            b"",
        )

    kept: list[Any] = []
    say(
        "initialize_xfer with one descriptor of 32 MiB",
        us(lambda: kept.append(single_descriptor(32 * MIB)), 50),
    )
    for nbytes in (4 * KIB, 64 * KIB, MIB, 4 * MIB, 16 * MIB, 32 * MIB, 64 * MIB):
        one = single_descriptor(nbytes)
        handle = one._handle
        what = f"one write of {nbytes // KIB} KiB, post until done"
        say(what, us(partial(_post_until_done, agent, handle), 50))
    two = [single_descriptor(32 * MIB) for _ in range(2)]
    handles = [one._handle for one in two]

    def both() -> None:
        for handle in handles:
            agent.post(handle)
        for handle in handles:
            _until_done(agent, handle)

    say("two writes of 32 MiB at once", us(both, 50))
    world.Send(bytearray(1), 1)


def _until_done(agent: Any, handle: Any) -> None:
    while not agent.is_done(handle):
        pass


def _post_until_done(agent: Any, handle: Any) -> None:
    if not agent.post(handle):
        _until_done(agent, handle)


def _writes(agent: Any, name: str, blocks: Any) -> None:
    """What each call costs for a write of these blocks."""

    def again(notice: bytes) -> None:
        agent.post(handle, notice)
        _until_done(agent, handle)

    def once() -> None:
        made = agent.prepare(1, blocks, blocks, b"x")
        _post_until_done(agent, made)
        agent.release(made)

    once()
    made: list[Any] = []
    handle = agent.prepare(1, blocks, blocks, b"")
    say(f"prepare, {name}", us(lambda: made.append(agent.prepare(1, blocks, blocks, b"")), 50))
    say(f"release, {name}", us(lambda: agent.release(made.pop()), 50))
    say(f"post, {name}", us(lambda: agent.post(handle), 50, lambda: _until_done(agent, handle)))
    say(f"state of one that is done, {name}", us(lambda: agent.is_done(handle), 50))
    say(f"post until done, {name}", us(lambda: again(b""), 50))
    say(f"the same with a notice, {name}", us(lambda: again(b"a notice"), 50))
    say(f"prepare, post, wait, release, {name}", us(once, 50))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
