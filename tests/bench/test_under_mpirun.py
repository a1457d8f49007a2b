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


def test_the_transport_is_measured_per_size(mpirun: Path) -> None:
    from adpkv.bench.transport import transport
    from adpkv.bench.transport_ranks import Sizes

    found = transport(sizes=(Sizes(4096, 3), Sizes(65536, 1)), rounds=2)
    assert [one.name for one in found] == ["transport mpi, 4KiB x 3", "transport mpi, 64KiB x 1"]
    assert all(one.value > 0 for one in found)
    assert all(one.ratio for one in found)


def test_a_job_that_does_not_end_is_ended(mpirun: Path) -> None:
    with pytest.raises(AdpkvError, match="did not end within 1 s"):
        run_ranks("tests.bench.stuck", 1, [], bound_s=1)
