"""The report of a run: what it says is what the run's files say."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import adpkv
from adpkv.reports.calling import report_of
from adpkv.reports.html import page_html, plot_spec
from adpkv.reports.latency_plots import MOST_DOTS
from adpkv.reports.plot import Page, altair
from adpkv.reports.rank_plots import MOST_ROWS
from adpkv.reports.run_data import read_run
from adpkv.reports.run_page import run_page


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return report_of(run)


def embedded(text: str) -> dict[str, Any]:
    """What the page's script draws from."""
    found = re.search(r'<script type="application/json" id="report">(.*?)</script>', text, re.S)
    assert found is not None
    values: dict[str, Any] = json.loads(found[1])
    return values


def test_every_plot_is_valid_by_the_schema_of_vega_lite(page: Page) -> None:
    for plot in page.plots:
        for number, choice in enumerate(plot.choices):
            choice.chart.to_dict()
            spec = plot_spec(page, plot, number)
            names = {one["name"] for one in spec["params"]}
            assert {"from_s", "to_s"} <= names
            assert ("near" in names) == ('"near"' in json.dumps(spec["layer"]))
    assert altair().SCHEMA_VERSION.startswith("v6")


def test_every_plot_has_units_on_its_axes(page: Page) -> None:
    """An axis of numbers has a title; one of names may speak for itself."""

    def encodings(spec: Any) -> Any:
        if isinstance(spec, dict):
            if "encoding" in spec:
                yield spec["encoding"]
            for one in spec.values():
                yield from encodings(one)
        elif isinstance(spec, list):
            for one in spec:
                yield from encodings(one)

    for plot in page.plots:
        for number in range(len(plot.choices)):
            titled = {"x": False, "y": False}
            for encoding in encodings(plot_spec(page, plot, number)):
                for axis in titled:
                    channel = encoding.get(axis, {})
                    is_named = channel.get("type") in ("nominal", "ordinal")
                    titled[axis] |= bool(channel.get("title")) or is_named
            assert all(titled.values()), plot.name


def test_the_page_needs_nothing_else(page: Page) -> None:
    text = page_html(page)
    assert "default-src 'none'" in text
    without_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)|@import|url\(", without_scripts)


def _bins(page: Page, data: str) -> list[Mapping[str, Any]]:
    """Without the rows that only say where the last bin ends."""
    return [row for row in page.data[data] if row["t"] < max(one["t"] for one in page.data[data])]


def test_what_is_drawn_over_time_goes_to_the_end_of_the_run(page: Page) -> None:
    """Steps end where the last row is, and the last answer is always in the last bin."""
    stepped = {
        mark["data"]["name"]
        for plot in page.plots
        for choice in plot.choices
        for mark in _layers(choice.chart.to_dict())
        if isinstance(mark["mark"], dict) and mark["mark"].get("interpolate") == "step-after"
        if plot.over_time
    }
    assert len(stepped) > 5
    for name in stepped:
        last: dict[str, list[Any]] = {}
        for row in page.data[name]:
            last.setdefault(row["s"], []).append(row)
        for *_, before, end in last.values():
            assert end["t"] == pytest.approx(page.end_s, rel=1e-6)
            assert (before["v"], before["t"] < end["t"]) == (end["v"], True)


def _layers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "mark" in spec:
        yield spec
    for layer in spec.get("layer", ()):
        yield from _layers({"data": spec.get("data"), **layer})


def test_nothing_but_zeros_is_drawn_at_the_lower_end(tmp_path: Path) -> None:
    nothing = {"workload.requests": 1, "workload.cancel.probability": 1}
    at_once = {"workload.cancel.delay": {"min": "0s", "max": "0s"}}
    adpkv.simulate("quickstart", set={**nothing, **at_once}, out=tmp_path / "run")
    page = report_of(tmp_path / "run")
    scales = [
        mark["encoding"][axis].get("scale", {})
        for plot in page.plots
        for choice in plot.choices
        for mark in _layers(choice.chart.to_dict())
        for axis in ("y", "color")
        if axis in mark["encoding"]
        and plot.name in ("throughput", "quarantine", "waits", "rank-map")
        and mark["encoding"][axis].get("type") == "quantitative"
    ]
    assert len([one for one in scales if one.get("domain") == [0, 1]]) > 6


def test_counts_have_ticks_at_whole_numbers_only(tmp_path: Path) -> None:
    adpkv.simulate("quickstart", set={"workload.requests": 1}, out=tmp_path / "run")
    page = report_of(tmp_path / "run")
    ticks = {
        choice.label or plot.name: next(
            mark["encoding"]["y"]["axis"]["values"]
            for mark in _layers(choice.chart.to_dict())
            if "y" in mark["encoding"]
        )
        for plot in page.plots
        for choice in plot.choices
        if plot.name in ("outcomes", "quarantine")
    }
    assert ticks == {"outcomes": [0, 1], "in quarantine": [0, 1], "under way": [0, 1]}


def test_figures_and_causes_are_those_of_the_run(page: Page, run: Path) -> None:
    result = adpkv.load_run(run)
    counts = Counter(one.outcome.value for one in result.requests)
    assert set(counts) >= {"completed", "timed_out"}
    told = page.sections[0][1][0]
    assert isinstance(told, str)
    for outcome, count in counts.items():
        assert re.search(rf"{outcome.replace('_', ' ')}</td>.*?>{count:,}</td>", told)
    assert "its transfer took too long" in told
    drawn = Counter[str]()
    for row in _bins(page, "outcomes"):
        drawn[row["s"]] += row["v"]
    assert drawn == {name.replace("_", " "): count for name, count in counts.items()}


def test_time_in_flight_adds_up_to_that_of_all_requests(page: Page, run: Path) -> None:
    result = adpkv.load_run(run)
    in_all = sum(one.ended_ns - one.arrival_ns for one in result.requests) / 1e9
    rows = _bins(page, "in_flight")
    bins = {row["t"] for row in rows}
    drawn = sum(row["v"] for row in rows) * page.end_s / len(bins)
    assert drawn == pytest.approx(in_all, rel=1e-3)
    decode = sum(one.decode_ns + one.decode_queue_ns for one in result.requests) / 1e9
    only = sum(row["v"] for row in rows if row["s"] == "decode")
    assert only * page.end_s / len(bins) == pytest.approx(decode, rel=1e-3)


def test_tokens_over_time_add_up_to_those_that_were_made(page: Page, run: Path) -> None:
    result = adpkv.load_run(run)
    last = {one.rank: one.tokens for one in result.samples}
    made = sum(last[rank] for rank in range(4, 8))
    rows = _bins(page, "output-tokens-made")
    assert sum(row["v"] for row in rows) * page.end_s / len(rows) == pytest.approx(made, rel=1e-3)


def test_the_highest_number_in_quarantine_is_drawn_and_health_and_faults(
    page: Page, run: Path
) -> None:
    result = adpkv.load_run(run)
    level = peak = 0
    seen: set[tuple[int, int]] = set()
    for event in result.events.of_kind("quarantined", "released"):
        key = (event.rank, event.request)
        if event.rank < 4:
            continue
        if event.kind == "quarantined" and key not in seen:
            seen.add(key)
            level += 1
        elif event.kind == "released":
            level -= 1
        peak = max(peak, level)
    drawn = [row["v"] for row in page.data["doubtful"] if row["s"] == "generation-1"]
    assert peak > 0
    assert max(drawn) == peak
    faults = result.events.of_kind("fault")
    marked = sum(row["times"] for row in page.data["marks"] if row["kind"].startswith("fault"))
    assert marked == len(faults)
    unhealthy = {event.rank for event in result.events.of_kind("health")}
    assert {row["rank"] for row in page.data["health"]} == unhealthy


def test_blocks_add_up_to_the_pool_at_each_time(page: Page) -> None:
    at: dict[float, float] = {}
    for row in page.data["blocks-0"]:
        at[row["t"]] = at.get(row["t"], 0) + row["v"]
    assert set(at.values()) == {4 * 512.0}
    assert any(row["v"] for row in page.data["blocks-0"] if row["s"] == "quarantined")


def test_what_ranks_wait_is_what_the_summary_says(page: Page, run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    shares: dict[str, list[float]] = {}
    for row in page.data["shares"]:
        shares.setdefault(row["s"], []).append(row["v"])
    assert all(
        sum(parts) == pytest.approx(1, abs=1e-3) for parts in zip(*shares.values(), strict=True)
    )
    waits = sum(shares["waits for slower ranks"][:4])
    steps = waits + sum(shares["computes"][:4])
    assert waits / steps == pytest.approx(
        summary["utilisation"]["context-0"]["step_wait_share"], abs=1e-3
    )


def test_a_run_that_was_killed_has_a_report_with_a_note(run: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    shutil.copytree(run, killed)
    (killed / "summary.json").unlink()
    lines = (killed / "requests.jsonl").read_bytes().splitlines(keepends=True)
    (killed / "requests.jsonl").write_bytes(b"".join(lines[:30]) + lines[30][:20])
    events = (killed / "events.jsonl").read_bytes()
    (killed / "events.jsonl").write_bytes(events[: len(events) // 2] + b"\nno event\n")
    page = report_of(killed)
    told = " ".join(page.notes)
    assert "there is no summary.json" in told
    assert "requests.jsonl:31" in told
    assert re.search(r"[12] lines? of events.jsonl", told)
    assert re.search(r"Without an answer: [\d,]+ requests? that arrived", told)
    assert any(row["s"] == "without an answer" and row["v"] for row in page.data["in_flight"])
    page_html(page)


def test_without_events_there_is_less_and_it_says_so(tmp_path: Path) -> None:
    small = {"workload.requests": 10, "observe.events": False}
    adpkv.simulate("quickstart", set=small, out=tmp_path / "run")
    page = report_of(tmp_path / "run")
    assert any("observe.events" in note for note in page.notes)
    names = [plot.name for plot in page.plots]
    assert "latency-over-time" in names
    assert "blocks" not in names
    rows = _bins(page, "output-tokens-made")
    tokens = sum(one["v"] for one in rows) * page.end_s
    made = sum(one.tokens for one in adpkv.load_run(tmp_path / "run").requests)
    first = plot_spec(page, page.plots[0], 0)
    assert {"near", "chosen"} <= {one["name"] for one in first["params"]}, "without faults too"
    assert tokens / len(rows) == pytest.approx(made, rel=0.02)


def test_a_run_that_got_stuck_before_any_answer(tmp_path: Path) -> None:
    stuck = "regressions/03-gate-that-differs-by-one-block"
    adpkv.simulate(stuck, out=tmp_path / "stuck")
    page = report_of(tmp_path / "stuck")
    assert any("tp_allgather" in note for note in page.notes)
    assert "outcomes" not in [plot.name for plot in page.plots]
    assert sum(row["v"] for row in page.data["in_flight"] if row["s"] == "without an answer") > 0


def test_no_request_at_all(tmp_path: Path) -> None:
    kept = tmp_path / "run"
    adpkv.simulate("quickstart", set={"workload.requests": 1}, out=kept)
    (kept / "requests.jsonl").write_bytes(b"")
    (kept / "events.jsonl").write_bytes(b"")
    text = page_html(report_of(kept))
    assert "No request has come" in text


def test_a_result_in_memory_has_the_same_report(run: Path) -> None:
    result = adpkv.load_run(run)
    assert report_of(result).data == report_of(run).data


def test_a_page_is_bounded_and_names_in_it_are_text(tmp_path: Path) -> None:
    """3,000 requests on 60 ranks. A text in it would end the script that it stands in."""
    folder = tmp_path / "large"
    adpkv.simulate(
        "quickstart",
        set={
            "workload.requests": 3000,
            "workload.rate": 2000,
            "topology.context.ranks": 20,
            "topology.generation.ranks": 40,
        },
        out=folder,
    )
    run = read_run(folder)
    assert len(run.outcomes) == 3000
    run.name, run.cause_texts[0] = "<b>large", "</script><b>large"
    page = run_page(run)
    assert len(page.data["requests"]) == MOST_DOTS
    assert len({row["r"] for row in page.data["shares"]}) <= MOST_ROWS
    text = page_html(page)
    assert len(text) < 3_000_000
    assert "<b>large" not in text
    assert len(embedded(text)["plots"]) == len(page.plots)
