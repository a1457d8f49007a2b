"""The virtual world by itself: a program that only joins collectives."""

from __future__ import annotations

from functools import partial
from statistics import median

from adpkv.bench.events import heapq_rate, simpy_rate
from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.measuring import seconds
from adpkv.core.ids import Rank
from adpkv.core.topology import Instance, Kind, Topology
from adpkv.executor.collectives import WORLD, Collective
from adpkv.worlds.virtual.pace import Pace
from adpkv.worlds.virtual.world import VirtualWorld

__all__ = ["bare_world", "collectives_s"]

LEAST_COLLECTIVES_PER_S = 300_000
"""Issue 2, Speed."""


async def _collectives(rounds: int) -> None:
    for iteration in range(rounds):
        await Collective(0, "tp_allgather", "bare", iteration, None, iteration)
    await Collective(WORLD, "world_allgather", "leave", 0, None, None)


def collectives_s(ranks: int, rounds: int) -> float:
    """Seconds that one group of `ranks` takes to join `rounds` collectives, each at once."""
    topology = Topology((Instance(0, Kind.GENERATION, Rank(0), ranks),))
    world = VirtualWorld(topology, pace=Pace(collective_ns=0, jump=True), mail_latency_ns=0)
    programs = [_collectives(rounds) for _ in range(ranks)]
    return seconds(partial(world.run, programs))


def bare_world(*, ranks: int = 4096, rounds: int = 200, repetitions: int = 5) -> list[Figure]:
    """Rank-collectives a second, beside the plain events a second of a heap in the same run."""
    rates, events = [], []
    for _ in range(repetitions):
        rates.append(ranks * rounds / collectives_s(ranks, rounds))
        events.append(heapq_rate(ranks, max(1, rounds // 4)))
    simpy = simpy_rate(ranks, max(1, rounds // 4))
    known = f"; SimPy: {simpy / 1e6:.2f} M events/s" if simpy else "; SimPy is not installed"
    return [
        figure(
            f"bare world, {ranks:,} ranks",
            median(rates),
            "collectives/s",
            reference=median(events),
            against="heapq events/s",
            target=Target("value", ">=", LEAST_COLLECTIVES_PER_S),
            note=f"one group, {rounds} collectives" + known,
        )
    ]
