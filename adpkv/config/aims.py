"""Relations between the faults, what they are and whom they are aimed at.

Each function yields what is wrong; `relations` says what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator

from adpkv.config.experiment import Experiment
from adpkv.config.problem import Problem
from adpkv.config.units import duration_text

__all__ = [
    "fault_kinds",
    "fault_ranks",
]


def fault_ranks(experiment: Experiment) -> Iterator[Problem]:
    """Faults name ranks that exist."""
    ranks = experiment.topology.ranks
    for i, fault in enumerate(experiment.faults):
        for key, named in (("ranks", fault.ranks), ("peers", fault.peers)):
            for j, rank in enumerate(named or ()):
                if rank >= ranks:
                    path = ("faults", i, key, j)
                    yield Problem(path, f"is no rank: the topology has {ranks}, from 0")


def fault_kinds(experiment: Experiment) -> Iterator[Problem]:
    """A fault says what its kind needs, and nothing that its kind has no use for."""
    for i, fault in enumerate(experiment.faults):
        path = ("faults", i, "duration")
        if fault.kind == "delay" and not fault.duration_ns:
            yield Problem(path, "is required for a delay, and more than 0s")
        if fault.kind == "fail" and fault.duration_ns is not None:
            yield Problem(path, "means nothing for a fail: leave it out")
        if fault.kind != "fail" and not fault.proven:
            path = ("faults", i, "proven")
            yield Problem(path, f"means nothing for a {fault.kind}: leave it out")
        if fault.before_ns is not None and fault.before_ns <= fault.after_ns:
            path = ("faults", i, "before")
            yield Problem(
                path, f"must be later than after, which is {duration_text(fault.after_ns)}"
            )
