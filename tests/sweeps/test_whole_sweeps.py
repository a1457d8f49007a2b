"""Whole sweeps in worker processes: every run is a row, whatever becomes of it; none is lost."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import adpkv
from adpkv.launcher_variables import size_of_job, without_launcher
from adpkv.sweeps.folder import SweepFolder
from adpkv.sweeps.perform import perform
from adpkv.sweeps.plan import make_plan, with_sweep
from adpkv.sweeps.pool import ProcessPool
from adpkv.sweeps.row import RunRow, Task
from adpkv.sweeps.running import make_runs, task_of

SMALL = {
    "workload.requests": 12,
    "faults": [{"kind": "delay", "duration": "300ms", "probability": 0.5}],
}


def plan(**sweep: Any) -> Any:
    return make_plan(with_sweep(adpkv.load("quickstart", set=SMALL), sweep), "virtual")


def unwatched(done: int, total: int, busy: int, failed: int) -> None:
    pass


def inside(task: Task) -> Any:
    """The row without the time that it took."""
    row = msgspec.structs.replace(perform(task), wall_s=0.0)
    assert row.summary is not None
    return msgspec.structs.replace(row, summary=row.summary | {"wall_s": 0.0})


def test_a_row_has_what_the_run_has_by_itself(tmp_path: Path) -> None:
    timeouts = ["20ms", "1s"]
    seen: list[tuple[int, int]] = []
    made = adpkv.sweep(
        "quickstart",
        set=SMALL,
        vary={"transceiver.transfer_timeout": timeouts},
        seeds=2,
        out=tmp_path / "s",
        on_progress=lambda done, total, busy, failed: seen.append((done, total)),
    )
    assert (seen[0], seen[-1]) == ((0, 4), (4, 4))
    assert [(run.point, run.seed) for run in made.runs] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    alone = adpkv.simulate(
        "quickstart", set={**SMALL, "transceiver.transfer_timeout": "20ms"}, seed=2
    )
    row = made.runs[1]
    assert row.summary is not None
    assert row.summary | {"wall_s": 0} == alone.to_dict() | {"wall_s": 0}
    assert row.outcome == alone.outcome
    timed_out = float(alone.summary.requests.timed_out)
    assert timed_out > 0
    assert made.points[0].values("requests.timed_out")[1] == timed_out
    again = adpkv.load_sweep(tmp_path / "s")
    assert again.runs == made.runs
    with (tmp_path / "s" / "table.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [line["transceiver.transfer_timeout_s"] for line in table] == ["0.02"] * 2 + ["1.0"] * 2
    assert [float(line["latency.ttft_s.p99"]) for line in table] == [
        run.summary["latency"]["ttft_s"]["p99"] for run in made.runs if run.summary
    ]
    frame = made.to_pandas()
    pandas = pytest.importorskip("pandas")
    kept = pandas.read_parquet(tmp_path / "s" / "table.parquet")
    assert list(kept.columns) == list(frame.columns) == list(table[0])
    assert list(kept["rates.requests_per_s"]) == list(frame["rates.requests_per_s"])


def test_a_point_that_fails_is_a_row(tmp_path: Path) -> None:
    """One that gets stuck, one that cannot be run at all, one that is well."""
    stuck = adpkv.load("regressions/03-gate-that-differs-by-one-block")
    data = stuck.model_dump(by_alias=True, exclude_unset=True)
    made = adpkv.sweep(
        data | {"regression": None},
        vary={"policy": [data["policy"], {}]},
    )
    broken, well = made.runs
    assert (broken.outcome, broken.exit_code) == ("deadlock", 3)
    assert "crossed payload" in broken.error or "rank" in broken.error
    assert broken.summary is not None
    assert (well.outcome, well.exit_code, well.error) == ("completed", 0, "")
    assert made.failed == (broken,)
    killed = {"kind": "sigkill", "ranks": [1], "after": "300ms"}
    row = perform(task_of_settings({"workload.requests": 12, "faults": [killed]}))
    assert (row.outcome, row.exit_code) == ("rank_lost", 5)
    assert row.error.startswith("rank 1 failed"), "it was empty"
    huge = task_of_settings({"workload.requests": 2**31 - 1})
    row = perform(huge)
    assert (row.outcome, row.exit_code, row.summary) == ("usage", 2, None)
    assert "of memory" in row.error


def task_of_settings(settings: dict[str, Any]) -> Task:
    experiment = adpkv.load("quickstart", set=settings)
    data = experiment.model_dump(by_alias=True, exclude_unset=True)
    return Task(point=1, seed=1, settings=settings, data=data, world="virtual")


def test_a_worker_that_is_killed_is_one_row_and_the_others_go_on(tmp_path: Path) -> None:
    folder = SweepFolder.create(plan(vary={"workload.rate": [10, 20, 30]}), tmp_path, keep=False)
    pool = ProcessPool(1, os.environ)

    def kill_the_first(done: int, total: int, busy: int, failed: int) -> None:
        if busy and not done and not failed:
            os.kill(pool._all.workers[0].process.pid, signal.SIGKILL)

    # The first look comes before any row can have been read.
    make_runs(folder, pool, kill_the_first)
    pool.close()
    outcomes = {row.point: (row.outcome, row.exit_code) for row in folder.rows}
    assert outcomes == {1: ("killed", 137), 2: ("completed", 0), 3: ("completed", 0)}
    assert "killed from outside" in folder.rows[0].error


def test_a_run_without_an_end_is_ended_at_its_limit(tmp_path: Path) -> None:
    varied = plan(vary={"workload.requests": [2_000_000]})
    folder = SweepFolder.create(varied, tmp_path, keep=False)
    pool = ProcessPool(1, os.environ)
    make_runs(folder, pool, unwatched, limit_s=1.0)
    pool.close()
    (row,) = folder.rows
    assert (row.outcome, row.exit_code) == ("time_limit", None)
    assert row.error == "it did not end within 1 s"


def test_a_sweep_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    """What it makes together is what it would have made at once; a torn line is made again."""
    varied = plan(vary={"workload.rate": [10, 20]}, seeds=2)
    folder = SweepFolder.create(varied, tmp_path, keep=False)
    first = [(point, seed) for point in varied.points for seed in varied.seeds][:2]
    for point, seed in first:
        folder.add(perform(task_of(folder, point, seed, None)))
    with pytest.raises(adpkv.UsageError, match="another sweep is writing into it"):
        SweepFolder.resume(tmp_path)
    folder.close()
    journal = tmp_path / "runs.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"point":2,"seed":1,"outc')
    again = SweepFolder.resume(tmp_path)
    assert len(again.rows) == 2
    pool = ProcessPool(2, os.environ)
    make_runs(again, pool, unwatched)
    pool.close()
    again.close()
    assert sorted((row.point, row.seed) for row in again.rows) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert SweepFolder.read(tmp_path).rows == again.rows
    last = next(row for row in again.rows if (row.point, row.seed) == (2, 2))
    alone = inside(task_of(again, varied.points[1], 2, None))
    assert last.summary is not None
    assert last.summary | {"wall_s": 0.0} == alone.summary


def test_folders_that_are_no_sweeps(tmp_path: Path) -> None:
    with pytest.raises(adpkv.UsageError, match=r"runs\.jsonl: cannot be read"):
        adpkv.load_sweep(tmp_path)
    (tmp_path / "runs.jsonl").write_text("{}\n")
    with pytest.raises(adpkv.UsageError, match=r"runs\.jsonl:1: this is no sweep's journal"):
        adpkv.load_sweep(tmp_path)
    with pytest.raises(adpkv.UsageError, match="there is a sweep in it"):
        SweepFolder.create(plan(vary={"seed_": [1]}), tmp_path, keep=False)
    (tmp_path / "runs.jsonl").rename(tmp_path / "mine")
    with pytest.raises(adpkv.UsageError, match="the folder holds 'mine'"):
        SweepFolder.create(plan(vary={"seed_": [1]}), tmp_path, keep=False)


def test_a_sweep_of_another_version_does_not_go_on(tmp_path: Path) -> None:
    SweepFolder.create(plan(vary={"workload.rate": [10]}), tmp_path, keep=False).close()
    journal = tmp_path / "runs.jsonl"
    journal.write_text('{"adpkv":"0.0.9","world":"virtual","keep":false}\n')
    with pytest.raises(adpkv.UsageError, match=r"adpkv 0\.0\.9 has begun it"):
        SweepFolder.resume(tmp_path)


def test_a_default_that_follows_from_a_varied_value_follows_it() -> None:
    varied = plan(vary={"transceiver.progress_deadline": ["5s", "7s"]})
    graces = [
        varied.experiment(point.settings).transceiver.shutdown_grace_ns for point in varied.points
    ]
    assert graces == [10 * 10**9, 14 * 10**9]


def test_a_launcher_is_not_passed_on() -> None:
    environment = {"OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0", "SLURM_PROCID": "0", "HOME": "x"}
    assert without_launcher(environment) == {"HOME": "x"}
    # An allocation without a launcher is there for the runs.
    assert without_launcher({"SLURM_JOB_ID": "1"}) == {"SLURM_JOB_ID": "1"}
    assert size_of_job({"SLURM_NTASKS": "8"}) == 1
    assert size_of_job({"PMI_RANK": "0", "PMI_SIZE": "8"}) == 8


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("requests: 12", "requests: 13", "the experiment was changed after runs of it had ended"),
        (
            "    - 10\n    - 20",
            "    - 20\n    - 10",
            "point 1 was workload.rate=10 when it was run",
        ),
        ("    - 10\n    - 20", "    - 15", "point 1 was workload.rate=10 when it was run"),
        ("seeds: 2", "seeds: 1", "seed 2 was run, and is none any more"),
        ("    - 20", "    - 20\n    - 30", ""),
        ("seeds: 2", "seeds: 3", ""),
    ],
)
def test_only_the_same_sweep_or_a_longer_one_goes_on(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    """Runs of two experiments in one table would be compared as if they were of one."""
    varied = plan(vary={"workload.rate": [10, 20]}, seeds=2)
    folder = SweepFolder.create(varied, tmp_path, keep=False)
    for seed in varied.seeds:
        settings = dict(varied.points[0].settings)
        folder.add(RunRow(point=1, seed=seed, settings=settings, outcome="x", exit_code=0))
    folder.close()
    text = (tmp_path / "sweep.yaml").read_text()
    assert before in text
    (tmp_path / "sweep.yaml").write_text(text.replace(before, after))
    if not told:
        SweepFolder.resume(tmp_path).close()
        return
    with pytest.raises(adpkv.UsageError, match=told):
        SweepFolder.resume(tmp_path)
