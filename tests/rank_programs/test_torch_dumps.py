"""Dumps of PyTorch's Flight Recorder: torch's own analyser reads them, and names the culprit."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adpkv.cli.app import app
from adpkv.errors import UsageError
from tests.rank_programs.test_own_ranks import EARLY_RETURN

PROGRAMS = Path(__file__).parent / "programs"


def checked(target: str, folder: Path, *more: str) -> None:
    words = ["check", target, "-n", "4", "--quiet", "--flight-recorder", str(folder), *more]
    assert CliRunner().invoke(app, words).exit_code in (3, 4)
    names = [f"nccl_trace_rank_{rank}" for rank in range(4)]
    assert sorted(file.name for file in folder.iterdir()) == names


def analysed(folder: Path, log: pytest.LogCaptureFixture) -> str:
    """What torch's analyser says of a folder."""
    pytest.importorskip("torch", reason="torch is not installed: make test-torch has it")
    from torch.distributed.flight_recorder import fr_trace

    with log.at_level("INFO"):
        fr_trace.main([str(folder)])
    return "\n".join(record.getMessage() for record in log.records)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("wrong_operation", ["Culprit rank 3", "COLLECTIVE_TYPE_MISMATCH", "'broadcast'"]),
        ("wrong_shape", ["Culprit rank 1", "SIZE_OR_SYNTAX_MISMATCH", "[[3]]"]),
        ("absent_from_the_rendezvous", ["missing ranks: {2}", "the rendezvous"]),
        ("crossed_sends", ["gloo:send 0->1", "missing ranks"]),
    ],
)
def test_torchs_analyser_names_the_culprit(
    tmp_path: Path, fault: str, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("torch", reason="torch is not installed: make test-torch has it")
    checked(f"{PROGRAMS / 'torch_faults.py'}:{fault}", tmp_path / "dumps")
    text = analysed(tmp_path / "dumps", caplog)
    for part in (*told, "torch_faults.py"):
        assert part in text


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (EARLY_RETURN, "missing ranks: {2}"),
        (
            "from mpi4py import MPI\ndef program():\n"
            "    rank = MPI.COMM_WORLD.rank\n"
            "    MPI.COMM_WORLD.allreduce(1)\n"
            "    MPI.COMM_WORLD.barrier() if rank == 1 else MPI.COMM_WORLD.gather(1)\n",
            "Culprit rank 1",
        ),
    ],
)
def test_other_programs_are_read_too(
    tmp_path: Path, program: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "worker.py").write_text(program)
    checked(f"{tmp_path / 'worker.py'}:program", tmp_path / "dumps")
    dump = pickle.loads((tmp_path / "dumps" / "nccl_trace_rank_2").read_bytes())
    assert dump["version"] == "2.10"
    states = [entry["state"] for entry in dump["entries"]]
    assert states[0] == "completed"
    assert dump["entries"][0]["frames"][-1]["name"] == "program"
    assert told in analysed(tmp_path / "dumps", caplog)


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nccl_trace_rank_9").write_bytes(b"")
    done = CliRunner().invoke(app, ["check", "x.py", "--flight-recorder", str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    (tmp_path / "worker.py").write_text(EARLY_RETURN)
    words = ["check", f"{tmp_path / 'worker.py'}:program", "--flight-recorder", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert "it must be a new or an empty folder" in str(done.exception)
    words[-1] = str(tmp_path / "worker.py" / "below")
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, UsageError)
    assert "below: cannot write here: Not a directory" in str(done.exception)


def test_it_is_said_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(EARLY_RETURN)
    folder = tmp_path / "dumps"
    words = ["check", f"{tmp_path / 'worker.py'}:program", "-n", "4", "--flight-recorder"]
    done = CliRunner().invoke(app, [*words, str(folder)])
    assert f"4 dumps of PyTorch's Flight Recorder in {folder}: nccl_trace_rank_0 to" in done.stderr
    (tmp_path / "good.py").write_text("async def program(rank):\n    await rank.barrier()\n")
    words[1] = f"{tmp_path / 'good.py'}:program"
    done = CliRunner().invoke(app, [*words, str(tmp_path / "none"), "--schedules", "3"])
    assert "no dumps of PyTorch's Flight Recorder in" in done.stderr
