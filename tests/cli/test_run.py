"""`adpkv run`: which process is a rank, and what the ranks are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.cli.launched import launched_rank
from adpkv.cli.rank import RankCall


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, None),
        ({"HOME": "/"}, None),
        ({"OMPI_COMM_WORLD_RANK": "3"}, 3),
        ({"PMI_RANK": "0"}, 0),
        ({"PMIX_RANK": "odd", "PMI_RANK": "2"}, 2),
    ],
)
def test_a_launcher_gives_a_rank(environment: dict[str, str], rank: int | None) -> None:
    assert launched_rank(environment) == rank


def test_the_ranks_get_the_same_call() -> None:
    call = RankCall("a b.yaml", ["seed=1", 'name="b"'], "o", quiet=True, as_json=True)
    python, *module, told = call.command("job-7")
    assert (python, module) == (sys.executable, ["-m", "adpkv.cli.rank"])  # a clone
    assert RankCall(**json.loads(told)) == call._replace(job="job-7")


def test_many_ranks_complain_once(mpirun: Path, tmp_path: Path) -> None:
    script = "from adpkv.cli.app import main; main()"
    ended = subprocess.run(
        [mpirun, "-n", "4", sys.executable, "-c", script, "run", str(tmp_path / "none.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("none.yaml: 1 problem") == 1
    assert list(tmp_path.iterdir()) == []
