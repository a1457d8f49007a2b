"""Real ranks whose KV, steps and collectives are on GPUs: here a stand-in for CuPy, whose device
memory is shared memory and whose kernels are adpkv's own, compiled for the processor."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adpkv.testing.transport_killed import BODIES
from tests.gpu.run import REUSE, Done, outlives, reused
from tests.real_ranks.conftest import MPIRUN, ROOT, Finished, Jobs, outlives_or_skip

FAKE = ROOT / "tests" / "gpu" / "fake"

EXPERIMENT = """
name: on-gpus
topology: {context: {ranks: 2}, generation: {ranks: 2}}
executor: {token_budget: 256, max_batch_size: 4}
kv_cache: {memory: cuda, block_tokens: 32, blocks: 64}
transceiver: {staging_slot: 128KiB}
model: {kind: gemm, hidden: 64, layers: 1}
workload:
  kind: poisson
  rate: 50
  requests: 16
  prompt_tokens: {min: 32, max: 200}
  output_tokens: {min: 3, max: 8}
"""

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ for the kernels")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The experiment, where CuPy is the stand-in."""
    monkeypatch.setenv("PYTHONPATH", f"{FAKE}:{ROOT}")
    monkeypatch.setenv("FAKE_NCCL", str(tmp_path))
    found = tmp_path / "on-gpus.yaml"
    found.write_text(EXPERIMENT)
    return found


def run(
    jobs: Jobs, file: Path, *settings: str, words: tuple[str, ...] = (), by: tuple[str, ...] = ()
) -> Finished:
    given = [word for setting in settings for word in ("--set", setting)]
    command = [*by, sys.executable, "-m", "adpkv", "run", str(file), *given, "--quiet"]
    return jobs.finish(jobs.start([*command, "--out", str(file.parent / "out"), *words]), 90)


def summary(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((file.parent / "out" / "summary.json").read_text())
    return found


def test_nothing_waits_for_a_device_but_the_step(
    jobs: Jobs, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that waits raises in an iteration; KV goes through pinned slots of the host."""
    monkeypatch.setenv("NO_WAIT_FILE", str(file))
    monkeypatch.setenv("NO_WAIT_RANKS", "4")
    command = [sys.executable, "-m", "tests.gpu.no_wait", str(file.parent / "out")]
    done = jobs.finish(jobs.start(command), 90)
    assert done.code == 0, done.err
    found = summary(file)
    assert found["requests"]["completed"] == 16
    assert found["violations"] == []
    assert found["staging"]["total"] > 0
    assert found["transfers"]["bytes"] > 0


def test_a_wait_in_an_iteration_ends_that_run(
    jobs: Jobs, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_WAIT_FILE", str(file))
    monkeypatch.setenv("NO_WAIT_RANKS", "4")
    monkeypatch.setenv("NO_WAIT_PLANT", "1")
    command = [sys.executable, "-m", "tests.gpu.no_wait", str(file.parent / "out")]
    done = jobs.finish(jobs.start(command), 90)
    assert done.code == 70
    assert "waits for the device inside an iteration" in done.out + done.err


def test_a_steps_collectives_move_the_right_bytes_and_find_wrong_ones(
    jobs: Jobs, file: Path
) -> None:
    backends = ("nccl", "ipc", "mpi", "host")
    words = ["-m", "tests.gpu.stages", "collectives", *backends]
    done = jobs.finish(jobs.start([str(MPIRUN), "-n", "2", sys.executable, *words]), 60)
    assert done.code == 0, done.err
    for backend in backends:
        assert f"rank 1 {backend} ['wrong_collective" in done.out


NO_GPU = "kv_cache.memory: cuda: no GPU can be used here: CUDA sees none"
WRONG: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "no device": ({"FAKE_GPUS": "0"}, (), NO_GPU),
    "no device, by mpirun": ({"FAKE_GPUS": "0"}, (), NO_GPU),
    "no CuPy": ({"PYTHONPATH": "BROKEN"}, (), "kv_cache.memory: cuda: CuPy cannot be imported"),
    "a pool larger than the device's part": (
        {"FAKE_GPU_BYTES": str(2_000_000_000)},
        ("kv_cache.blocks=65536", "kv_cache.block_tokens=64"),
        "need",
    ),
    "NCCL with several ranks on a device": (
        {"FAKE_GPUS": "1"},
        ("model.collective_backend=nccl",),
        "nccl needs a GPU for each rank of a group",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_run_is_said_once_before_anything_runs(
    jobs: Jobs, file: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    environment, settings, why = WRONG[case]
    if environment.get("PYTHONPATH") == "BROKEN":
        (file.parent / "cupy.py").write_text("raise ImportError('libcuda.so.1: not found')\n")
        environment = {"PYTHONPATH": f"{file.parent}:{ROOT}"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    by = (str(MPIRUN), "-n", "4") if case == "no device, by mpirun" else ()
    done = run(jobs, file, *settings, by=by)
    assert done.code == 2, (done.out, done.err)
    assert done.err.count(why) == 1, done.err
    assert not (file.parent / "out").exists()


def test_ranks_on_devices_go_on_without_one_that_was_killed(jobs: Jobs, file: Path) -> None:
    outlives_or_skip()
    done = run(
        jobs,
        file,
        "faults=[{kind: sigkill, ranks: [3], after: 300ms}]",
        "on_rank_failure=shrink",
        "recompute=true",
        "workload.requests=30",
    )
    assert done.code == 0, done.err
    found = summary(file)
    assert found["lost"] == [3]
    assert found["requests"]["completed"] == 30
    assert found["violations"] == []


def test_receivers_on_devices_keep_what_they_got(jobs: Jobs, file: Path) -> None:
    """The stage of `tests.gpu.run` that a GPU machine runs, by its own check."""
    out = file.parent / "out"
    small = ("transceiver.transport=mpi", "model.layers=1", "model.hidden=64", "model.head_dim=32")
    given = [word for setting in small for word in ("--set", setting)]
    command = [sys.executable, "-m", "adpkv", "run", str(ROOT / REUSE), *given, "--quiet"]
    done = jobs.finish(jobs.start([*command, "--out", str(out)]), 90)
    assert reused(Done(done.code, done.out, out), 16 << 10) == [], done.err


def test_it_conforms_on_devices_where_a_peer_dies(
    program: Callable[..., Finished], file: Path
) -> None:
    """Through pinned slots of the host, as MPI moves no memory of a device."""
    outlives_or_skip()
    words = ("mpi", "large", "cuda", "staged")
    found = program("killed", 1 + len(BODIES), *words, outlives=True)
    assert found.code == 0, found.err
    assert outlives(Done(found.code, found.out, file)) == []
