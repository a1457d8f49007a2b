"""What cannot fit into memory is refused beforehand, with the figure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from adpkv.config import Experiment, parse
from adpkv.core.block_pool import BlockPool
from adpkv.errors import UsageError
from adpkv.workload import build
from adpkv.worlds.memory_check import available_bytes
from adpkv.worlds.virtual.memory_check import check_memory, least_bytes, memory_text, most_bytes
from adpkv.worlds.virtual.run import simulate

MOST = 2**31 - 1
LENGTHS = {"prompt_tokens": {"min": 9, "max": 9}, "output_tokens": {"min": 4, "max": 4}}
TIMES = {"at": "0s", "prompt_tokens": 9, "output_tokens": 4, "times": MOST}
HUGE: list[dict[str, Any]] = [
    {"kind": "script", "requests": [TIMES]},
    {"kind": "poisson", "rate": 1000, "requests": MOST, **LENGTHS},
    {"kind": "closed_loop", "users": MOST, "requests": MOST, **LENGTHS},
]


def experiment(workload: dict[str, Any], ranks: int = 1) -> Experiment:
    topology = {"context": {"ranks": ranks}, "generation": {"ranks": ranks}}
    return parse({"name": "huge", "topology": topology, "workload": workload}, "test")


@pytest.mark.parametrize("workload", HUGE, ids=lambda w: w["kind"])
def test_two_thousand_million_requests(workload: dict[str, Any], tmp_path: Path) -> None:
    asked = experiment(workload)
    assert build(asked).total == MOST, "made as they are taken: this takes no memory"
    with pytest.raises(UsageError, match="for the samples of 2,147,483,647 requests"):
        check_memory(asked, 10**11)
    if (available_bytes() or 0) < MOST * 120:
        with pytest.raises(UsageError, match=r"takes at least .* GB of memory"):
            simulate(asked, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_what_fits_is_not_refused() -> None:
    small = HUGE[1] | {"requests": 200}
    check_memory(experiment(small, 8192), 300_000_000)
    with pytest.raises(UsageError, match=r"at least 213 MB .*213 MB for 16,384 ranks"):
        check_memory(experiment(small, 8192), 200_000_000)


def test_instants_of_faults_are_drawn_beforehand_and_count() -> None:
    restart = {"kind": "restart", "before": "1h", "duration": "1ms", "count": 1000}
    data = experiment(HUGE[1] | {"requests": 1}, 512).model_dump(by_alias=True)
    asked = parse(data | {"faults": [restart]}, "test")
    with pytest.raises(UsageError, match=r"358 MB for the instants of faults"):
        check_memory(asked, 300_000_000)
    check_memory(parse(data | {"faults": [restart | {"ranks": [3]}]}, "test"), 300_000_000)


# -- what it comes to at most ------------------------------------------------------------------

# Not `ru_maxrss`: that of a child begins with what its parent had.
PEAK = r"""
import json, re, sys
from pathlib import Path
from adpkv.config import parse
from adpkv.worlds.virtual.run import simulate
simulate(parse(json.loads(sys.argv[1]), "test"), out=Path(sys.argv[2]))
print(1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]))
"""
MANY_BLOCKS = {
    "kind": "poisson",
    "rate": 100_000,
    "requests": 1500,
    "prompt_tokens": {"min": 4096, "max": 4096},
    "output_tokens": {"min": 2, "max": 2},
}


@pytest.mark.parametrize(
    ("ranks", "times", "sections"),
    [
        (1024, 2048, {}),
        (2, 8000, {"executor": {"queue_timeout": "1h"}}),
        (2, 0, {"kv_cache": {"blocks": 100_000}, "workload": MANY_BLOCKS}),
        (512, 512, {"on_rank_failure": "shrink"}),
    ],
    ids=["ranks", "requests", "blocks", "failure"],
)
def test_the_estimate_is_no_less_than_what_is_used_and_no_more_than_thrice(
    ranks: int, times: int, sections: dict[str, Any], tmp_path: Path
) -> None:
    asked = {"at": "0s", "prompt_tokens": 64, "output_tokens": 2, "times": times}
    data = {
        "name": "peak",
        "topology": {"context": {"ranks": ranks}, "generation": {"ranks": ranks}},
        "observe": {"events": False},
        "workload": {"kind": "script", "requests": [asked]},
        **sections,
    }
    if "on_rank_failure" in sections:
        data["faults"] = [{"kind": "sigkill", "ranks": [1, ranks + 1], "after": "1ms"}]
    experiment = parse(data, "test")
    argv = [sys.executable, "-c", PEAK, json.dumps(data), str(tmp_path / "out")]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    used, most = int(ran.stdout), sum(most_bytes(experiment, build(experiment)).values())
    assert used <= most <= 3 * used
    assert sum(least_bytes(experiment).values()) <= used


@pytest.mark.parametrize("each", [1, 4, 25])
def test_a_full_cache_takes_no_more_than_is_said_however_short_its_prompts_are(each: int) -> None:
    length = {"min": each * 64, "max": each * 64}
    workload = {"kind": "poisson", "rate": 9, "requests": 9000, **LENGTHS, "prompt_tokens": length}
    topology = {"context": {"ranks": 1}, "generation": {"ranks": 1}}
    cache = {"block_tokens": 64, "blocks": 5000}
    data = {"name": "x", "topology": topology, "kv_cache": cache, "workload": workload}
    asked = parse(data, "test")
    tracemalloc.start()
    pool = BlockPool(5000)
    for first in range(0, 5000, each):
        hashes = tuple(2**62 + one for one in range(first, first + each))
        lease = pool.acquire(each, hashes)
        assert lease is not None
        pool.commit(lease, hashes)
        pool.release(lease)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert pool.counts().cached == 5000
    assert used <= most_bytes(asked, build(asked))["KV blocks"]


def test_a_trace_counts_by_what_is_in_it() -> None:
    topology = {"context": {"ranks": 1}, "generation": {"ranks": 1}}
    data = {"name": "t", "topology": topology, "workload": {"kind": "trace"}}
    asked = parse(data, "test")
    trace = build(asked)
    parts = most_bytes(asked, trace)
    assert parts[f"{trace.total:,} requests at once"] > trace.total * 850
    assert 0 < parts["the trace"] < parts["KV blocks"]


def test_what_is_free_is_said_where_it_may_not_be_enough() -> None:
    asked = experiment(HUGE[1] | {"requests": 1000})
    said = memory_text(asked, build(asked), 10**9)
    assert re.fullmatch(r"a simulation takes [\d.]+ MB to [\d.]+ MB of memory", said)
    assert memory_text(asked, build(asked), 4 * 10**7).endswith(" of memory; 40.0 MB are free")
