"""Programs over mpi4py's interface, and over the object that executors inject. No MPI is needed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from adpkv.exit_codes import ExitCode
from adpkv.rank_programs.checking import Checked, Plan, check
from adpkv.rank_programs.classify import Kind
from adpkv.rank_programs.failure import EXIT_CODES
from adpkv.rank_programs.report_text import render
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import parse_target
from tests.rank_programs import examples

PROGRAM = Path(__file__).parent / "programs" / "mpi_calls.py"


def performed(function: str, schedules: int = 8) -> Checked:
    with Session(parse_target(f"{PROGRAM}:{function}"), Settings(4)) as session:
        return check(session, Plan(schedules))


@pytest.mark.parametrize("family", ["objects", "buffers", "messages", "communicators", "injected",
                                    "several", "persistent", "kept",
                                    "asks_what_is_there"])  # fmt: skip
def test_calls_have_the_results_of_mpi(family: str) -> None:
    found = performed(family)
    assert found.report is None, render(found.report, 100)
    assert found.schedules == 8


@pytest.mark.parametrize(
    ("fault", "kind", "odd", "told"),
    [
        ("wildcards", Kind.EXCEPTION, (0,), "AssertionError"),
        ("first_of_several", Kind.EXCEPTION, (0,), "AssertionError: the other was first"),
        ("crossed", Kind.MISSING_MESSAGE, (0, 1), "rank 0 waits in Send to rank 1"),
        ("truncated", Kind.EXCEPTION, None, "MPI_ERR_TRUNCATE"),
        ("other_root", Kind.ARGUMENT_MISMATCH, (3,), "rank 3 brings bcast (root 1)"),
        ("other_count", Kind.ARGUMENT_MISMATCH, (2,), "rank 2 brings Allreduce (3 float64, SUM)"),
        ("never_waited", Kind.UNWAITED_OPERATION, (1,), "never waited for its irecv"),
        ("not_provided", Kind.OUTSIDE, None, "adpkv check does not provide mpi4py.MPI.Win"),
        ("of_a_class", Kind.OUTSIDE, None, "provide MPI.Datatype.Create_struct"),
        ("of_an_object", Kind.OUTSIDE, None, "provide MPI.Comm.Create_cart"),
        ("of_a_module", Kind.OUTSIDE, None, "adpkv check does not provide mpi4py.futures"),
        ("raised_from_it", Kind.OUTSIDE, None, "adpkv check does not provide mpi4py.MPI.Win"),
        ("in_a_class_of_its_own", Kind.EXCEPTION, None, "'Mine' has no attribute 'nothing'"),
        ("after_the_end", Kind.EXCEPTION, None, "is used after MPI.Finalize()"),
        ("after_it_was_freed", Kind.EXCEPTION, None, "dup 1 of MPI.COMM_WORLD is used after it"),
        ("no_such_tag", Kind.EXCEPTION, None, "MPI_ERR_TAG: a message cannot have tag -5"),
        ("no_such_rank", Kind.EXCEPTION, None, "raised MPI.Exception: MPI_ERR_RANK"),
        ("started_twice", Kind.EXCEPTION, None, "Irecv from rank 1 was started, and not waited"),
        ("started_and_left", Kind.UNWAITED_OPERATION, (0,), "never waited for its Irecv"),
        ("kept_and_left", Kind.UNRECEIVED_MESSAGE, (1,), "rank 0 never received what rank 1"),
    ],
)
def test_faults_are_named(fault: str, kind: Kind, odd: tuple[int, ...] | None, told: str) -> None:
    report = performed(fault, 200).report
    assert report is not None
    assert report.diagnosis.kind is kind
    assert told in report.diagnosis.sentence
    assert odd in (None, report.diagnosis.odd)
    if kind is Kind.OUTSIDE:
        assert EXIT_CODES[report.evidence.failure.what] is ExitCode.USAGE
        assert re.search(r"rank \d \(at \S+mpi_calls.py:\d+\): ", report.diagnosis.sentence)


def test_a_lone_collective_is_found_where_it_was_made() -> None:
    """NVIDIA/TensorRT-LLM #13902."""
    kind, odd, line = examples.WRONG["lone_gather"]
    report = examples.performed("lone_gather", "wrong", 20).report
    assert report is not None
    assert (report.diagnosis.kind, report.diagnosis.odd) == (kind, odd)
    assert line in render(report, None)
    assert report.why is not None
    assert report.why.variables[0] == ("failed", {0: "[]", 1: "[17]", 2: "[]", 3: "[]"})
    assert examples.performed("lone_gather", "mended", 50).report is None


def test_mpi4py_is_as_before_afterwards() -> None:
    before = {name: sys.modules.get(name) for name in ("mpi4py", "mpi4py.MPI")}
    performed("injected", 1)
    assert {name: sys.modules.get(name) for name in before} == before
