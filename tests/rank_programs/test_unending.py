"""Ranks that hang, or do not end when they are told to: found, told with their line, and ended."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

from adpkv.errors import TargetError
from adpkv.rank_programs import coroutines, real_ranks, threads
from adpkv.rank_programs.failure import What
from adpkv.rank_programs.report import Report
from adpkv.rank_programs.report_text import render
from adpkv.rank_programs.target import parse_target
from tests.rank_programs.conftest import Check

SYNC = """
def program(comm):
    if comm.Get_rank() == 1:
        while True:
            pass
    comm.barrier()
"""

ASYNC = """
async def program(rank):
    await rank.barrier()
    while rank.rank == 1:
        pass
"""

SWALLOWS = """
{word} program({name}):
    try:
        {wait}{name}.barrier()
        while True:
            pass
    except BaseException:
        pass
    while threading.current_thread() is not threading.main_thread():
        pass
"""


def _report(found: object) -> Report:
    report = getattr(found, "report")  # noqa: B009
    assert isinstance(report, Report)
    return report


@pytest.mark.parametrize(("text", "line"), [(SYNC, 4), (ASYNC, 4)])
def test_a_hang_of_any_rank_tells_its_line(checked: Check, text: str, line: int) -> None:
    report = _report(checked(text, ranks=3, most_seconds=0.2))
    assert report.evidence.failure.what is What.HANG
    assert report.diagnosis.odd == (1,)
    assert report.evidence.ranks[1].stack[-1].line in (line, line + 1)
    told = render(report, None)
    assert "rank 1 neither met the others nor ended (at " in told
    assert re.search(r"! +rank 1 +runs.* \S*worker.py:\d+ ", told)
    assert not [t for t in threading.enumerate() if t.name.startswith("rank")]


@pytest.mark.parametrize(
    "words",
    [{"word": "def", "name": "comm", "wait": ""}, {"word": "async def", "name": "rank",
                                                   "wait": "await "}],
)  # fmt: skip
def test_a_rank_that_catches_its_end_is_told(
    checked: Check, monkeypatch: pytest.MonkeyPatch, words: dict[str, str]
) -> None:
    for module in (threads, coroutines):
        monkeypatch.setattr(module, "GRACE_SECONDS", 0.3)
    found = checked("import threading" + SWALLOWS.format(**words), ranks=2, most_seconds=0.2)
    told = render(_report(found), None)
    assert told.startswith("hang\n")
    assert re.search(r"^rank \d does not end when it is told to; .*worker.py:\d+ in", told, re.M)


@pytest.mark.parametrize("text", [SYNC, ASYNC])
def test_ctrl_c_ends_a_hang_quietly(tmp_path: Path, text: str) -> None:
    (tmp_path / "worker.py").write_text("print('here', file=__import__('sys').__stderr__)" + text)
    command = [sys.executable, "-m", "adpkv", "check", "worker.py:program", "-n", "2"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as job:
        assert job.stderr is not None
        assert job.stderr.readline() == "here\n"
        assert job.stderr.readline() == "here\n"
        os.kill(job.pid, signal.SIGINT)
        said = job.communicate(timeout=60)[1]
    assert job.returncode == 130, said
    assert "Traceback" not in said


@pytest.mark.parametrize("loop", ["while rank.clock >= 0: pass", "while 1: await rank.sleep(0)"])
def test_asking_our_api_for_ever_is_a_spin(checked: Check, loop: str) -> None:
    text = f"async def program(rank):\n    await rank.barrier()\n    {loop}\n"
    assert _report(checked(text, ranks=2)).evidence.failure.what is What.SPIN


def test_what_an_error_says_may_fail(checked: Check) -> None:
    text = """
    class Bad(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    async def program(rank):
        await rank.barrier()
        raise Bad
    """
    told = _report(checked(text, ranks=2)).diagnosis.sentence
    assert told.endswith("raised Bad: (its text cannot be had)")


def test_a_real_rank_says_where_it_is_before_its_job_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Over a communicator of one rank, whose barrier ends when the job is ended."""
    codes: list[int] = []
    ended = threading.Event()

    class Comm:
        rank, size = 0, 1

        barrier = Barrier = staticmethod(functools.partial(ended.wait, 30))

        def Abort(self, code: int) -> None:  # noqa: N802
            codes.append(code)
            ended.set()

    mpi = types.ModuleType("mpi4py")
    mpi.MPI = types.SimpleNamespace(COMM_WORLD=Comm())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mpi4py", mpi)
    monkeypatch.setattr(real_ranks, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "stuck.py"
    file.write_text("async def program(rank):\n    await rank.barrier()\n")
    real_ranks.run_for_real(parse_target(f"{file}:program"), None, 0.1)
    told = capfd.readouterr().err
    assert codes == [3]
    assert (
        "rank 0 has not ended with the others within 0.1 s: its last operation is barrier" in told
    )
    assert "stuck.py:2 in program: await rank.barrier()" in told
    with pytest.raises(TargetError, match="has no function nosuch; it has"):
        real_ranks.run_for_real(parse_target(f"{file}:nosuch"), None)
