"""Programs as the field writes them, without a fault, under some schedules each."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.rank_programs.checking import Plan, check
from adpkv.rank_programs.report_text import render
from adpkv.rank_programs.session import Session, Settings
from adpkv.rank_programs.target import parse_target

PROGRAMS = Path(__file__).parent / "programs"


def finds_nothing(file: str, function: str) -> None:
    target = parse_target(f"{PROGRAMS / file}:{function}")
    with Session(target, Settings(4)) as session:
        report = check(session, Plan(12)).report
    assert report is None, render(report, 100)


@pytest.mark.parametrize(
    "function", ["farm", "halo", "polls", "pipeline", "two_levels", "some_at_a_time"]
)
def test_over_mpi4py(function: str) -> None:
    finds_nothing("mpi_executors.py", function)


@pytest.mark.parametrize("function", ["objects_as_bytes", "pipeline", "ring", "parameter_server"])
def test_over_torch(function: str) -> None:
    pytest.importorskip("torch", reason="torch is not installed: make test-torch")
    finds_nothing("torch_executors.py", function)
