"""What cannot be written: the run goes on, and says in the end what was lost, with code 74."""

from __future__ import annotations

import errno
import json
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import adpkv
from adpkv.config import parse
from adpkv.errors import StuckError
from adpkv.output import RunFolder, merge_parts
from adpkv.output.closing import closing_sentence
from adpkv.output.losses import LineFile, Losses, complete, lost_sentence, with_losses
from adpkv.worlds.virtual.run import simulate
from tests.scenarios.story import setting

FULL = Path("/dev/full")


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file grows beyond that: what a full disk is to a process, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def experiment(**sections: Any) -> Any:
    return parse(setting("lost", 1, 1, **sections), "lost")


def test_a_batch_is_in_the_file_whole_or_not_at_all(tmp_path: Path) -> None:
    losses = Losses()
    file = LineFile(tmp_path / "lines", losses)
    with files_end_at(10):
        file.write(b"whole\n")
        file.write(b"half of this\n")
        file.write(b"3\n")
    file.close()
    assert (tmp_path / "lines").read_bytes() == b"whole\n"
    assert losses.told() == ("lines: File too large",)


def test_a_folder_that_is_gone_is_a_loss(tmp_path: Path) -> None:
    losses = Losses()
    LineFile(tmp_path / "gone" / "lines", losses).write(b"x\n")
    assert losses.told() == ("lines: No such file or directory",)


def test_parts_that_cannot_be_merged_stay(tmp_path: Path) -> None:
    folder, losses = RunFolder(tmp_path), Losses()
    folder.events_part(0).write_text('{"at_ns":1,"rank":0,"kind":"a","request":-1}\n')
    with files_end_at(10):
        merge_parts(folder, losses)
    assert losses.told() == ("events.jsonl: File too large",)
    assert [path.name for path in tmp_path.iterdir()] == ["events.0.part"]


@pytest.mark.parametrize("own", [0, 75, 143, 2])
def test_a_loss_is_worse_than_these(own: int) -> None:
    said = with_losses({"exit_code": own, "outcome": "x"}, ["f: full"])
    assert (said["exit_code"], said["outcome"]) == (74, "output_lost")
    assert said["output_lost"] == {
        "files": ["f: full"],
        "exit_code": own,
        "outcome": with_losses({"exit_code": own}, ["f: full"])["output_lost"]["outcome"],
    }


@pytest.mark.parametrize("own", [70, 4, 3, 5])
def test_a_loss_is_told_beside_what_is_worse(own: int) -> None:
    said = with_losses({"exit_code": own, "outcome": "x"}, ["f: full"])
    assert said["exit_code"] == own
    assert f"the run itself ended with {own}, " in lost_sentence(said)


def test_of_many_losses_a_few_are_named() -> None:
    said = with_losses({"exit_code": 0}, [f"events.{rank}.part: full" for rank in range(64)])
    assert "events.3.part: full; and 60 more" in lost_sentence(said)


def test_a_summary_that_cannot_be_written_says_so_itself(tmp_path: Path) -> None:
    said = complete(
        RunFolder(tmp_path / "gone"), {"exit_code": 0, "outcome": "completed"}, Losses()
    )
    assert said["exit_code"] == 74
    assert "summary.json: No such file or directory" in lost_sentence(said)


# -- whole runs in virtual time ----------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 300])
def test_a_full_disk_ends_no_run(tmp_path: Path, size: int, monkeypatch: Any) -> None:
    whole = simulate(experiment(), out=tmp_path / "whole").summary
    began = RunFolder.begin

    def then_full(folder: RunFolder, experiment: Any) -> None:
        began(folder, experiment)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(RunFolder, "begin", then_full)
    with files_end_at(soft):
        result = simulate(experiment(), out=tmp_path / "out")
    assert result.exit_code == 74
    assert result.summary["requests"] == whole["requests"]
    assert "the run itself ended with 0, completed" in closing_sentence(result.summary)
    lost = result.summary["output_lost"]["files"]  # type: ignore[index]
    assert ("summary.json" in "".join(lost)) != (tmp_path / "out" / "summary.json").exists()
    for name in ("requests.jsonl", "events.jsonl"):
        for line in (tmp_path / "out" / name).read_text().splitlines():
            json.loads(line)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tmp")) == []


def test_a_folder_that_is_removed_ends_no_run(tmp_path: Path) -> None:
    gone = False

    def remove(*_: Any) -> None:
        nonlocal gone
        if not gone:
            shutil.rmtree(tmp_path / "out")
            gone = True

    result = simulate(experiment(), out=tmp_path / "out", on_progress=remove)
    assert result.exit_code == 74
    assert "summary.json: No such file" in closing_sentence(result.summary)


def test_a_stuck_run_tells_its_report_where_no_file_can_be_written(
    tmp_path: Path, monkeypatch: Any
) -> None:
    from adpkv.diagnosis.conclude import conclude, error_text

    error = StuckError("they stand")
    conclude(RunFolder(tmp_path / "gone"), error, 0, Losses())
    assert error_text(error).splitlines() == [
        "they stand",
        "could not be written: deadlock.json: No such file or directory",
    ]


def test_a_stuck_run_tells_that_its_summary_is_lost(tmp_path: Path, monkeypatch: Any) -> None:
    from adpkv.diagnosis.conclude import error_text
    from adpkv.field_policies import assembly

    stuck = adpkv.load("regressions/03-gate-that-differs-by-one-block")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "write_summary", full)
    with pytest.raises(StuckError) as caught:
        simulate(stuck, out=tmp_path / "out", assemble=assembly(stuck))
    last = error_text(caught.value).splitlines()[-1]
    assert last == "could not be written: summary.json: No space left on device"
