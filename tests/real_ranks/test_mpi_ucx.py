"""Transport ucx between real processes."""

from __future__ import annotations

import os
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
        ("large", "split"),
    ],
)
def test_transport_ucx_conforms(program, argv: tuple[str, ...]) -> None:
    """Blocks that are copied once; blocks of an odd size, with the fault seam around it; over
    shared memory, which UCX may use where no connection is watched; through slots that are smaller
    than the transfers; in messages that are smaller than a block."""
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


ONE_PROCESS = """
import sys
from adpkv.transport.ucx_library import library
from adpkv.transport.ucx_settings import AT_ONCE_OVER_TCP, made, over_tcp

ucx = library()
context, copies, at_once = made(ucx, on_host=True, error_handling=True)
assert copies and at_once
if sys.argv[1] == "in parts":
    settings = over_tcp(AT_ONCE_OVER_TCP)
    del settings["PROTOS"]
    context = ucx.context(settings, (ucx.tag_feature,))
ends = [ucx.worker(context), ucx.worker(context)]
there = ucx.address.create_from_buffer(ucx.address.create_from_worker(ends[1]).tobytes())
endpoint = ends[0].create_endpoint_from_worker_address(there, True)
room, message = bytearray(AT_ONCE_OVER_TCP), bytes([7]) * AT_ONCE_OVER_TCP
requests = [
    ends[1].tag_recv(ucx.array(memoryview(room)), ucx.tag(1)),
    endpoint.tag_send(ucx.array(memoryview(message)), ucx.tag(1)),
]
while not all(request.completed for request in requests):
    for end in ends:
        end.progress_once()
assert room == message
"""
IN_PARTS = "multi-frag eager"


@pytest.mark.parametrize("how", ["at once", "in parts"])
def test_no_message_is_sent_at_once_in_several_parts(how: str) -> None:
    """Its receive would never end if its sender died between two of them. UCX says itself how it
    sends, and would choose such parts if it might."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_PROCESS, how],
        env=os.environ | {"UCX_PROTO_INFO": "y", "UCX_LOG_LEVEL": "info", "UCX_TLS": "tcp,self"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    table = done.stdout.partition("ucp_tag_send* from host memory")[2].partition("ucp_tag_send")[0]
    assert "eager zero-copy" in table, done.stdout
    assert (IN_PARTS in table) == (how == "in parts"), table
    assert how == "in parts" or "1..512K" in table


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
