"""Real jobs on devices that are full: shared memory as they start, the run's disk as they go on.

Each device is a small one of the test's own, in a mount namespace that goes with the job.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BOUND_S = 60
ADPKV = f"{sys.executable} -m adpkv"
EXPERIMENT = """
name: full
topology: {context: {ranks: 1}, generation: {ranks: 1}}
workload:
  kind: script
  requests: [{at: 0s, prompt_tokens: 64, output_tokens: 4, times: 200, every: 2ms}]
"""


@pytest.fixture(autouse=True)
def namespaces(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a device of a test's own takes root and unshare")
    mount = f"mount -t tmpfs -o size=4k tmpfs {tmp_path}"
    tried = subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no namespaces may be made here: {tried.stderr.decode().strip()}")


def on_device(jobs: Any, tmp_path: Path, device: Path, size: str, out: Path) -> Any:
    """The job, with `device` so small; then what is there, one name a line."""
    file = tmp_path / "full.yaml"
    file.write_text(EXPERIMENT)
    script = (
        f"mount -t tmpfs -o size={size} tmpfs {device} || exit 99\n"
        f"{ADPKV} run {file} --json --out {out}\n"
        f"code=$?; find {device} -mindepth 1 -printf '%P\\n' >{tmp_path}/left\n"
        f"cp {out}/summary.json {tmp_path} 2>{os.devnull}; exit $code"
    )
    return jobs.finish(jobs.start(["unshare", "-m", "sh", "-c", script]), BOUND_S)


def test_shared_memory_is_full_at_the_start(jobs: Any, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    found = on_device(jobs, tmp_path, Path("/dev/shm"), "200k", out)
    assert found.code == 2, found.err
    assert found.out == ""
    said = "adpkv: /dev/shm: no place for the flight recorder: No space left on device"
    assert found.err.count(said) == 1
    assert not out.parent.exists(), "what a refused start has made it takes away"
    assert (tmp_path / "left").read_text() == ""


@pytest.mark.shared_memory
def test_shared_memory_has_room_for_the_recorders_alone(jobs: Any, tmp_path: Path) -> None:
    """Collectives go over MPI then: no rank ends in the middle of the run for want of a page."""
    found = on_device(jobs, tmp_path, Path("/dev/shm"), "900k", tmp_path / "out")
    assert found.code == 0, found.err
    printed = json.loads(found.out)
    assert printed["collectives"]["over"] == "mpi"
    assert printed["requests"]["completed"] == 200
    assert (tmp_path / "left").read_text() == ""


def test_the_disk_of_a_run_fills(jobs: Any, tmp_path: Path) -> None:
    device = tmp_path / "disk"
    device.mkdir()
    found = on_device(jobs, tmp_path, device, "100k", device / "out")
    assert found.code == 74, found.err
    assert "Traceback" not in found.err
    printed = json.loads(found.out)
    assert (printed["outcome"], printed["exit_code"]) == ("output_lost", 74)
    assert printed["output_lost"]["exit_code"] == 0, "the run itself"
    assert any("No space left on device" in one for one in printed["output_lost"]["files"])
    assert printed["requests"]["completed"] == 200
    left = set((tmp_path / "left").read_text().split())
    assert "out/config.yaml" in left
