"""Notes about the trace of an experiment: the packaged sample in place of one that adpkv may not
distribute, and what was assumed about a file."""

from __future__ import annotations

from pathlib import Path

from adpkv.config.experiment import Experiment
from adpkv.config.workload import SAMPLE, TraceConfig
from adpkv.errors import UsageError

__all__ = ["stand_in", "trace_assumptions"]


def stand_in(experiment: Experiment) -> str:
    """A text that says which trace the sample stands for and how to use that trace; empty if the
    experiment does not use the sample in this way."""
    workload = experiment.workload
    if not isinstance(workload, TraceConfig) or workload.path != SAMPLE or not workload.stands_for:
        return ""
    return (
        f"the packaged sample stands in for {workload.stands_for}; once you have it: "
        "--set workload.path=FILE"
    )


def trace_assumptions(experiment: Experiment) -> str:
    """A text about the format, the units and the block size that were assumed of a trace file;
    empty if there is none, or none that can be read, which its reader will say."""
    workload = experiment.workload
    if not isinstance(workload, TraceConfig) or workload.path == SAMPLE:
        return ""
    from adpkv.traces.registry import assumed, notice

    path = Path(workload.path)
    try:
        return f"{path.name}: {assumed(notice(path), workload.hash_tokens or 0)}"
    except UsageError:
        return ""
