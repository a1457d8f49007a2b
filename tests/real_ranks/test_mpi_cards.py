"""Ranks whose transports do not fit end the job together, once, before anything runs."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import pytest
from mpi4py import MPI

from adpkv.transport.cards import Card
from adpkv.worlds.mpi.cards import exchange
from tests.real_ranks.conftest import MPIRUN
from tests.real_ranks.nixl_here import needs_nixl
from tests.real_ranks.test_mpi_launch import BIN

EXPERIMENT = """
name: cards
topology: {context: {ranks: 1}, generation: {ranks: 1}}
workload: {kind: script, requests: [{at: 0s, prompt_tokens: 64, output_tokens: 4}]}
"""


@needs_nixl
@pytest.mark.parametrize(
    ("own", "said"),
    [
        (("transport=mpi", "transport=nixl"), "rank 0 has mpi, rank 1 has nixl: all ranks of a"),
        (
            ("nixl_backend=UCX", "nixl_backend=POSIX"),
            "rank 1: transceiver.nixl_backend: POSIX does not write into other ranks' memory",
        ),
        (("nixl_backend=NONE", "nixl_backend=NONE"), "cannot create NONE here"),
    ],
)
def test_differences_end_the_job_with_2(
    jobs, tmp_path: Path, own: tuple[str, str], said: str
) -> None:
    file, out = tmp_path / "cards.yaml", tmp_path / "out"
    file.write_text(EXPERIMENT)
    argv = [str(MPIRUN)]
    for number, one in enumerate(own):
        more = [] if "transport" in one else ["--set", "transceiver.transport=nixl"]
        argv += [":"] * bool(number) + ["-n", "1", str(BIN / "adpkv"), "run", str(file)]
        argv += ["--out", str(out), "--set", f"transceiver.{one}", *more]
    found = jobs.finish(jobs.start(argv), 60)
    assert found.code == 2, found.err
    assert found.err.count(said) == 1, found.err
    assert "Traceback" not in found.err
    assert not out.exists()


def test_a_card_that_never_came_is_a_failed_rank() -> None:
    """The gather of a rank that died in it may end well elsewhere, with nothing in its place."""

    class Torn:
        size = 2

        def Allgather(self, sent: Any, landing: Any) -> None:  # noqa: N802
            landing[0][:] = array("Q", [sent[0][0]] * 2)

        def Allgatherv(self, sent: Any, landing: Any) -> None:  # noqa: N802
            landing[0][: sent[1]] = sent[0]

    with pytest.raises(MPI.Exception) as raised:
        exchange(Torn(), Card("mpi"))  # type: ignore[arg-type]
    assert raised.value.Get_error_class() == MPI.ERR_PROC_FAILED
