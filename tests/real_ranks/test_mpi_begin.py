"""A job's clock begins when every rank can take requests; who fails before that ends the start."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real_ranks.conftest import MPIRUN, outlives_or_skip

BOUND_S = 60.0

FAILING = """
import os, signal, threading, time
from pathlib import Path

from adpkv.memory.host import HostMemory

def die():
    time.sleep(1)  # until others have seen how far it is, which they look at each tenth of a second
    os.kill(os.getpid(), signal.SIGKILL)

def die_waiting():
    while Path("/proc/self/comm").read_text() != "adpkv:meet\\n":
        time.sleep(0.01)
    die()

def memory(setting):
    if setting.rank == 2:
        die()
    return healthy(setting)

def late_memory(setting):
    if setting.rank == 2:
        threading.Thread(target=die_waiting).start()
    return healthy(setting)

def healthy(setting):
    model = setting.experiment.model
    shape = model.layers, model.kv_heads, model.head_dim, model.dtype_bytes
    return HostMemory(setting.blocks, setting.block_tokens, *shape, setting.report)


class Requests:
    'The first one of a process is only looked at. The second one is served.'
    made = total = 0

    def __init__(self, how):
        Requests.made += 1
        if Requests.made < 2:
            return
        if how == "killed":
            die()
        if how == "slow":
            time.sleep(60)
        raise RuntimeError("a planted failure")

    def due_ns(self):
        return 1 << 62

    def take(self):
        raise AssertionError

    def ended(self, now_ns, number):
        raise AssertionError
"""
BUILDS, WAITS = "making its memory and connections", "waiting for the others"
CASES: dict[str, tuple[dict[str, Any], int, tuple[str, ...]]] = {
    "a memory, killed": ({"kv_cache": {"memory": "failing:memory"}}, 5, ("rank 2 (", BUILDS)),
    "who waits for the others, killed": (
        {
            "kv_cache": {"memory": "failing:late_memory"},
            "workload": {"kind": "failing:Requests", "how": "slow"},
        },
        5,
        ("rank 2 (", WAITS),
    ),
    "what rank 0 runs beside itself, killed": (
        {"workload": {"kind": "failing:Requests", "how": "killed"}},
        5,
        ("rank 0 (", f"{BUILDS}, or reading the workload"),
    ),
    "what rank 0 runs beside itself, raised": (
        {"workload": {"kind": "failing:Requests", "how": "raised"}},
        2,
        ("a planted failure",),
    ),
}
SLEEPS_S = 0.25
"""Three ranks that wait a second for the last one take 0.05 s of processor time if they sleep
between looks; a second or two if they spin, with two cores."""


SERVES = {"kind": "script", "requests": [{"at": "0s", "prompt_tokens": 64, "output_tokens": 4}]}


@pytest.mark.parametrize("late", ["rank", "coordinator", "model"])
def test_time_begins_when_the_last_is_built(program: Any, tmp_path: Path, late: str) -> None:
    """Arrivals at 0 had waited for memories, transports and models: 0.4 s on two busy cores, 1.5 s
    on four GPUs."""
    found = program("late", 4, str(tmp_path), late)
    assert found.code == 0, found.err
    assert len(list(tmp_path.glob("built.*"))) == len(list(tmp_path.glob("began.*"))) == 4
    built = max(int(one.read_text()) for one in tmp_path.glob("built.*"))
    began = min(int(one.read_text()) for one in tmp_path.glob("began.*"))
    assert began >= built
    assert _spent_s(tmp_path) < SLEEPS_S
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["requests"]["completed"], summary["violations"]) == (2, [])


def test_those_that_spin_are_told_from_those_that_sleep(program: Any, tmp_path: Path) -> None:
    """The detector of the measure: ranks that wait as MPI does."""
    found = program("late", 4, str(tmp_path), "rank", "spins")
    assert found.code == 0, found.err
    assert _spent_s(tmp_path) > SLEEPS_S


def _spent_s(folder: Path) -> float:
    """The processor time in which all ranks came to the beginning and waited for the last one."""
    spent = [int(one.read_text()) for one in folder.glob("spent.*")]
    assert len(spent) == 4
    return sum(spent) / 1e9


@pytest.mark.parametrize("by", ["adpkv", "mpirun"])
@pytest.mark.parametrize("case", CASES)
def test_who_fails_while_the_ranks_are_built_is_named(
    jobs: Any, tmp_path: Path, case: str, by: str
) -> None:
    """The others have come to the beginning, and wait there."""
    outlives_or_skip()
    changed, code, named = CASES[case]
    (tmp_path / "failing.py").write_text(FAILING)
    data = {
        "name": "failing",
        "topology": {"context": {"ranks": 1}, "generation": {"ranks": 2}},
        "workload": SERVES,
        **changed,
    }
    (tmp_path / "failing.yaml").write_text(yaml.safe_dump(data))
    argv = [str(Path(sys.executable).with_name("adpkv")), "run", "failing.yaml", "--quiet"]
    if by == "mpirun":
        argv = [str(MPIRUN), "--with-ft", "ulfm", "-n", "3", *argv]
    found = jobs.finish(jobs.start([*argv, "--out", "out"], cwd=tmp_path), BOUND_S)
    assert found.code == code, found.err
    if code == 5:
        assert "failed while the job started" in found.err
        assert "Traceback" not in found.err
    assert all(one in found.err for one in named), found.err


ONLY_RANK_1 = """
import os

assert os.environ["OMPI_COMM_WORLD_RANK"] != "1", "not here"
from failing import healthy
"""


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"workload": {"kind": "trace", "path": "bad.jsonl"}}, "bad.jsonl:1:5: JSON is malformed"),
        ({"workload": SERVES, "kv_cache": {"memory": "on_rank_1:healthy"}}, "not here"),
    ],
    ids=["rank 0", "rank 1"],
)
def test_what_one_rank_alone_finds_wrong_before_mpi_is_a_usage_error(
    jobs: Any, tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    """The others wait for it in MPI_Init, where a launcher that goes on without a rank leaves them:
    one of them had ended the job with 5, or with 2, and with another message."""
    outlives_or_skip()
    (tmp_path / "failing.py").write_text(FAILING)
    (tmp_path / "on_rank_1.py").write_text(ONLY_RANK_1)
    (tmp_path / "bad.jsonl").write_text("nonsense\n")
    topology = {"context": {"ranks": 1}, "generation": {"ranks": 2}}
    data = {"name": "refused", "topology": topology, **changed}
    (tmp_path / "refused.yaml").write_text(yaml.safe_dump(data))
    argv = [str(Path(sys.executable).with_name("adpkv")), "run", "refused.yaml", "--out", "out"]
    start = [str(MPIRUN), "--with-ft", "ulfm", "-n", "3", *argv]
    for _ in range(3):
        found = jobs.finish(jobs.start(start, cwd=tmp_path), BOUND_S)
        (line,) = [one for one in found.err.splitlines() if one.startswith("adpkv: ")]
        assert found.code == 2, found.err
        assert told in found.err, found.err
        assert "failed while the job started" not in line
    assert not (tmp_path / "out").exists()
