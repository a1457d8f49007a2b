"""Messages that a receive does not take, that nobody receives, and that come in another order."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.exit_codes import ExitCode
from adpkv.rank_programs.checking import Plan, check
from adpkv.rank_programs.classify import Kind
from adpkv.rank_programs.failure import EXIT_CODES
from adpkv.rank_programs.report import Report
from adpkv.rank_programs.report_text import render
from adpkv.rank_programs.report_values import as_values
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import parse_target
from tests.rank_programs.conftest import Check

PROGRAMS = Path(__file__).parent / "programs"


def report_of(function: str, file: str = "mpi_messages.py", **settings: object) -> Report | None:
    target = parse_target(f"{PROGRAMS / file}:{function}")
    with Session(target, Settings(3, **settings)) as session:  # type: ignore[arg-type]
        return check(session, Plan(60)).report


@pytest.mark.parametrize(
    ("function", "waits", "why"),
    [
        ("other_tag", "recv from rank 1, tag 6", "has tag 5, and not 6"),
        ("other_communicator", "recv from rank 1", "is in dup 1 of MPI.COMM_WORLD, and not in MPI"),
        ("other_source", "recv from rank 2", "is of rank 1, and not of rank 2"),
    ],
)
def test_a_message_that_does_not_fit_is_told(function: str, waits: str, why: str) -> None:
    report = report_of(function)
    assert report is not None
    assert report.diagnosis.kind is Kind.MISSING_MESSAGE
    told = report.diagnosis.sentence
    assert f"rank 0 waits in {waits} at" in told
    assert "; what rank 1 has sent rank 0 at" in told
    assert why in told


@pytest.mark.parametrize(
    ("function", "sender", "told"),
    [
        ("left", 1, "rank 0 never received what rank 1 has sent it: send (to rank 0, tag 0"),
        ("left_although_waited_for", 0, 'Isend (to rank 1, tag 0, 16 bytes)'),
        ("posted_for_another_tag", 1, "other message"),
    ],
)  # fmt: skip
def test_a_message_that_nobody_receives_is_found(function: str, sender: int, told: str) -> None:
    report = report_of(function)
    assert report is not None
    assert (report.diagnosis.kind, report.diagnosis.odd) == (Kind.UNRECEIVED_MESSAGE, (sender,))
    assert told in report.diagnosis.sentence
    assert EXIT_CODES[report.evidence.failure.what] is ExitCode.VIOLATION
    left = report_of(function, allowed=frozenset({"unreceived", "unwaited"}))
    assert left is None


def test_a_request_that_is_dropped_is_found_though_its_message_was_received() -> None:
    report = report_of("dropped")
    assert report is not None
    assert (report.diagnosis.kind, report.diagnosis.odd) == (Kind.UNWAITED_OPERATION, (0,))
    assert "never waited for its isend (to rank 1" in report.diagnosis.sentence
    assert "what it sends may have changed" in report.diagnosis.sentence


@pytest.mark.parametrize("function", ["race", "probed_race"])
def test_which_message_came_first_and_which_could_have(function: str) -> None:
    report = report_of(function)
    assert report is not None
    race = report.races[0]
    assert (race.receiver, race.took.sender, race.plain) == (0, 2, 1)
    assert [rival.sender for rival in race.others] == [1]
    text = render(report, None)
    assert "took rank 2's, of " in text
    assert "could have taken rank 1's, of " in text
    assert "as in the plain schedule, which ends well" in text
    values = as_values(report)["races"][0]
    assert (values["took"]["rank"], values["plain_took_rank"]) == (2, 1)


def test_an_answer_is_no_rival_of_what_it_answers() -> None:
    report = report_of("answers")
    assert report is not None
    first = report.races[0]
    assert first.took.sender == 2
    assert [rival.sender for rival in first.others] == [1]
    # The second receive took rank 1's first message, or rank 2's second: never both of one rank.
    for race in report.races:
        assert race.took.sender not in [rival.sender for rival in race.others]
    assert len({race.at.line for race in report.races}) == 1
    assert not [race for race in report.races if len(race.others) > 1]


def test_messages_of_our_own_api(checked: Check) -> None:
    found = checked(
        """
        async def program(rank):
            if rank.rank == 0:
                await rank.send("x", 1, tag=3)
            else:
                await rank.recv(0, tag=4)
        """,
        2,
    ).report
    assert found is not None
    assert "rank 1 waits in recv from rank 0, tag 4" in found.diagnosis.sentence
    assert "has tag 3, and not 4" in found.diagnosis.sentence
    found = checked(
        """
        async def program(rank):
            if rank.rank == 0:
                await rank.send("x", 1)
        """,
        2,
    ).report
    assert found is not None
    assert found.diagnosis.kind is Kind.UNRECEIVED_MESSAGE
    found = checked(
        """
        async def program(rank):
            if rank.rank == 0:
                assert await rank.recv() < await rank.recv()
            else:
                await rank.send(rank.rank, 0)
        """,
        3,
    ).report
    assert found is not None
    assert (found.races[0].took.sender, found.races[0].plain) == (2, 1)


def test_an_await_that_is_forgotten(checked: Check) -> None:
    found = checked(
        """
        async def program(rank):
            await rank.barrier()
            if rank.rank == 1:
                rank.send("x", 0)
            await rank.barrier()
        """,
        2,
    ).report
    assert found is not None
    assert (found.diagnosis.kind, found.diagnosis.odd) == (Kind.UNWAITED_OPERATION, (1,))
    assert "rank 1 never awaited its send at" in found.diagnosis.sentence
    assert 'worker.py:5 (rank.send("x", 0)): nothing was done' in found.diagnosis.sentence


def test_messages_of_torch() -> None:
    pytest.importorskip("torch", reason="torch is not installed: make test-torch")
    other_tag = report_of("other_tag", "torch_messages.py")
    assert other_tag is not None
    assert "rank 0 waits in recv from rank 1, tag 6" in other_tag.diagnosis.sentence
    assert "has tag 5, and not 6" in other_tag.diagnosis.sentence
    kinds = {"left": Kind.UNRECEIVED_MESSAGE, "dropped": Kind.UNWAITED_OPERATION}
    for function, kind in kinds.items():
        report = report_of(function, "torch_messages.py")
        assert report is not None
        assert (report.diagnosis.kind, report.diagnosis.odd) == (kind, (1,))
    assert report_of("other_tag_of_nccl", "torch_messages.py") is None
    race = report_of("race", "torch_messages.py")
    assert race is not None
    assert race.races[0].took.sender == 2
    assert [rival.sender for rival in race.races[0].others] == [1]
