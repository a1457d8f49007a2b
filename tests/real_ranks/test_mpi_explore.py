"""An exploration over the ranks of an MPI job finds what one process finds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from adpkv.config import load
from adpkv.config.shipped import shipped_file
from adpkv.exploration.calling import Bounds, explore_plan
from adpkv.exploration.campaign import plan_for

BIN = Path(sys.executable).parent
POLICY = "policy.late_success=revives"
SEEDS = 250
"""Three batches for two ranks; the policy is found in the first of them, and otherwise later."""


def test_ranks_of_a_job_make_the_batches(jobs, tmp_path: Path) -> None:
    """Finds are merged by signature: the same as those of one process, whoever met them."""
    out, given = tmp_path / "e", ["--set", POLICY, "--seeds", f"0:{SEEDS}", "--quiet"]
    command = [str(BIN / "mpirun"), "-n", "3", str(BIN / "adpkv"), "explore", "explore", *given]
    done = jobs.finish(jobs.start([*command, "--out", str(out)]), 120)
    assert done.code == 4, done.err
    file = shipped_file("explore")
    assert file is not None
    plan = plan_for(load(file, [POLICY]), "random", 0, SEEDS)
    alone = explore_plan(plan, 1, Bounds(shrink_s=0)).data()
    told = json.loads((out / "explore.json").read_text())
    for key in ("seeds", "coverage", "determinism", "exit_code"):
        assert told[key] == alone[key], key
    assert [(one["signature"], one["count"], one["seed"]) for one in told["finds"]] == [
        (one["signature"], one["count"], one["seed"]) for one in alone["finds"]
    ]
    assert len((out / "batches.jsonl").read_text().splitlines()) == 1 + 3


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("trace-sample",), "'trace' cannot be varied"),
        (("explore", "--for", "soon"), "--for soon"),
        (("explore-small", "--strategy", "exhaustive"), "mpirun: --strategy exhaustive walks FILE"),
    ],
)
def test_what_is_wrong_with_the_call_ends_the_job_and_is_said_once(jobs, given, said) -> None:
    command = [str(BIN / "mpirun"), "-n", "3", str(BIN / "adpkv"), "explore", *given]
    done = jobs.finish(jobs.start(command), 60)
    assert done.code == 2
    assert done.err.count(said) == 1
