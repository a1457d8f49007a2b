"""Checks of faults: the keys that each kind needs, and the ranks at which it is aimed.

Each function yields the problems it finds; `relations` lists what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from adpkv.config.document import Key
from adpkv.config.experiment import Experiment
from adpkv.config.fault_kinds import KINDS, SENDER_PHASES, FaultKind, Seam, phases
from adpkv.config.faults import FaultConfig
from adpkv.config.problem import Problem
from adpkv.config.units import duration_text
from adpkv.core.topology import Kind, Topology

__all__ = [
    "fault_kinds",
    "fault_ranks",
    "fault_sides",
]


MOST_INSTANTS: Final = 1000
"""The most hits per rank of a fault that happens at points in time: all of them are drawn before
the run begins."""


def fault_ranks(experiment: Experiment) -> Iterator[Problem]:
    """Faults must name existing ranks."""
    ranks = experiment.topology.ranks
    for i, fault in enumerate(experiment.faults):
        for key, named in (("ranks", fault.ranks), ("peers", fault.peers)):
            for j, rank in enumerate(named or ()):
                if rank >= ranks:
                    path = ("faults", i, key, j)
                    yield Problem(path, f"is no rank: the topology has {ranks}, from 0")


def fault_kinds(experiment: Experiment) -> Iterator[Problem]:
    """A fault must have the keys that its kind needs, and none that have no meaning for it."""
    for i, fault in enumerate(experiment.faults):
        kind = KINDS[fault.kind]
        for key, text in [*_useless(fault, kind), *_needed(fault, kind), *_times(fault, kind)]:
            yield Problem(("faults", i, key), text)


def _useless(fault: FaultConfig, kind: FaultKind) -> Iterator[tuple[Key, str]]:
    given = {
        "duration": fault.duration_ns is not None,
        "bandwidth": fault.bandwidth_bytes_per_s is not None,
        "proven": not fault.proven,
        "peers": fault.peers is not None,
        "requests": fault.requests is not None,
        "phase": fault.phase is not None,
    }
    useful = {kind.needs, *kind.takes}
    if not kind.at_an_instant:
        useful |= {"peers", "requests"}
    if kind.phases:
        useful.add("phase")
    for key, is_given in given.items():
        if is_given and key not in useful:
            yield key, f"means nothing for a {fault.kind}: leave it out"
    if kind.phases and fault.phase is not None and fault.phase not in kind.phases:
        yield "phase", f"of a {fault.kind} must be {_either(kind.phases)}"


def _needed(fault: FaultConfig, kind: FaultKind) -> Iterator[tuple[Key, str]]:
    given = {"duration": fault.duration_ns, "bandwidth": fault.bandwidth_bytes_per_s}
    if kind.needs and not given[kind.needs]:
        nothing = "0s" if kind.needs == "duration" else "0B"
        yield kind.needs, f"is required for a {fault.kind}, and more than {nothing}"


def _times(fault: FaultConfig, kind: FaultKind) -> Iterator[tuple[Key, str]]:
    if fault.before_ns is not None and fault.before_ns <= fault.after_ns:
        yield "before", f"must be later than after, which is {duration_text(fault.after_ns)}"
    if kind.at_an_instant and (fault.count or 1) > MOST_INSTANTS:
        yield "count", f"must be at most {MOST_INSTANTS}: each rank draws all instants beforehand"
    if kind.at_an_instant and (fault.count or 1) > 1 and fault.before_ns is None:
        yield "count", "needs before as well: each of the hits is at a drawn instant of its own"


def fault_sides(experiment: Experiment) -> Iterator[Problem]:
    """A fault of a sender's phase must be aimed at a context rank, one of a receiver's phase at a
    generation rank; and the other way round for `peers`."""
    aimed = [
        (i, fault)
        for i, fault in enumerate(experiment.faults)
        if (fault.ranks is not None or fault.peers is not None)
        and KINDS[fault.kind].seam in (Seam.TRANSPORT, Seam.MESSAGES)
        and all(
            rank < experiment.topology.ranks for rank in (fault.ranks or ()) + (fault.peers or ())
        )
    ]
    if not aimed:
        return
    topology = experiment.topology.build()
    for i, fault in aimed:
        found = [_misses(fault, phase, topology) for phase in phases(fault)]
        first, *_ = found
        if first is not None and None not in found:
            yield Problem(("faults", i, first[0]), first[1])


def _misses(fault: FaultConfig, phase: str, topology: Topology) -> tuple[str, str] | None:
    """(key, problem) if no named rank is on the side on which `phase` happens; else None."""
    sends = phase in SENDER_PHASES
    own, other = (Kind.CONTEXT, Kind.GENERATION) if sends else (Kind.GENERATION, Kind.CONTEXT)
    for key, named, kind in (("ranks", fault.ranks, own), ("peers", fault.peers, other)):
        if named is not None and not any(topology.instance_of(r).kind is kind for r in named):
            place = "happens on one" if key == "ranks" else "has one at its other end"
            return key, f"names no {kind} rank, and {phase} {place}"
    return None


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(names)
