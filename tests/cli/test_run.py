"""`adpkv run`: which process is a rank, and what the ranks are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.cli.launched import launched_rank
from adpkv.cli.rank import RankCall
from adpkv.cli.running import _readable_again
from adpkv.config import load

SHIPPED = Path(__file__).parents[2] / "configs" / "four-ranks.yaml"


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


def test_the_ranks_get_a_file_that_they_can_read(tmp_path: Path) -> None:
    """What they open is not what the launcher has read: its pipe is empty, its descriptors are not
    theirs, and what was removed has no name."""
    file, pipe, link = tmp_path / "a.yaml", tmp_path / "pipe", tmp_path / "link"
    file.write_text(SHIPPED.read_text())
    os.mkfifo(pipe)
    experiment = load(file)

    def told(given: str) -> RankCall:
        with _readable_again(RankCall(given, ("seed=1",), None, True, False), experiment) as call:
            assert load(Path(call.file)) == experiment
            return call

    assert told(str(file)).file == str(file)
    with file.open() as opened:
        link.symlink_to(f"/proc/self/fd/{opened.fileno()}")
        for given in (f"/dev/fd/{opened.fileno()}", str(link)):
            assert told(given) == (str(file), ("seed=1",), None, True, False, "")
        file.unlink()
        for given in (f"/dev/fd/{opened.fileno()}", str(link), str(pipe)):
            call = told(given)
            assert call.file.endswith("/experiment.yaml")
            assert call.overrides == ()
            assert not Path(call.file).exists()


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
