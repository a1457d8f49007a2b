"""The note about the packaged sample in place of a trace that adpkv may not distribute."""

from __future__ import annotations

from adpkv.config.experiment import Experiment
from adpkv.config.workload import SAMPLE, TraceConfig

__all__ = ["stand_in"]


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
