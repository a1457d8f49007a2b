"""`adpkv regress`: what it prints, what it writes, what it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.errors import UsageError
from adpkv.regressions.catalogue import choose, find_folder, read
from adpkv.regressions.showing import END
from tests.cli.forked import adpkv
from tests.regressions.regress_files import write

BROKEN = {"before": {"virtual": {"error": "deadlock"}}}
MARKS = f"text\n\n<!-- made by adpkv regress --world virtual -->\nold\n{END}\n\nmore\n"


def regress(folder: Path, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return adpkv(folder, "regress", "--from", folder, *argv, **environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "files", "1-one")
    write(tmp_path / "files", "2-two", regression={"id": "2", "title": "[bold] other"})
    return tmp_path / "files"


def test_all_hold(folder: Path) -> None:
    done = regress(folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["1/2  1 one alone", "2/2  2 [bold] other"]
    head, one, *rest = done.stdout.splitlines()
    assert head.split() == ["scenario", "reference", "before", "after", "time"]
    assert one.startswith("1 one alone")
    assert "#7" in one
    assert "reproduced: mismatch: rank 2 in tp_gather at respond" in one
    assert "held" in one
    assert "2 [bold] other" in done.stdout, "a title is no markup"
    assert rest[-1].startswith("2 of 2 regressions held in ")
    assert sorted(path.name for path in folder.iterdir()) == ["1-one.yaml", "2-two.yaml"]


def test_one_that_does_not_hold_makes_it_4(folder: Path) -> None:
    write(folder, "3-wrong", regression={"id": "3", **BROKEN})
    done = regress(folder)
    assert done.returncode == 4
    assert "NOT reproduced: expected deadlock, saw mismatch" in done.stdout
    assert done.stdout.rstrip().endswith("; not: 3")
    assert done.stdout.rstrip().splitlines()[-1].startswith("2 of 3 regressions held in ")
    quiet = regress(folder, "3", "--quiet", "--out", "kept")
    assert (quiet.returncode, quiet.stdout) == (4, "")
    (line,) = quiet.stderr.splitlines()
    assert line.startswith("adpkv: 0 of 1 regression held in ")
    assert line.endswith("; not: 3; files: kept")


def test_json_alone_on_stdout(folder: Path) -> None:
    done = regress(folder, "2", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert [one["id"] for one in said["regressions"]] == ["2"]


def test_a_key_is_set_for_both_runs(folder: Path, tmp_path: Path) -> None:
    regress(folder, "1", "--set", "seed=77", "--out", str(tmp_path / "kept"), "--quiet")
    kept = [tmp_path / "kept" / "1" / which / "config.yaml" for which in ("before", "after")]
    assert all("seed: 77\n" in path.read_text() for path in kept)
    done = regress(folder, "1", "--set", "executor.nonsense=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "executor.nonsense" in done.stderr


def test_the_files_of_all_runs_on_request(folder: Path, tmp_path: Path) -> None:
    done = regress(folder, "1", "--out", str(tmp_path / "kept"), "--quiet")
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "kept/1/before/deadlock.json").exists()
    assert (tmp_path / "kept/1/after/summary.json").exists()
    again = regress(folder, "1", "--out", str(tmp_path / "kept"), "--quiet")
    assert again.returncode == 0, again.stderr


def test_a_table_is_made_anew_between_its_marks(folder: Path, tmp_path: Path) -> None:
    document = tmp_path / "doc.md"
    document.write_text(MARKS)
    assert regress(folder, "--update", str(document), "--quiet").returncode == 0
    text = document.read_text()
    assert text.startswith("text\n\n<!-- made by adpkv regress --world virtual -->\n\n| scenario |")
    assert "| 1 one alone | #7 | reproduced: mismatch: rank 2 in tp_gather" in text
    assert text.endswith(f"\n\n{END}\n\nmore\n")
    assert regress(folder, "--update", str(document), "--quiet").returncode == 0
    assert document.read_text() == text, "the same each time"


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["3"], "adpkv: there is no regression '3': known are 1, 2"),
        (["1", "--world", "mpi"], "adpkv: regression '1' says nothing of the world mpi"),
        (["--world", "mpi"], "adpkv: none of the regressions says anything of the world mpi"),
        (["1", "--update", "x.md"], "adpkv: --update writes the table of all regressions"),
        (["--update", "x.md"], "adpkv: x.md: cannot be read: No such file or directory"),
        (["--update", "1-one.yaml"], "adpkv: 1-one.yaml: needs the lines <!-- made by"),
        (["--out", "1-one.yaml"], "adpkv: 1-one.yaml/1/before: cannot write here"),
    ],
)
def test_bad_input_is_told_in_a_line(folder: Path, argv: list[str], told: str) -> None:
    done = regress(folder, *argv)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("adpkv: ")]
    assert line.startswith(told)
    assert "Traceback" not in done.stderr


def test_who_is_about_blocks_keeps_them_unstaged() -> None:
    """With staging peers never touch a block, and there would be nothing to see."""
    staged = ["transceiver.staging=on"]
    found = {one.regression.id: one for one in read(find_folder(None), staged)}
    pinned = [name for name, one in found.items() if one.pinned]
    assert {"8", "18", "20", "21"} <= set(pinned)
    for name, one in found.items():
        assert one.experiment.transceiver.staging == ("off" if name in pinned else "on")
    with pytest.raises(UsageError, match=r"regression '21' is about blocks.*staging=off"):
        choose(list(found.values()), ["1", "21"], "virtual")
    assert not any(one.pinned for one in read(find_folder(None), ["transceiver.staging=off"]))


def test_it_is_no_rank_of_a_job(folder: Path) -> None:
    done = regress(folder, OMPI_COMM_WORLD_RANK="0")
    assert done.returncode == 2
    assert "adpkv regress starts mpirun itself" in done.stderr


def test_what_a_regression_names_is_looked_for_in_the_current_folder(
    folder: Path, tmp_path: Path
) -> None:
    """As `adpkv simulate` has it: the script's own folder is where Python would look."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "mine.py").write_text("class Never:\n    def choose(self, request, loads, room): ...\n")
    write(folder, "3-named", router={"policy": "mine:Never"}, regression={"id": "3"})
    argv = [Path(sys.executable).with_name("adpkv"), "regress", "3", "--from", folder, "--quiet"]
    done = subprocess.run(argv, cwd=here, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4, "found, and nobody is served by it"
    assert done.stderr.endswith("; not: 3\n")
    assert "mine" not in done.stderr
