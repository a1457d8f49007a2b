"""Two revisions in turns: which comes first, what is shown, and a revision that there is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.speed.compare import Sides, Took, bench_rows, in_turns, main, run_rows
from tests.speed.runs import ROOT, RunFailedError, Tree


def test_who_is_first_changes_from_turn_to_turn(tmp_path: Path) -> None:
    old, new = Tree(tmp_path / "old"), Tree(tmp_path / "new")
    asked: list[str] = []

    def measure(tree: Tree) -> int:
        asked.append(tree.root.name)
        return len(asked)

    assert in_turns(old, new, 3, measure) == ([1, 4, 5], [2, 3, 6])
    assert asked == ["old", "new", "new", "old", "old", "new"]


def test_a_row_has_medians_the_slowest_and_ratios() -> None:
    old = [Took(2.0, 1.0), Took(4.0, 3.0), Took(3.0, 2.0)]
    new = [Took(6.0, 4.0), Took(6.0, 4.0), Took(9.0, 7.0)]
    counts = {"help": 1_000_000_000}, {"help": 1_100_000_000}
    (row,) = run_rows({"help": Sides(old, new)}, counts)
    assert row[:7] == ["help", "2.00", "3.00", "4.00", "7.00", "2.00", "2.00"]
    assert row[7:] == ["1,000 M", "1,100 M", "1.100"]
    (timed,) = run_rows({"help": Sides(old, new)}, None)
    assert timed == row[:7]


def test_figures_of_the_bench_that_only_one_has_are_left_out() -> None:
    def said(**values: tuple[float, float | None]) -> dict[str, Any]:
        return {
            name: {"value": value, "unit": "s", "ratio": ratio}
            for name, (value, ratio) in values.items()
        }

    old = [said(trace=(4.0, 2.0), gone=(1.0, None), plain=(1.0, None))]
    new = [said(trace=(3.0, 1.5), plain=(2.0, None))]
    assert bench_rows(Sides(old, new)) == [
        ["trace", "s", "4", "3", "0.75", "2.00", "1.50"],
        ["plain", "s", "1", "2", "2.00"],
    ]


def test_an_unknown_revision_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-revision"]) == 2
    assert capsys.readouterr().err.startswith("bench-compare: ")


def test_modules_of_the_checkout_are_those_that_run(tmp_path: Path) -> None:
    """Also where another adpkv is installed, as it is here."""
    (tmp_path / "adpkv").mkdir()
    (tmp_path / "adpkv" / "__init__.py").touch()
    (tmp_path / "adpkv" / "__main__.py").write_text("import sys; sys.exit('the other one')")
    tree = Tree(tmp_path)
    with pytest.raises(RunFailedError, match="ended with 1: the other one"):
        tree.run(tree.command(("--help",), tmp_path / "out"), tmp_path)
    assert tree.command(("simulate", "quickstart"), tmp_path)[4] == str(
        ROOT / "configs" / "quickstart.yaml"
    )
