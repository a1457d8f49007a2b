"""What a timeline adds to a simulation: its processor time beside that of the same one without."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from time import process_time
from typing import Final

from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.measuring import without_collector
from adpkv.config import Experiment, load
from adpkv.config.shipped import folder
from adpkv.worlds.virtual.run import simulate

__all__ = ["timeline"]

MOST_ADDED: Final = 1.2
"""Issue 14: a fifth of a simulation."""


def timeline(*, requests: int = 2000, repetitions: int = 9) -> list[Figure]:
    """The quickstart with and without, in turn, so that both meet the same load of the machine."""
    path, overrides = folder() / "quickstart.yaml", [f"workload.requests={requests}"]
    without = load(path, overrides)
    with_one = load(path, [*overrides, "observe.timeline=true"])
    pairs, nbytes = [], 0
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as made:
        _seconds(without, Path(made) / "first")
        for number in range(repetitions):
            out = Path(made) / f"{number}"
            plain_s = _seconds(without, out / "without")
            pairs.append((plain_s, _seconds(with_one, out / "with")))
            nbytes = (out / "with/timeline/world.records").stat().st_size
    return [
        figure(
            "timeline",
            median(one for _, one in pairs) * 1e3,
            "ms",
            reference=median(plain for plain, _ in pairs) * 1e3,
            against="the same simulation without",
            target=Target("ratio", "<=", MOST_ADDED),
            note=f"{requests:,} requests of the quickstart, processor time, {nbytes / 1e6:.1f} MB",
        )
    ]


def _seconds(experiment: Experiment, out: Path) -> float:
    with without_collector():
        began_s = process_time()
        simulate(experiment, out=out)
        return process_time() - began_s
