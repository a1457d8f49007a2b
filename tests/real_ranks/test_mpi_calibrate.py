"""`adpkv calibrate` on real runs: one experiment is measured, and says how far another one is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from typer.testing import CliRunner

from adpkv.cli.app import app
from adpkv.config import load
from tests.real_ranks.conftest import Jobs

BOUND_S = 60


def test_two_real_runs_give_a_section_and_errors(jobs: Jobs, tmp_path: Path) -> None:
    folders = []
    for number, requests in enumerate((60, 61)):
        folder = tmp_path / f"run-{number}"
        argv = [sys.executable, "-m", "adpkv", "run", "four-ranks", "--quiet", "--out", str(folder)]
        argv += ["--set", "observe.timeline=true", "--set", f"workload.requests={requests}"]
        done = jobs.finish(jobs.start(argv), BOUND_S)
        assert done.code == 0, done.err
        folders.append(str(folder))
    output = tmp_path / "calibration.yaml"
    argv = ["calibrate", folders[0], "--check", folders[1], "--output", str(output), "--json"]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    (calibration,) = told["calibrations"]
    assert calibration["experiments"] == ["four-ranks"]
    summary = json.loads((Path(folders[0]) / "summary.json").read_text())
    assert summary["ranks_per_core"] > 0
    assert calibration["ranks_per_core"] == max(1, summary["ranks_per_core"])
    figures = {one["figure"]: one for one in told["errors"]}
    assert {"ttft_p50", "ttft_p99", "itl_p90", "tpot_p50", "e2e_p99", "makespan"} <= set(figures)
    # What is measured only adds: the machine's load decides how close it comes, not whether.
    tpot = figures["tpot_p50"]
    assert tpot["error_without_calibration"] < tpot["error"]
    assert tpot["simulated_s"] > 0.004
    section = yaml.safe_load(output.read_text())["calibration"]
    (group,) = section["groups"]
    assert group["ranks"] == 2
    # Appended to an experiment's file it is one that can be simulated.
    whole = tmp_path / "whole.yaml"
    whole.write_text(Path("configs/four-ranks.yaml").read_text() + output.read_text())
    assert load(whole).calibration is not None
    assert load(whole).calibration.messages.to_coordinator.p50_ns > 0
