"""Each regression that makes sense with real processes, with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.field_policies import assembly
from adpkv.regressions.catalogue import Scenario, read
from adpkv.regressions.real import run_real
from adpkv.regressions.running import Half, ScenarioResult, examine
from adpkv.regressions.seen import Seen
from adpkv.regressions.showing import Document
from tests.regressions.regress_files import FILES, write

DOCUMENT = FILES.parents[1] / "docs" / "regressions.md"
HERE = [scenario for scenario in read(FILES) if scenario.before("mpi") is not None]

EACH_KIND = {"1", "5", "7b"}
"""Seen by slots, by the watchdog and by an oracle; `adpkv regress --world mpi` runs them all."""

LONG = ("5", "7b")
"""Wait for the watchdog or a timeout, as other real jobs here do too: left to `make real`."""


@pytest.fixture(autouse=True)
def _needs_mpi(jobs: object) -> None:
    """Skips where there is no mpirun."""


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(
            scenario,
            marks=pytest.mark.campaign if scenario.regression.id in LONG else (),
            id=scenario.path.stem,
        )
        for scenario in HERE
        if scenario.regression.id in EACH_KIND
    ],
)
def test_it_fails_as_described_and_holds_under_the_contract(scenario: Scenario) -> None:
    (result,) = examine([scenario], "mpi", assembly)
    assert result.before.deviations == ()
    assert result.after.deviations == ()


def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    """A bound so short that no run keeps it."""
    seen = run_real(write(tmp_path / "files"), tmp_path / "out", bound_s=0.3)
    assert (seen.error, seen.message) == ("endless", "it did not end within 0.3 s")


def test_the_table_in_the_document_is_what_the_command_makes_where_all_held() -> None:
    """The text of a cell follows from the file where a regression held, as the others show."""
    results = []
    for scenario in HERE:
        before = scenario.before("mpi")
        assert before is not None
        held = (Half(each, Seen(), (), 0.0) for each in (before, scenario.regression.after))
        results.append(ScenarioResult(scenario, "mpi", *held))
    document = Document(DOCUMENT, "mpi")
    due = "run: adpkv regress --world mpi --update docs/regressions.md"
    assert document.rewritten(results) == document.text, due
