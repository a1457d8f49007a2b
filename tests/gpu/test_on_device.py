"""The same on a real GPU, where there is one; `tests.gpu.run` has all that needs one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.real_ranks.conftest import ROOT

LOOK = "from adpkv.gpu.device import device_count; device_count()"


@pytest.fixture(scope="module")
def device() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no GPU"]
        pytest.skip(said[-1])


@pytest.mark.parametrize("stage", ["smoke", "memory", "twin"])
def test_a_stage_on_a_real_device(device: None, stage: str) -> None:
    command = [sys.executable, "-m", "tests.gpu.stages", stage]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
