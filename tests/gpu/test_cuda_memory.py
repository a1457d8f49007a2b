"""Memory of a device, by the conformance suite and against host memory, on a stand-in for a GPU."""

from __future__ import annotations

import ctypes
import os
import random
import re
from typing import Any

import pytest

from adpkv.gpu.device import Device
from adpkv.gpu.kernels import KERNELS
from adpkv.memory.cuda import CudaMemory
from adpkv.memory.host import HostMemory
from adpkv.testing.memory import BLOCKS, BODIES, TOKENS
from tests.gpu.rigs import CudaRig
from tests.real_ranks.conftest import ROOT

SHAPES = {
    "words of 8 bytes": (2, 2, 8, 2),
    "words of 4": (3, 1, 2, 2),
    "words of 2": (1, 1, 3, 2),
    "odd": (1, 1, 5, 1),
    "large": (4, 8, 128, 2),
}


def test_every_kernel_that_is_named_is_there() -> None:
    """Programs for a real device name kernels that no test here runs."""
    named = {
        name
        for folder in ("adpkv", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"submit\(\s*\"(adpkv_\w+)\"", path.read_text())
    }
    assert len(named) > 5
    assert named <= set(KERNELS)


def test_memory_of_the_stand_in_is_shared_and_leaves_nothing(fake: Any) -> None:
    """Files in /dev/shm stayed of each rank that was killed, and filled it in the end."""
    before = os.listdir("/dev/shm")
    address = fake.malloc(8192)
    opened = fake.ipcOpenMemHandle(fake.ipcGetMemHandle(address))
    ctypes.memset(address, 7, 8192)
    assert ctypes.string_at(opened, 8192) == b"\7" * 8192
    assert [name for name in os.listdir("/dev/shm") if "gpu" in name and name not in before] == []
    fake.free(address)
    fake.ipcCloseMemHandle(opened)


@pytest.mark.parametrize("body", BODIES)
def test_it_conforms(fake: Any, body: str) -> None:
    BODIES[body](CudaRig(Device(0)))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_has_the_bytes_of_host_memory(fake: Any, shape: str) -> None:
    rig = CudaRig(Device(0), SHAPES[shape])
    host = HostMemory(BLOCKS, TOKENS, *SHAPES[shape], rig.report)
    keys = [random.Random(5).getrandbits(80), -3, 7]
    for memory in (rig.memory, host):
        memory.hand_out(1, [6, 2, 5], [])
        memory.compute([6, 2, 5], keys, 0, TOKENS + 1)
        memory.compute([6, 2, 5], keys, TOKENS + 1, 2 * TOKENS + 3)
        memory.release([2])
    assert rig.memory.block_bytes == host.block_bytes
    for block in range(BLOCKS):
        assert rig.block(block) == bytes(host.view(block, 1)), block


@pytest.mark.parametrize("shape", SHAPES)
def test_each_wrong_byte_is_seen(fake: Any, shape: str) -> None:
    rig = CudaRig(Device(0), SHAPES[shape])
    memory, size = rig.memory, rig.memory.block_bytes
    for at in {0, 1, size // 2, size - 1}:
        memory.hand_out(1, [3], [])
        memory.compute([3], [9], 0, TOKENS)
        right = rig.block(3)
        rig.put(3, bytes([right[at] ^ 1]), at)
        memory.verify(4, [3], [9], TOKENS)
        assert rig.told() == ["wrong_kv"], at
        memory.release([3])
        rig.put(3, b"\1", at)
        memory.hand_out(2, [3], [])
        assert rig.told() == ["wrong_kv", "write_after_free"], at
        memory.release([3])
        rig._kinds.clear()


def test_what_is_found_is_told_later_and_names_who_had_the_block_then(fake: Any) -> None:
    told: list[tuple[str, str, tuple[int, ...]]] = []
    memory = CudaMemory(Device(0), BLOCKS, TOKENS, 2, 2, 8, 2, lambda *one: told.append(one))
    memory.finish()
    fake.held = True
    memory.hand_out(5, [1, 2], [])
    assert memory.verify(9, [1, 2], [7, 8], 2 * TOKENS)
    memory.release([1, 2])
    memory.hand_out(6, [1], [])
    fence = memory.written()
    for _ in range(3):
        memory.poll()
        assert not fence.passed()
    assert told == []
    fake.held = False
    memory.finish()
    assert fence.passed()
    assert told == [("wrong_kv", f"blocks 1, 2: request 9, {2 * TOKENS} prompt tokens", (5,))]
    memory.close()


def test_nothing_waits_for_the_device_before_the_end(fake: Any) -> None:
    """And a ring that is full holds work back, in order, without a loss."""
    from adpkv.gpu import work

    told: list[tuple[str, str, tuple[int, ...]]] = []
    memory = CudaMemory(Device(0), 64, TOKENS, 2, 2, 8, 2, lambda *one: told.append(one))
    area = memory.staging(2, 8)
    memory._work = work.Work(memory.device, ring_jobs=10)
    area._work = memory._work
    fake.forbid = True
    draw = random.Random(1)
    for leases in range(1, 301):
        blocks = draw.sample(range(64), draw.randint(1, 40))
        memory.hand_out(leases, blocks, [])
        memory.expect_write(leases, blocks)
        keys = [leases * 64 + block for block in blocks]
        memory.compute(blocks, keys, 0, len(blocks) * TOKENS)
        area.pack(blocks[:8], 8)
        area.unpack(8, blocks[:8])
        memory.end_write(leases, blocks)
        memory.verify(leases, blocks, keys, len(blocks) * TOKENS - 1)
        memory.verify_again(leases, blocks, keys, len(blocks) * TOKENS)
        memory.release(blocks)
        memory.poll()
        memory.written().passed()
    memory.look_at_free()
    fake.forbid = False
    assert told == []
    assert memory.written().passed()
    fake.forbid = True
    with pytest.raises(AssertionError, match="inside an iteration"):
        memory.device.wait()
    fake.forbid = False
    memory.close()


@pytest.mark.parametrize("host", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_staging_packs_and_unpacks_each_byte(fake: Any, shape: str, host: bool) -> None:
    rig = CudaRig(Device(0), SHAPES[shape])
    memory, device = rig.memory, rig.device
    area = memory.staging(3, 4, host)
    region = area.region()
    assert region.nbytes == 12 * memory.block_bytes
    assert region.device == (-1 if host else 0)
    memory.hand_out(1, range(BLOCKS), [])
    memory.compute(range(BLOCKS), range(BLOCKS), 0, BLOCKS * TOKENS)
    fence = area.pack([6, 1, 3], 5)
    memory.finish()
    assert fence.passed()
    size = memory.block_bytes
    packed = device.fetch(region.address, region.nbytes)
    wanted = b"".join(rig.block(block) for block in (6, 1, 3))
    assert packed[5 * size : 8 * size] == wanted
    assert not any(packed[: 5 * size] + packed[8 * size :])
    if host:
        assert bytes(area.view(5, 3)) == wanted
    area.unpack(6, [0, 7])
    assert rig.block(0) + rig.block(7) == wanted[size:]
    assert rig.told() == []


def test_a_device_that_reports_an_error_ends_the_rank(fake: Any) -> None:
    from adpkv.gpu.device import DeviceError

    memory = CudaMemory(Device(1), BLOCKS, TOKENS, 2, 2, 8, 2, lambda *_: None)
    memory.release([1])
    fake.eventQuery = lambda event: 700
    with pytest.raises(DeviceError, match="GPU 1 reports CUDA error 700"):
        memory.poll()


@pytest.mark.parametrize("threads", [1, 3, 256])
def test_any_number_of_threads_writes_and_finds_the_same(fake: Any, threads: int) -> None:
    import importlib

    importlib.import_module("cupy.kernels").Kernel.most_threads = threads
    rig = CudaRig(Device(0), SHAPES["large"])
    host = HostMemory(BLOCKS, TOKENS, *SHAPES["large"], rig.report)
    for memory in (rig.memory, host):
        memory.hand_out(1, [1, 4], [])
        memory.compute([1, 4], [3, 9], 1, 2 * TOKENS - 1)
        memory.release([4])
    assert [rig.block(block) for block in (1, 4)] == [bytes(host.view(b, 1)) for b in (1, 4)]
    area = rig.memory.staging(1, 2)
    area.pack([1], 1)
    area.unpack(1, [2])
    assert rig.block(2) == rig.block(1)
    rig.put(4, b"\1", rig.memory.block_bytes - 1)
    rig.memory.hand_out(2, [4], [])
    assert rig.told() == ["write_after_free"]
