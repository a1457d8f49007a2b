"""What single calls cost on a machine with GPUs: `python -m tests.gpu.calls cuda|nixl`.

`cuda`: calls of CuPy and numpy, and how fast some ways to copy scattered blocks are. `nixl`, on two
ranks: calls of NIXL, each with 1 descriptor, many adjacent blocks, and scattered ones.
"""

from __future__ import annotations

import ctypes
import random
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


VARIANTS = r"""
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
struct Job { u64 a, b, c, d; };
#define FIRST ((u64)blockIdx.y * blockDim.x + threadIdx.x)
#define STRIDE ((u64)gridDim.y * blockDim.x)

template <int N> static __device__ inline void several(const Job *jobs) {
    const Job job = jobs[blockIdx.x];
    const uint4 *__restrict__ from = (const uint4 *)job.a;
    uint4 *__restrict__ to = (uint4 *)job.b;
    const u64 wide = job.c / 16, stride = STRIDE;
    u64 i = FIRST;
    for (; i + (N - 1) * stride < wide; i += N * stride) {
        uint4 got[N];
#pragma unroll
        for (int k = 0; k < N; k++) got[k] = from[i + k * stride];
#pragma unroll
        for (int k = 0; k < N; k++) to[i + k * stride] = got[k];
    }
    for (; i < wide; i += stride) to[i] = from[i];
}
extern "C" __global__ void several1(const Job *jobs) { several<1>(jobs); }
extern "C" __global__ void several4(const Job *jobs) { several<4>(jobs); }
extern "C" __global__ void several8(const Job *jobs) { several<8>(jobs); }
/* Places as 32-bit numbers: target adjacent. */
extern "C" __global__ void packed4(const u32 *blocks, u64 pool, u64 area, u64 nbytes) {
    const uint4 *__restrict__ from = (const uint4 *)(pool + blocks[blockIdx.x] * nbytes);
    uint4 *__restrict__ to = (uint4 *)(area + blockIdx.x * nbytes);
    const u64 wide = nbytes / 16, stride = STRIDE;
    u64 i = FIRST;
    for (; i + 3 * stride < wide; i += 4 * stride) {
        uint4 got[4];
#pragma unroll
        for (int k = 0; k < 4; k++) got[k] = from[i + k * stride];
#pragma unroll
        for (int k = 0; k < 4; k++) to[i + k * stride] = got[k];
    }
    for (; i < wide; i += stride) to[i] = from[i];
}
"""


def cuda() -> None:
    """One process, one device."""
    from adpkv.gpu.device import Device, pinned_view
    from adpkv.gpu.kernels import JOB
    from adpkv.gpu.work import jobs_of

    numbers = tuple(random.Random(1).sample(range(2048), 1024))
    say("np.asarray(tuple of 1,024, uint64)", us(lambda: np.asarray(numbers, np.uint64)))
    say("np.asarray(tuple of 1,024)", us(lambda: np.asarray(numbers)))
    say("np.array(range(512), int32)", us(lambda: np.array(range(512), np.int32)))
    say("np.arange(512, dtype=int32)", us(lambda: np.arange(512, dtype=np.int32)))
    column = np.asarray(numbers, np.uint64)
    say("jobs_of(1024, a, b, c)", us(lambda: jobs_of(1024, column, column, 65536)))
    say("jobs_of(1, 1, 2, 3)", us(lambda: jobs_of(1, 1, 2, 3)))
    device = Device(0)
    runtime, stream = device.runtime, device.stream
    pool, area = device.allocate(128 * MIB), device.allocate(64 * MIB)
    host, there = device.allocate_pinned(MIB), device.allocate(MIB)
    jobs = pinned_view(host, MIB).view(JOB)
    one = jobs_of(1, pool, area, 4096)
    jobs[:1] = one
    event = device.new_event()
    args = (np.uint64(host),)
    done = device.wait
    launch = device.launch
    say(
        "device.launch, 1 job", us(lambda: launch("adpkv_copy", 1, 1, [np.uint64(host)]), 200, done)
    )
    raw = device._kernels["adpkv_copy"]
    grid, block = (1, 1, 1), (256, 1, 1)

    def with_stream() -> None:
        with stream:
            pass

    say("with stream", us(with_stream))
    function = getattr(raw, "kernel", None)
    if function is not None:
        say("Function(), np.uint64", us(lambda: function(grid, block, args, 0, stream), 200, done))
        say("Function(), int", us(lambda: function(grid, block, (host,), 0, stream), 200, done))
    runtime_on = stream.ptr
    driver = getattr(device._cupy.cuda, "driver", None)
    value = ctypes.c_uint64(host)
    pointers = (ctypes.c_void_p * 1)(ctypes.addressof(value))
    params, on = ctypes.addressof(pointers), runtime_on

    def prepared() -> None:
        driver.launchKernel(function.ptr, 1, 1, 1, 256, 1, 1, 0, on, params, 0)

    say("driver.launchKernel, prepared", us(prepared, 200, done))
    say("ctypes: memmove of 8 bytes", us(lambda: ctypes.memmove(host, params, 8)))
    say("stream.ptr", us(lambda: stream.ptr))
    say(
        "memcpyAsync 32 KiB to the device",
        us(lambda: runtime.memcpyAsync(there, host, 32768, 4, on), 200, done),
    )
    say("the same, kind 1", us(lambda: runtime.memcpyAsync(there, host, 32768, 1, on), 200, done))
    say("eventRecord", us(lambda: runtime.eventRecord(event, on), 200, done))
    say("eventQuery, passed", us(lambda: runtime.eventQuery(event)))

    def not_ready() -> None:
        launch("adpkv_copy", 1, 1, [np.uint64(host)])
        runtime.eventRecord(event, on)
        while runtime.eventQuery(event):
            pass

    say("launch, record, query until passed", us(not_ready))
    say("wait (nothing to do)", us(done))
    _variants(device, pool, area, host, there, jobs, numbers)


def _variants(
    device: Any, pool: int, area: int, host: int, there: int, jobs: Any, numbers: tuple[int, ...]
) -> None:
    """64 MiB of scattered blocks, by several kernels; GB/s count each byte once."""
    from adpkv.gpu.work import jobs_of

    cupy, runtime = device._cupy, device.runtime
    module = cupy.RawModule(code=VARIANTS)
    kernels = {"now": device._kernels["adpkv_copy"]}
    kernels |= {name: module.get_function(name) for name in ("several1", "several4", "several8")}
    packed = module.get_function("packed4")
    for size, count in ((4096, 1024), (65536, 1024), (MIB, 64)):
        blocks = np.array(numbers[:count], np.uint64) % np.uint64(128 * MIB // size)
        targets = area + np.arange(count, dtype=np.uint64) * np.uint64(size)
        jobs[:count] = jobs_of(count, pool + blocks * np.uint64(size), targets, size)
        runtime.memcpyAsync(there, host, count * 32, 4, device.stream.ptr)
        device.wait()
        for (where, at), (name, kernel), slice_bytes in product(
            (("device", there), ("pinned", host)), kernels.items(), (4096, 16384, 65536)
        ):
            if slice_bytes <= size:
                grid = (count, size // slice_bytes, 1)
                took = _took(device, partial(kernel, grid, (256, 1, 1), (np.uint64(at),)))
                what = f"{size} x {count}, {name}, jobs on {where}, slices {slice_bytes}"
                say(what, f"{took * 1e6:8.2f} us {size * count / took / 1e9:8.1f} GB/s")
        places = np.frombuffer(memoryview(jobs).cast("B")[: 4 * count], np.uint32)
        places[:] = blocks
        args = (np.uint64(host), np.uint64(pool), np.uint64(area), np.uint64(size))
        took = _took(device, partial(packed, (count, max(1, size // 16384), 1), (256, 1, 1), args))
        rate = f"{took * 1e6:8.2f} us {size * count / took / 1e9:8.1f} GB/s"
        say(f"{size} x {count}, packed4, numbers pinned", rate)
    took = _took(device, lambda: runtime.memcpyAsync(area, pool, 64 * MIB, 3, device.stream.ptr))
    say("one memcpy of 64 MiB within the device", f"{took * 1e6:8.2f} us")


def _took(device: Any, launch: Callable[[], Any]) -> float:
    """Seconds of one launch among twenty in a row."""
    with device.stream:
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
        handle = single_descriptor(nbytes)

        what = f"one write of {nbytes // KIB} KiB, post until done"
        say(what, us(partial(_post_until_done, agent, handle), 50))
    two = [single_descriptor(32 * MIB) for _ in range(2)]

    def both() -> None:
        for handle in two:
            agent.post(handle)
        for handle in two:
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
        agent._agent.transfer(handle, notice)
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
