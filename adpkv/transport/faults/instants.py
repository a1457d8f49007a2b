"""When a fault strikes that happens at an instant: the same for whoever asks, on whatever rank.

So both ends of a connection know of a restart without a word, and virtual time knows when to look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from adpkv.config.fault_kinds import KINDS, Seam
from adpkv.draws import integer, uniform

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.config.faults import FaultConfig

__all__ = ["Restart", "instants", "restarts"]


class Restart(NamedTuple):
    """A rank's transport restarts; its old connections are fenced at `fenced_ns`."""

    at_ns: int
    rank: int
    fenced_ns: int
    number: int


def instants(seed: int, number: int, fault: FaultConfig, rank: int) -> list[int]:
    """When fault `number` strikes the rank, in order; each of its hits has a draw of its own."""
    found = []
    for hit in range(fault.count or 1):
        if uniform(seed, "fault", number, "rank", rank, hit) >= fault.probability:
            continue
        at_ns = fault.after_ns
        if fault.before_ns is not None:
            last_ns = fault.before_ns - 1
            at_ns = integer(at_ns, last_ns, seed, "fault", number, "instant", rank, hit)
        found.append(at_ns)
    return sorted(found)


def restarts(experiment: Experiment, ranks: list[int]) -> list[Restart]:
    """The restarts of some ranks' transports, in order of time."""
    return sorted(
        Restart(at_ns, rank, at_ns + (fault.duration_ns or 0), number)
        for number, fault in enumerate(experiment.faults)
        if KINDS[fault.kind].seam is Seam.RESTART
        for rank in ranks
        if fault.ranks is None or rank in fault.ranks
        for at_ns in instants(experiment.seed, number, fault, rank)
    )
