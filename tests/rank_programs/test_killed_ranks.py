"""Ranks that die at their operations: what the others get, what is found, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.rank_programs.checking import Checked, Plan, check, replay
from adpkv.rank_programs.choices import from_token
from adpkv.rank_programs.classify import Kind
from adpkv.rank_programs.failure import What
from adpkv.rank_programs.killed import killed_values
from adpkv.rank_programs.report import Report
from adpkv.rank_programs.report_text import render
from adpkv.rank_programs.report_values import as_values
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.summary import summary
from adpkv.rank_programs.target import parse_target
from tests.rank_programs.conftest import Check

SHRINKS = """
from adpkv.errors import RankLostError

async def program(rank):
    step = 0
    while step < 3:
        done = True
        try:
            await rank.tp_allgather(step)
        except RankLostError as error:
            assert error.rank != rank.rank
            done = False
        if {done}:
            step += 1
        else:
            await rank.shrink()
"""

NAIVE = SHRINKS.replace("{done}", "done")
AGREED = SHRINKS.replace("{done}", "await rank.agree(done)")


def failed(found: Checked) -> Report:
    assert found.report is not None
    return found.report


@pytest.mark.parametrize("kills", [0, 1, 2])
def test_as_many_die_as_may(checked: Check, kills: int) -> None:
    found = checked(
        """
        async def program(rank):
            for number in range(4):
                await rank.tp_allgather(number)
        """,
        schedules=60,
        kills=kills,
    )
    assert found.report is None
    values = killed_values(found.killed)
    assert (values["schedules"] > 40) == (kills > 0)
    assert values["ended_with_the_error"] + values["handled"] == values["schedules"]
    if kills:
        (place,) = values["places"]
        assert place["source"] == "await rank.tp_allgather(number)"
        assert place["ended_with_the_error"] > 0
        text = "\n".join(summary(found, 4, None))
        assert f"a rank died in {values['schedules']} schedules" in text
        assert "tp_allgather  worker.py:4" in text.replace(place["file"], "worker.py")


def test_a_kill_in_the_last_collective_is_seen_by_some(checked: Check) -> None:
    """One survivor has the result and returns, the other got an error and waits for it."""
    report = failed(checked(NAIVE, ranks=3, schedules=200, kills=1))
    assert report.diagnosis.kind is Kind.EARLY_EXIT
    assert "its part of it done" in report.diagnosis.sentence
    assert "waits in shrink #1" in report.diagnosis.sentence
    (kill,) = report.evidence.killed
    assert kill.within
    assert kill.rank not in (*report.diagnosis.odd, *report.diagnosis.others)
    text = render(report, None)
    assert f"rank {kill.rank}  was killed at tp_allgather #3" in text
    assert "--kill --replay" in report.replay
    (told,) = as_values(report)["killed"]
    assert told["rank"] == kill.rank
    assert told["source"] == "await rank.tp_allgather(step)"


def test_a_kill_is_replayed(checked: Check, tmp_path: Path) -> None:
    report = failed(checked(NAIVE, ranks=3, schedules=200, kills=1))
    target = parse_target(f"{tmp_path / 'worker.py'}:program")
    with Session(target, Settings(3, kills=1)) as session:
        again = failed(replay(session, from_token(report.token)))
    assert again.evidence == report.evidence


def test_who_ends_with_the_error_has_failed_if_asked(checked: Check) -> None:
    text = "async def program(rank):\n    await rank.barrier()\n    await rank.barrier()\n"
    report = failed(checked(text, schedules=60, kills=1, must_handle=True))
    assert report.evidence.failure.what is What.EXCEPTION
    assert "RankLostError: rank" in report.diagnosis.sentence
    assert "adpkv/rank_programs" not in render(report, None)


def test_an_error_of_the_handler_is_found(checked: Check) -> None:
    text = """
        from adpkv.errors import RankLostError
        async def program(rank):
            try:
                await rank.barrier()
            except RankLostError as error:
                {}[error.rank]
        """
    report = failed(checked(text, schedules=60, kills=1))
    assert report.diagnosis.sentence.split(". ", 1)[1].startswith("rank")
    assert "raised KeyError" in report.diagnosis.sentence
    orderly = text.replace("{}[error.rank]", "raise SystemExit(1) from error")
    assert checked(orderly, schedules=60, kills=1).report is None


def test_who_tries_for_ever_is_stopped(checked: Check) -> None:
    text = """
        from adpkv.errors import RankLostError
        async def program(rank):
            for _ in range(3):
                while True:
                    try:
                        await rank.barrier()
                        break
                    except RankLostError:
                        pass
        """
    report = failed(checked(text, ranks=2, schedules=60, kills=1))
    assert report.diagnosis.kind is Kind.SPIN
    assert "1,000 errors in a row about a rank that is gone" in report.diagnosis.sentence


def test_messages_of_a_killed_rank(checked: Check) -> None:
    """What was sent arrives; what was not, is an error for the one who waits for it."""
    found = checked(
        """
        from adpkv.errors import RankLostError
        async def program(rank):
            if rank.rank == 0:
                got = []
                for number in range(4):
                    try:
                        got.append(await rank.recv(1))
                    except RankLostError:
                        break
                assert got == list(range(len(got)))
            else:
                for number in range(4):
                    await rank.send(number, 0)
        """,
        ranks=2,
        schedules=100,
        kills=1,
    )
    assert found.report is None
    assert found.killed.schedules > 60


# -- all kills ---------------------------------------------------------------------------------


def test_all_kills_are_walked(tmp_path: Path) -> None:
    """A program that agrees after each step, on whether all have done it, survives all of them."""
    file = tmp_path / "worker.py"
    file.write_text(AGREED)
    with Session(parse_target(f"{file}:program"), Settings(3, kills=1)) as session:
        found = check(session, Plan(None, strategy="exhaustive"))
    assert found.report is None, render(found.report, None)
    assert found.walked is not None
    assert found.walked.complete
    values = killed_values(found.killed)
    assert values["handled"] == values["schedules"] > 20
    assert {place["operation"] for place in values["places"]} == {"agree", "tp_allgather"}


# -- mpi4py ------------------------------------------------------------------------------------

MPI_LOOP = """
from mpi4py import MPI
def program():
    comm, step = MPI.COMM_WORLD, 0
    comm.Set_errhandler(MPI.ERRORS_RETURN)
    while step < 3:
        flag = 1
        try:
            comm.allreduce(step)
        except MPI.Exception as error:
            assert error.Get_error_class() in (MPI.ERR_PROC_FAILED, MPI.ERR_REVOKED)
            flag = 0
            comm.Revoke()
        {after}
"""
AGREES = """if comm.Agree(flag):
            step += 1
        else:
            comm = comm.Shrink()"""
SHRINKS_ALONE = """if flag:
            step += 1
        else:
            comm = comm.Shrink()"""


def test_mpi_ends_the_job(checked: Check) -> None:
    text = "from mpi4py import MPI\ndef program():\n    MPI.COMM_WORLD.barrier()\n"
    found = checked(text + "    MPI.COMM_WORLD.barrier()\n", schedules=60, kills=1)
    assert found.report is None
    values = killed_values(found.killed)
    assert values["aborted"] > 0
    assert values["ended_with_the_error"] == 0
    returning = text.replace("barrier()", "Set_errhandler(MPI.ERRORS_RETURN)")
    found = checked(returning + "    MPI.COMM_WORLD.barrier()\n", schedules=60, kills=1)
    assert killed_values(found.killed)["ended_with_the_error"] > 0


def test_ulfm_with_an_agreement_survives_and_without_one_does_not(checked: Check) -> None:
    found = checked(MPI_LOOP.replace("{after}", AGREES), ranks=3, schedules=150, kills=2)
    assert found.report is None
    values = killed_values(found.killed)
    assert values["handled"] == values["schedules"] > 100
    report = failed(
        checked(MPI_LOOP.replace("{after}", SHRINKS_ALONE), ranks=3, schedules=150, kills=1)
    )
    assert report.diagnosis.kind is Kind.EARLY_EXIT
    assert "Shrink #1 of the living of MPI.COMM_WORLD" in report.diagnosis.sentence
