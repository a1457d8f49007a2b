"""Commands whose disk is full: one clear line, the code of docs/outputs.md, and no half of a file.

`tests/output/test_losses.py` has what a run does that cannot write its own files.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adpkv.cli.app import app
from adpkv.errors import UsageError
from adpkv.whole_files import whole, write_whole
from tests.output.test_losses import files_end_at

PARTING = """
from mpi4py import MPI

if MPI.COMM_WORLD.rank == 0:
    MPI.COMM_WORLD.bcast(1)
else:
    MPI.COMM_WORLD.barrier()
"""


def test_a_file_is_whole_or_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "before")
    with files_end_at(10), pytest.raises(OSError, match="File too large"):
        write_whole(path, "longer than ten bytes")
    with suppress(KeyboardInterrupt), whole(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "before"


@pytest.mark.parametrize("room", [0, 100])
def test_no_part_of_an_experiment_is_left(room: int, tmp_path: Path) -> None:
    """It would be there already when `adpkv init` is called again."""
    words = ["init", str(tmp_path / "mine")]
    with files_end_at(room):
        ended = CliRunner().invoke(app, words)
    assert isinstance(ended.exception, UsageError)
    assert str(ended.exception).endswith("mine.yaml: cannot be written: File too large")
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(app, words).exit_code == 0


def test_a_find_is_told_though_its_dumps_have_no_room(tmp_path: Path) -> None:
    program, dumps = tmp_path / "program.py", tmp_path / "dumps"
    program.write_text(PARTING)
    words = ["check", str(program), "-n", "2", "--flight-recorder", str(dumps)]
    with files_end_at(100):
        ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 3
    assert f"adpkv: --flight-recorder {dumps}: no dumps: File too large" in ended.output
    assert "--replay c1." in ended.output
    assert list(dumps.iterdir()) == []


def test_the_winner_of_a_sweep_has_no_room(tmp_path: Path) -> None:
    """Its runs are kept: the sweep goes on once there is room."""
    out = tmp_path / "out"
    few = ["quickstart", "--set", "workload.requests=2", "--vary", "workload.rate=10,20"]
    words = ["sweep", *few, "--optimize", "min ttft_p99", "--jobs", "1", "--out", str(out)]
    assert CliRunner().invoke(app, words).exit_code == 0
    winner = (out / "winner.yaml").read_text()
    (out / "winner.yaml").unlink()
    (out / "winner.yaml").mkdir()
    again = ["sweep", "--resume", str(out)]
    ended = CliRunner().invoke(app, again)
    assert ended.exit_code == 74
    assert "cannot write here: Is a directory; what has ended" in ended.output
    (out / "winner.yaml").rmdir()
    assert CliRunner().invoke(app, again).exit_code == 0
    assert (out / "winner.yaml").read_text() == winner
