"""The instants of scheduled faults. Any rank that asks gets the same ones.

So both ends of a connection know of a transport restart without a message, and virtual time knows
when to run the ranks concerned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from adpkv.config.fault_kinds import KINDS, Seam
from adpkv.core.topology import Kind, Topology
from adpkv.random_draws import integer, uniform

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.config.faults import FaultConfig

__all__ = ["Restart", "Restarts", "Upcoming", "instants"]


class Restart(NamedTuple):
    """The transport of `rank` restarts at `at_ns`; its old connections are fenced at `fenced_ns`,
    after which no byte of theirs can land. `number` is the fault's."""

    at_ns: int
    rank: int
    fenced_ns: int
    number: int


def instants(seed: int, number: int, fault: FaultConfig, rank: int) -> list[int]:
    """When fault `number` hits the rank, in nanoseconds, sorted. Each possible hit has its own
    random draw."""
    found, likely = [], fault.probability
    for hit in range(fault.count or 1):
        if likely < 1.0 and uniform(seed, "fault", number, "rank", rank, hit) >= likely:
            continue
        at_ns = fault.after_ns
        if fault.before_ns is not None:
            last_ns = fault.before_ns - 1
            at_ns = integer(at_ns, last_ns, seed, "fault", number, "instant", rank, hit)
        found.append(at_ns)
    return sorted(found)


class Restarts:
    """All transport restarts of a world, drawn once and shared. Each rank must know of the restarts
    of all its possible peers; a list of its own for every rank would grow with the square of their
    number."""

    def __init__(self, experiment: Experiment, topology: Topology) -> None:
        self._seed, self._topology = experiment.seed, topology
        self._faults = [
            (number, fault)
            for number, fault in enumerate(experiment.faults)
            if KINDS[fault.kind].seam is Seam.RESTART
        ]
        self._sides: dict[Kind, list[Restart]] = {}

    def concerning(self, rank: int) -> Upcoming:
        """The restarts of this rank, and of every rank with which it may have a transfer."""
        if not self._faults:
            return Upcoming()
        sends = self._topology.instance_of(rank).kind is Kind.CONTEXT
        other = Kind.GENERATION if sends else Kind.CONTEXT
        if other not in self._sides:
            instances = self._topology.of_kind(other)
            members = [peer for instance in instances for peer in instance.members]
            self._sides[other] = self._drawn(members)
        return Upcoming(self._drawn([rank]), self._sides[other])

    def _drawn(self, ranks: Sequence[int]) -> list[Restart]:
        """The restarts of these ranks' transports, in order of time."""
        return sorted(
            Restart(at_ns, rank, at_ns + (fault.duration_ns or 0), number)
            for number, fault in self._faults
            for rank in ranks
            if fault.ranks is None or rank in fault.ranks
            for at_ns in instants(self._seed, number, fault, rank)
        )


class Upcoming:
    """Restarts in order of time, consumed one by one. The lists are only read, so several ranks may
    share one."""

    __slots__ = ("_at", "_lists")

    def __init__(self, *lists: Sequence[Restart]) -> None:
        self._lists = [found for found in lists if found]
        self._at = [0] * len(self._lists)

    def __bool__(self) -> bool:
        return bool(self._lists)

    def take(self) -> Restart | None:
        """The next restart; None if none is left."""
        ahead = [
            (found[at], number)
            for number, (found, at) in enumerate(zip(self._lists, self._at, strict=True))
            if at < len(found)
        ]
        if not ahead:
            return None
        first, number = min(ahead)
        self._at[number] += 1
        return first
