"""Searches: what is looked for, which point wins and why, and that they can be repeated."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

import adpkv
from adpkv.sweeps.calling import goal_of
from adpkv.sweeps.objectives import parse_goal
from adpkv.sweeps.optimizing import searched
from adpkv.sweeps.plan import Plan, Point, make_plan, with_sweep
from adpkv.sweeps.result import SweepPoint
from adpkv.sweeps.row import RunRow
from adpkv.sweeps.winner import best_points, reasons, show_best, write_best

BASE = adpkv.load("quickstart")


def plan(**sweep: Any) -> Plan:
    return make_plan(with_sweep(BASE, sweep), "virtual")


def run(number: int, rate: float, errors: float, code: int = 0, **settings: Any) -> SweepPoint:
    """A point with these figures."""
    summary = {
        "rates": {"requests_per_s": rate, "error_rate": errors},
        "failures": [],
        "exit_code": code,
    }
    row = RunRow(
        point=number, seed=1, settings=settings, outcome="x", exit_code=code, summary=summary
    )
    return SweepPoint(number, settings, (row,))


GOAL = parse_goal(["max requests_per_s"], ["error_rate <= 1%"], BASE)


def test_the_best_point_that_keeps_all_bounds_wins(tmp_path: Path) -> None:
    points = [
        run(1, 10, 0.0),
        run(2, 30, 0.02),
        run(3, 20, 0.01, **{"workload.rate": 40}),
        run(4, 40, 0.0, code=4),
        run(5, 20, 0.0),
        run(6, 15, 0.0, **{"workload.rate": 30}),
    ]
    best = best_points(GOAL, points)
    assert [point.number for point in best.front] == [3]
    assert [point.number for point in best.ranked] == [3, 5, 6, 1]
    (path,) = write_best(best, plan(vary={"workload.rate": [30, 40]}), tmp_path)
    text = path.read_text()
    assert text.startswith(
        "# Found by adpkv sweep: point 3 of 6, 4 of which keep all bounds.\n"
        "# max requests_per_s: 20\n"
        "# error_rate <= 1%: 1.0% (0.01)\n"
        "# by workload.rate=40\n"
        "# next best: 20 by \n"
    )
    winner = adpkv.load(path)
    assert winner == adpkv.load("quickstart", set={"workload.rate": 40})


def test_a_front_has_what_no_other_point_is_better_than_in_everything() -> None:
    goal = parse_goal(["max requests_per_s", "min error_rate"], [], BASE)
    points = [run(1, 10, 0.0), run(2, 30, 0.2), run(3, 20, 0.3), run(4, 20, 0.1), run(5, 10, 0.0)]
    best = best_points(goal, points)
    assert [point.number for point in best.front] == [2, 4, 1]
    assert "one of 3 points" in reasons(best, best.front[0])[-1]


def test_a_longer_search_leaves_nothing_of_what_was_best_before(tmp_path: Path) -> None:
    goal = parse_goal(["max requests_per_s", "min error_rate"], [], BASE)
    of = plan(vary={"workload.rate": [30, 40]})
    points = [run(1, 10, 0.0), run(2, 30, 0.2)]
    first = write_best(best_points(goal, points), of, tmp_path)
    assert [path.name for path in first] == ["point-2.yaml", "point-1.yaml"]
    mine = first[0].with_name("point-2-mine.yaml")
    mine.write_text("a person's own")
    (made,) = write_best(best_points(goal, [*points, run(3, 40, 0.0)]), of, tmp_path)
    assert set(made.parent.iterdir()) == {made, mine}
    write_best(best_points(GOAL, points), of, tmp_path)
    assert (tmp_path / "winner.yaml").exists()
    write_best(best_points(GOAL, points[1:]), of, tmp_path)
    assert not (tmp_path / "winner.yaml").exists(), "none keeps the bounds any more"


def test_what_a_search_shows_counts_in_words(tmp_path: Path) -> None:
    said = io.StringIO()
    show_best(said, best_points(GOAL, [run(1, 10, 0.0), run(2, 5, 0.5)]), [tmp_path / "w.yaml"])
    assert said.getvalue().splitlines()[0] == (
        "Found by adpkv sweep: point 1 of 2, 1 of which keeps all bounds."
    )
    goal = parse_goal(["max requests_per_s", "min error_rate"], [], BASE)
    best = best_points(goal, [run(1, 10, 0.0), run(2, 30, 0.2)])
    said = io.StringIO()
    show_best(said, best, [Path("front/point-2.yaml"), Path("front/point-1.yaml")])
    assert said.getvalue().splitlines() == [
        "the front: 2 points that no other is better than in all objectives",
        "to run: front/point-2.yaml and 1 other there",
    ]
    assert reasons(best, best.front[0])[0] == "Found by adpkv sweep: point 2 of 2."


def test_where_no_point_keeps_all_bounds_the_nearest_is_known() -> None:
    best = best_points(GOAL, [run(1, 10, 0.5), run(2, 5, 0.02), run(3, 9, 0.0, code=3)])
    assert (best.front, best.kept) == ((), 0)
    assert best.nearest is not None
    assert best.nearest.number == 2


@pytest.mark.parametrize(
    ("objectives", "constraints", "said"),
    [
        (["goodput"], [], "'goodput' is no objective: write max FIGURE or min FIGURE"),
        (["max gootput"], [], "'max gootput': 'gootput' is no figure of a run: did you mean"),
        (["max goodput"], [], "'max goodput': there is none without an objective for requests"),
        (["max health.reasons"], [], "'max health.reasons': health.reasons is no number"),
        (["max ttft_p99"], ["ttft_p99"], "'ttft_p99' is no constraint: write one such as"),
        (["max ttft_p99"], ["ttft_p99 < 2MB"], "'ttft_p99 < 2MB': 2MB is no bound for latency"),
        (["max ttft_p99"], ["ttft_p99 < 5%"], "'ttft_p99 < 5%': 5% is no bound for latency"),
        (["max ttft_p99"], ["error_rate < nan"], "'error_rate < nan': nan is no bound for rates"),
    ],
)
def test_what_cannot_be_looked_for(
    objectives: list[str], constraints: list[str], said: str
) -> None:
    with pytest.raises(adpkv.UsageError) as caught:
        parse_goal(objectives, constraints, BASE)
    assert str(caught.value).startswith(said)


def test_bounds_have_the_units_of_their_figures() -> None:
    texts = ["ttft_p99 < 250ms", "error_rate < 1%", "transfers.bytes < 1MiB", "ttft_p50 > 0.5"]
    goal = parse_goal(["min ttft_p99"], texts, BASE)
    assert [one.bound for one in goal.constraints] == [0.25, 0.01, 1 << 20, 0.5]


def made_up(point: Point) -> SweepPoint:
    """Best in the middle of the one axis and at the end of the other; too many errors beyond."""
    x, y = (point.settings[path] for path in ("workload.rate", "kv_cache.blocks"))
    assert isinstance(x, float)
    assert isinstance(y, int)
    return run(point.number, 100 - abs(x - 30) + y / 100, 0.5 if y > 900 else 0.0)


def test_a_search_finds_the_best_region_and_can_be_repeated() -> None:
    pytest.importorskip("optuna")
    search = plan(
        vary={"workload.rate": "10.0..90.0", "kv_cache.blocks": "200..1000+100"},
        optimize=["max requests_per_s"],
        subject_to=["error_rate <= 1%"],
        points=64,
    )
    goal = goal_of(search)
    assert goal is not None
    assert search.points == ()

    def once() -> list[SweepPoint]:
        found: list[SweepPoint] = []

        def examine(points: Any) -> list[SweepPoint]:
            new = [made_up(point) for point in points]
            found.extend(
                SweepPoint(one.number, point.settings, one.runs)
                for one, point in zip(new, points, strict=True)
            )
            return new

        for _ in searched(search, goal, 1, examine):
            pass
        return found

    found = once()
    assert [point.number for point in found] == list(range(1, 65))
    assert [point.settings for point in once()] == [point.settings for point in found]
    (winner,) = best_points(goal, found).front
    assert winner.settings["kv_cache.blocks"] in (800, 900)
    assert 20 < winner.settings["workload.rate"] < 40
    # It has learnt: half of the last points are in the better half of the axis.
    late = [point.settings["workload.rate"] for point in found[32:]]
    assert sum(10 <= rate <= 50 for rate in late) > 24


def test_few_points_are_all_tried() -> None:
    search = plan(vary={"workload.rate": [10, 20, 30]}, optimize=["max requests_per_s"])
    assert [dict(point.settings) for point in search.points] == [
        {"workload.rate": rate} for rate in (10, 20, 30)
    ]


def test_a_whole_search_leaves_its_winner(tmp_path: Path) -> None:
    """Through the command, in the form that the documentation has."""
    pytest.importorskip("optuna")
    from tests.cli.test_sweep import sweep

    argv = [
        *("quickstart", "--set", "workload.requests=6"),
        *("--vary", "workload.rate=10.0..90.0", "--points", "10", "--out", "s"),
        *("--optimize", "max requests_per_s", "--subject-to", "error_rate < 1%", "ttft_p99 < 2s"),
    ]
    done = sweep(tmp_path, *argv)
    assert done.returncode == 0, done.stderr
    assert "Found by adpkv sweep: point " in done.stdout
    assert done.stdout.splitlines()[-1] == "to run: s/winner.yaml"
    journal = tmp_path / "s" / "runs.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 11
    # Broken off behind the first batch, it chooses the same points again.
    journal.write_text("".join(lines[:9]))
    again = sweep(tmp_path, "--resume", "s")
    assert again.returncode == 0, again.stderr
    rows = [adpkv.load_sweep(tmp_path / "s").runs]
    settings = [run.settings for run in rows[0]]
    assert settings == [
        {"workload.rate": float(one)}
        for line in sorted(lines[1:], key=lambda one: int(re.findall(r'"point":(\d+)', one)[0]))
        for one in re.findall(r'"workload.rate":([\d.]+)', line)[:1]
    ]


def test_goals_by_themselves_are_refused() -> None:
    with pytest.raises(adpkv.UsageError, match="--subject-to bounds what --optimize looks for"):
        goal_of(plan(vary={"workload.rate": [1]}, subject_to=["error_rate < 1"]))
