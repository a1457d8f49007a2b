"""The report of a sweep."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import adpkv
from adpkv.errors import UsageError
from adpkv.reports.calling import report_of
from adpkv.reports.html import page_html
from adpkv.reports.plot import Page
from adpkv.reports.price_plots import front_of
from adpkv.reports.sweep_data import Figure, PointRow, read_sweep


@pytest.fixture(scope="module")
def page(sweep: Path) -> Page:
    return report_of(sweep)


def test_curves_and_maps_have_the_means_of_the_points(page: Page, sweep: Path) -> None:
    data, points = read_sweep(sweep), adpkv.load_sweep(sweep).points
    place = [figure.short for figure in data.figures].index("ttft_p99")
    drawn = {(row["x"], row["s"]): row["v"] for row in page.data[f"curve-0-{place}"]}
    tiles = {(row["x"], row["y"]): row["v"] for row in page.data[f"map-0-1-{place}"]}
    assert len(points) == len(drawn) == len(tiles) == 6
    for point in points:
        timeout = str(point.settings["transceiver.transfer_timeout"])
        budget = str(point.settings["transceiver.max_inflight_transfers_per_peer"])
        for found in (drawn[timeout, budget], tiles[timeout, budget]):
            assert found == pytest.approx(point.mean("ttft_p99"), rel=1e-4)


def test_every_plot_is_valid(page: Page) -> None:
    for plot in page.plots:
        assert plot.choices, plot.name
        for choice in plot.choices:
            choice.chart.to_dict()
    assert {plot.name for plot in page.plots} >= {"pareto", "map-0-1"}
    assert "All points" in page_html(page)


def test_values_of_an_axis_are_in_order_of_what_they_stand_for(sweep: Path) -> None:
    assert read_sweep(sweep).axes[0].values == ("100ms", "1s", "20s")


def test_values_that_were_drawn_are_on_a_scale_and_joined_by_no_line(tmp_path: Path) -> None:
    """Few of them stood side by side, as if 25 ms were as far from 400 ms as from 24 ms."""
    adpkv.sweep(
        "quickstart",
        set={"workload.requests": 4},
        vary={"transceiver.transfer_timeout": "10ms..1s log", "workload.rate": "10..12"},
        design="random",
        points=6,
        jobs=1,
        out=tmp_path / "drawn",
    )
    data = read_sweep(tmp_path / "drawn")
    timeout, rate = data.axes
    assert (timeout.is_text, rate.is_text) == (False, True), "of three rates points share values"
    plots = {plot.name: plot for plot in report_of(tmp_path / "drawn").plots}
    chart = plots["axis-transceiver-transfer-timeout"].choices[0].chart.to_dict()
    assert {str(layer["mark"]["type"]) for layer in chart["layer"]} == {"rule", "point"}
    assert chart["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"


def test_words_are_joined_by_no_line(tmp_path: Path) -> None:
    adpkv.sweep(
        "quickstart",
        set={"workload.requests": 6, "faults": [{"kind": "sigkill", "ranks": [1], "after": "1ms"}]},
        vary={"on_rank_failure": ["shutdown", "shrink"]},
        jobs=1,
        out=tmp_path / "words",
    )
    page = report_of(tmp_path / "words")
    plot = next(plot for plot in page.plots if plot.name == "axis-on-rank-failure")
    chart = plot.choices[0].chart.to_dict()
    assert {str(layer["mark"]["type"]) for layer in chart["layer"]} == {"rule", "point"}
    assert "Bars" not in plot.text, "there is one seed"
    assert "rank_lost: 1<" in page_html(page)


def point(number: int, gain: float, cost: float, *, keeps: bool = True) -> PointRow:
    figures = {"gain": (gain, gain, gain), "cost": (cost, cost, cost)}
    return PointRow(number, (), (), figures, 1, 0, keeps)


def test_the_front_has_the_points_that_no_other_is_better_than() -> None:
    cost = Figure("cost", "cost", "cost", "g", larger_is_better=False)
    gain = Figure("gain", "gain", "gain", "g", larger_is_better=True)
    points = [
        point(1, 5, 10), point(2, 4, 3), point(3, 3, 3), point(4, 1, 1), point(5, 5, 11),
        point(6, 9, 2, keeps=False),
    ]  # fmt: skip
    assert [one.number for one in front_of(points, cost, gain)] == [4, 2, 1]


def test_a_search_has_its_course_and_its_winner(tmp_path: Path) -> None:
    adpkv.sweep(
        {
            **adpkv.load("quickstart").model_dump(by_alias=True),
            "sweep": {
                "vary": {"workload.rate": "5..40"},
                "points": 3,
                "optimize": ["min ttft_p99"],
                "subject_to": ["error_rate < 0.5"],
            },
        },
        set={"workload.requests": 10},
        jobs=1,
        out=tmp_path / "search",
    )
    page = report_of(tmp_path / "search")
    heading, parts = page.sections[0]
    assert heading == "The decision"
    assert "min ttft_p99" in str(parts[0])
    bests = [row["b"] for row in page.data["search"]]
    assert bests == sorted(bests, reverse=True)


def test_a_sweep_whose_points_are_alike_has_a_page_and_no_plots(tmp_path: Path) -> None:
    folder = tmp_path / "alike"
    vary = {"kv_cache.blocks": [256, 512]}
    adpkv.sweep("four-ranks", set={"workload.requests": 4}, vary=vary, jobs=1, out=folder)
    [page] = adpkv.write_report(folder)
    assert "No figure differs between the points" in page.read_text()
    with pytest.raises(UsageError, match=r"no plots\. No figure differs between the points"):
        adpkv.write_report(folder, format="svg")
    assert not (folder / "plots").exists()


def test_a_sweep_without_a_run_that_ended_is_told(sweep: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(sweep, begun)
    journal = (begun / "runs.jsonl").read_bytes().splitlines(keepends=True)
    (begun / "runs.jsonl").write_bytes(journal[0])
    with pytest.raises(UsageError, match="no run of this sweep has ended yet"):
        report_of(begun)
    (begun / "runs.jsonl").write_bytes(b"".join(journal[:3]))
    page = report_of(begun)
    assert any("2 of 12 runs have ended" in note for note in page.notes)
    page_html(page)
