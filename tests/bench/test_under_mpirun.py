"""The benches that start mpirun, tiny."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.bench.children import run_ranks
from adpkv.errors import AdpkvError


def test_the_executor_is_measured_idle_and_loaded(mpirun: Path) -> None:
    from adpkv.bench.executor import executor

    found = executor(group_ranks=1, active=8, steps=600, idle_iterations=300)
    assert [one.name for one in found] == [
        f"{what}, {regime}"
        for regime in ("idle", "loaded")
        for what in ("executor", "collectives", "one collective")
    ]
    assert all(one.value > 0 for one in found)
    assert found[1].note.startswith("3 collectives")
    assert found[4].note.startswith("4 collectives")


@pytest.mark.parametrize(
    ("name", "staged"), [("mpi", False), ("mpi", True), ("nixl", False), ("ucx", False)]
)
def test_a_transport_is_measured_beside_its_library(mpirun: Path, name: str, staged: bool) -> None:
    from adpkv.bench.transport import installed, transport
    from adpkv.bench.transport_cells import Cell, Kind

    kind = Kind(name, staged=staged)
    if kind not in installed():
        pytest.skip(f"the library of {name} is not installed")
    cells = (Cell(4096, 3), Cell(65536, 16, scattered=False))
    large = beside = Cell(65536, 4)
    found = transport([kind], cells=cells, large=large, beside=beside, rounds=2)
    names = [
        f"transport {kind}, 4KiB x 3 scattered",
        f"transport {kind}, 64KiB x 16 in order",
        f"transport {kind}, hold-up of an iteration by 256KiB",
        f"transport {kind}, 64KiB x 4 scattered, 1,023 idle sessions beside it",
    ]
    assert [one.name for one in found] == names[: 3 if staged else 4]
    assert all(one.value > 0 for one in found)
    assert [bool(one.target) for one in found] == (
        [False, False, True] if staged else [False, True, True, True]
    )
    assert "a plain copy" in found[0].note


def test_a_job_that_does_not_end_is_ended(mpirun: Path) -> None:
    with pytest.raises(AdpkvError, match="did not end within 1 s"):
        run_ranks("tests.bench.stuck", 1, [], bound_s=1)


@pytest.mark.campaign
def test_real_ranks_are_shown_beside_a_bare_mpirun(mpirun: Path) -> None:
    from adpkv.bench.start import run_start

    (found,) = run_start(turns=1)
    assert (found.reference_name, found.target) == ("bare mpirun", "value <= 2.5")
    assert found.value > 0
    assert "mpirun of 8 `true`" in found.note
