"""Ranks that are stuck in more than one communicator: who left one out, or in which order they
come."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adpkv.rank_programs.checking import Checked, Plan, check
from adpkv.rank_programs.classify import Kind
from adpkv.rank_programs.report import Report
from adpkv.rank_programs.report_text import _of_several, render
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import parse_target
from tests.rank_programs.conftest import Check
from tests.rank_programs.test_own_ranks import failed

PROGRAMS = Path(__file__).parent / "programs"


def report_of(file: str, function: str, ranks: int) -> Report:
    target = parse_target(f"{PROGRAMS / file}:{function}")
    with Session(target, Settings(ranks)) as session:
        found: Checked = check(session, Plan(1))
    assert found.report is not None
    return found.report


@pytest.mark.parametrize(
    ("function", "ranks", "odd", "others"),
    [
        ("skips_one", 3, (2,), (0,)),
        ("skips_one", 6, (2,), (0, 4)),
        ("skips_two", 6, (2,), (0, 4)),
        ("skips_a_pass", 6, (2,), (0, 4)),
        ("skips_and_receives", 3, (2,), (0,)),
        ("skips_what_others_need", 6, (2,), (0, 4)),
        ("skips_within_a_half", 8, (6,), (4, 5, 7)),
        ("comes_alone", 6, (2,), (0, 4)),
    ],
)
def test_who_left_it_out_is_to_blame(
    function: str, ranks: int, odd: tuple[int, ...], others: tuple[int, ...]
) -> None:
    report = report_of("mpi_subgroups.py", function, ranks)
    diagnosis = report.diagnosis
    assert (diagnosis.kind, diagnosis.odd) == (Kind.MISSING_PARTICIPANT, odd)
    assert diagnosis.others == others
    assert "never came, and would not come later" in diagnosis.sentence
    assert report.why is not None
    assert report.why.odd == odd[0]
    assert report.why.variables[0][0] == "rank"


@pytest.mark.parametrize("function", ["other_order", "other_order_later", "in_a_ring"])
def test_who_comes_in_another_order_has_left_nothing_out(function: str) -> None:
    report = report_of("mpi_subgroups.py", function, 3)
    assert report.diagnosis.kind is Kind.ORDER_INVERSION
    assert "would not come later" not in report.diagnosis.sentence


def test_each_line_and_each_value_is_that_of_its_rank() -> None:
    report = report_of("mpi_subgroups.py", "other_order", 3)
    text = render(report, None)
    # Ranks 1 and 2 wait in one barrier, rank 2 four lines above.
    found = re.search(r"py:(\d+) \(rank 1\) and \S+py:(\d+) \(rank 2\);", text)
    assert found is not None, text
    assert int(found[1]) - int(found[2]) == 4
    assert report.why is not None
    assert dict(report.why.variables)["sub"].keys() == {0, 1}
    assert "split 1 (colour 1) of MPI.COMM_WORLD on rank 1" in text


def test_ranks_to_blame_stand_apart_from_those_that_wait_with_them() -> None:
    rows = render(report_of("mpi_subgroups.py", "skips_one", 6), None).splitlines()
    assert [row.partition("wait")[0].split() for row in rows if "barrier #2 of MPI" in row][1:] == [
        ["!", "rank", "2"],
        ["ranks", "1,", "3,", "5"],
    ]


def test_a_group_of_torch_of_which_one_leaves_a_collective_out() -> None:
    pytest.importorskip("torch", reason="torch is not installed: make test-torch")
    for function, kind in (
        ("skips_in_a_group", Kind.MISSING_PARTICIPANT),
        ("skips_objects_in_a_group", Kind.MISSING_PARTICIPANT),
        ("skips_in_a_mesh", Kind.MISSING_PARTICIPANT),
        ("other_order_in_a_group", Kind.ORDER_INVERSION),
    ):
        diagnosis = report_of("torch_faults.py", function, 6).diagnosis
        assert diagnosis.kind is kind
        if kind is Kind.MISSING_PARTICIPANT:
            assert diagnosis.odd == (2,)


def test_several_ranks_do_in_the_plural_what_one_does_in_the_singular() -> None:
    rows = render(report_of("mpi_subgroups.py", "skips_one", 6), None).splitlines()
    assert any("ranks 1, 3, 5  wait in" in row for row in rows)
    assert any("rank 2         waits in" in row for row in rows)
    assert _of_several("has returned after barrier #1") == "have returned after barrier #1"
    assert _of_several("was killed at barrier #1") == "were killed at barrier #1"
    assert _of_several("not begun") == "not begun"


def test_of_the_others_only_those_are_told_that_went_the_same_way(checked: Check) -> None:
    report = failed(
        checked(
            """
            async def program(rank):
                await rank.barrier()
                if rank.rank in (1, 2):
                    pass
                elif rank.rank == 3:
                    await rank.recv(1)
                else:
                    await rank.barrier()
            """
        )
    )
    text = render(report, None)
    assert "rank 0 went on to line 6: elif rank.rank == 3:" in text
    assert "ranks 1, 2 went on to line 5: pass" in text
