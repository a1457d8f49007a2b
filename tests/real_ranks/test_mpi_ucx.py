"""Transport ucx between real processes."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from adpkv.testing.transport import BODIES
from tests.transport.ucx_killed import CASES

pytestmark = pytest.mark.skipif(
    find_spec("ucxx") is None, reason="no ucxx in this environment: pip install 'adpkv[ucx]'"
)


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(("large",), marks=pytest.mark.campaign),
        ("odd", "faulty"),
        pytest.param(("large", "errors-off"), marks=pytest.mark.campaign),
        ("odd", "staged"),
    ],
)
def test_transport_ucx_conforms(program, argv: tuple[str, ...]) -> None:
    """Blocks that are copied once; blocks of an odd size, with the fault seam around it; over
    shared memory, which UCX may use where no connection is watched; through slots that are smaller
    than the transfers."""
    found = program("transport", 2, "ucx", *argv)
    assert found.code == 0, found.err
    passed = [line.split()[1] for line in found.out.splitlines() if line.startswith("passed")]
    assert passed == list(BODIES)
    assert "UCX" not in found.err, "a run prints nothing of its libraries"


def test_an_end_is_proven_when_a_peer_is_killed_or_stopped(jobs) -> None:
    """Before, during and after, the sender and the receiver: see tests/transport/ucx_killed.py."""
    found = jobs.finish(jobs.start([sys.executable, "-m", "tests.transport.ucx_killed"]), 120)
    assert found.code == 0, found.err
    assert found.out.split() == [word for name in CASES for word in ("passed", name)]


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ("import_before_mpi('ucx')", "ucx 0."),
        ("pass", "something has imported mpi4py.MPI before ucxx"),
    ],
)
def test_ucxx_is_imported_before_mpi_or_it_is_said_why_not(mpirun, first: str, says: str) -> None:
    program = f"""
from adpkv.errors import UsageError
from adpkv.worlds.mpi.transports import import_before_mpi
{first}
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
from adpkv.transport.ucx_library import library
print(MPI.Get_library_version().splitlines()[0])
try:
    print("ucx", library().ucxx_version)
except UsageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert says in done.stdout, done.stdout


BLOCKER = """
import os, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "ucxx":
            raise ModuleNotFoundError("No module named 'ucxx'", name="ucxx")

if os.environ.get("OMPI_COMM_WORLD_RANK", os.environ.get("PMI_RANK")) == "1":
    sys.meta_path.insert(0, Missing())
"""


def test_a_rank_without_ucxx_ends_the_job_once_before_anything_runs(
    jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "out"
    argv = [sys.executable, "-m", "adpkv", "run", "four-ranks", "--quiet", "--out", str(out)]
    found = jobs.finish(jobs.start([*argv, "--set", "transceiver.transport=ucx"]), 60)
    assert found.code == 2, found.err
    assert found.err.splitlines() == [
        "adpkv: rank 1: transceiver.transport: ucx: there is no module ucxx: "
        "pip install 'adpkv[ucx]' (CUDA 13), or 'adpkv[ucx-cuda12]'"
    ]
    assert not out.exists()
