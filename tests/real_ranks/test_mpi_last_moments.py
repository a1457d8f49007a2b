"""The last moments of a job: MPI is to be finalized, or has been, and something is broken. The job
ends all the same, in bounded time, with the code that its ranks have agreed on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real_ranks.conftest import outlives_or_skip

ASKED_TO_STOP, COMPLETED = 143, 0
DEADLOCK = 3
BOUND_S = 60


@pytest.fixture(autouse=True)
def ulfm() -> None:
    outlives_or_skip()


def whole(folder: Path) -> None:
    """Everything was written before that moment."""
    out = folder / "out"
    assert json.loads((out / "summary.json").read_text())["exit_code"] == ASKED_TO_STOP
    assert sorted(path.name for path in out.iterdir()) == [
        "config.yaml", "events.jsonl", "ranks.jsonl", "requests.jsonl", "summary.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("how", "victims", "by"),
    [
        pytest.param("killed-before", ["2"], "adpkv", marks=pytest.mark.campaign),
        pytest.param("killed-before", ["0", "3", "5"], "mpirun", marks=pytest.mark.campaign),
        ("killed-inside", ["0"], "adpkv"),
        pytest.param("stopped-before", ["6"], "adpkv", marks=pytest.mark.campaign),
        ("stopped-before", ["0"], "mpirun"),
    ],
)
def test_a_rank_is_lost_in_finalize(
    program, tmp_path: Path, how: str, victims: list[str], by: str
) -> None:
    argv = ["finalizes", 8, str(tmp_path), how, *victims]
    found = program(*argv, timeout_s=BOUND_S, outlives=True, by=by)
    # Open MPI 5.0.11 may crash in the others as a rank dies there, and mpirun ends with 0 then;
    # `adpkv run` takes the summary's code.
    crashed = "Segmentation fault" in found.err
    assert found.code in ({ASKED_TO_STOP, COMPLETED} if crashed else {ASKED_TO_STOP}), found.err
    assert "adpkv:" not in found.err
    whole(tmp_path)


@pytest.mark.parametrize("by", [pytest.param("adpkv", marks=pytest.mark.campaign), "mpirun"])
def test_a_rank_stands_still_as_all_close(program, tmp_path: Path, by: str) -> None:
    argv = ["finalizes", 4, str(tmp_path), "stopped-leaving", "2"]
    found = program(*argv, timeout_s=BOUND_S, outlives=True, by=by)
    assert found.code == DEADLOCK, found.err
    assert "the others did not end the job within 1 s" in found.err


def test_mpirun_hangs_as_its_ranks_leave(program, tmp_path: Path) -> None:
    argv = ["finalizes", 4, str(tmp_path), "mpirun-stopped", "1"]
    found = program(*argv, timeout_s=BOUND_S, outlives=True, by="adpkv")
    assert found.code == ASKED_TO_STOP, found.err
    assert found.err.count("adpkv: killing mpirun: its ranks have ended, mpirun has not") == 1
    whole(tmp_path)


@pytest.mark.parametrize(
    ("how", "victim", "by"),
    [
        ("killed-summed-up", "0", "mpirun"),
        pytest.param("killed-summed-up", "0", "adpkv", marks=pytest.mark.campaign),
        pytest.param("killed-showing", "0", "mpirun", marks=pytest.mark.campaign),
        ("killed-showing", "2", "mpirun"),
    ],
)
def test_who_is_lost_when_the_summary_is_written_changes_nothing(
    program, tmp_path: Path, how: str, victim: str, by: str
) -> None:
    """The job ends with the code in there, and what rank 0 prints, it prints once."""
    argv = ["finalizes", 4, str(tmp_path), how, victim]
    found = program(*argv, timeout_s=BOUND_S, outlives=True, by=by)
    assert found.code == ASKED_TO_STOP, found.err
    whole(tmp_path)
    if victim == "0":
        assert "rank 0 has failed when the run was over: summary.json says" in found.err
        assert not found.out
    else:
        assert json.loads(found.out) == json.loads((tmp_path / "out" / "summary.json").read_text())


def test_rank_0_stands_still_when_the_summary_is_written(program, tmp_path: Path) -> None:
    argv = ["finalizes", 4, str(tmp_path), "stopped-summed-up", "0"]
    found = program(*argv, timeout_s=BOUND_S, outlives=True)
    assert found.code == ASKED_TO_STOP, found.err
    assert "the others did not end the job within 1 s" in found.err
    whole(tmp_path)
