"""The sample in place of a trace that is not ours to ship: what is to be said of it."""

from __future__ import annotations

from adpkv.config.experiment import Experiment
from adpkv.config.workload import SAMPLE, TraceConfig

__all__ = ["stand_in"]


def stand_in(experiment: Experiment) -> str:
    """What takes the place of which trace, and how to get that one; empty if nothing does."""
    workload = experiment.workload
    if not isinstance(workload, TraceConfig) or workload.path != SAMPLE or not workload.stands_for:
        return ""
    return (
        f"the packaged sample stands in for {workload.stands_for}; once you have it: "
        "--set workload.path=FILE"
    )
