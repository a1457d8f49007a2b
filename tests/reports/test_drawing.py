"""What plots over time have in common: rows of bins, and axes of whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adpkv.reports.drawing import lines_of, rows_of, stacked
from adpkv.reports.plot import Page

EDGES = np.array([0.0, 1e9, 2e9])


def test_a_row_for_each_bin_and_one_where_the_last_ends() -> None:
    rows = rows_of(EDGES, np.array([3.0, 4.0]), "a")
    assert [(row["t"], row["v"]) for row in rows] == [(0, 3), (1, 4), (2, 4)]


@pytest.mark.parametrize("many", [1, 3])
def test_values_of_other_bins_are_our_mistake(many: int) -> None:
    with pytest.raises(ValueError, match="argument 2 is"):
        rows_of(EDGES, np.zeros(many), "a")


@pytest.mark.parametrize("whole", [True, False])
def test_a_bin_without_a_number_is_drawn_as_none(whole: bool) -> None:
    page = Page("a", "b")
    page.data["d"] = rows_of(EDGES, np.array([np.nan, 2.0]), "a")

    def axis(chart: Any) -> Any:
        return chart.to_dict()["layer"][0]["encoding"]["y"]["axis"]["values"]

    area = stacked(page, "d", ["a"], ["red"], "t", "d", whole=whole)
    lines = lines_of(page, "e", page.data["d"], "t", whole=whole)
    if whole:
        assert axis(area) == [0, 1, 2]
        assert axis(lines.layer[0]) == [0, 1, 2]
