"""Replays a trace in DynoSim and prints in JSON what it took.

A script for another Python, in which adpkv is not installed: standard library and DynoSim only.

    PYTHON dynosim_child.py TRACE RANKS BLOCK_TOKENS BLOCKS
"""

from __future__ import annotations

import json
import os
import resource
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["main"]

PACKAGES = ("ai-dynamo", "aisimulate")


def main(argv: list[str]) -> None:
    """Replay it with one prefill and one decode worker of `RANKS` attention-DP ranks each, then
    print one line."""
    trace, (ranks, block_tokens, blocks) = argv[0], map(int, argv[1:])
    pinned = hasattr(os, "sched_setaffinity")
    if pinned:  # to the same core as our simulation
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    engine = {"backend": "vllm", "block_size": block_tokens, "num_gpu_blocks": blocks}
    workers = {
        f"{role}_engine_args": {"dp_size": ranks, "engine": {**engine, "worker_type": role}}
        for role in ("prefill", "decode")
    }
    replay: Any = import_module("dynamo.replay").run_trace_replay
    report = replay(
        trace,
        num_prefill_workers=1,
        num_decode_workers=1,
        trace_block_size=block_tokens,
        **workers,
    )
    found = {
        "completed": int(report.summary["completed_requests"]),
        "submitted": int(report.summary["num_requests"]),
        "tokens": int(report.summary["total_output_tokens"]),
        "peak_bytes": _peak_bytes(),
        "pinned": pinned,
        "versions": ", ".join(map(_version, PACKAGES)),
    }
    print(json.dumps(found))


def _peak_bytes() -> int:
    # As `trace_child` does: ru_maxrss also counts what the parent had when it forked.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} of no known version"


if __name__ == "__main__":
    main(sys.argv[1:])
